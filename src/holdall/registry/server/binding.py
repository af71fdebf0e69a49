"""Rows and bytes that lie apart know each other: without it, a collection with another registry's rows would find that
nobody needs these bytes, and remove them all."""

from __future__ import annotations

import uuid

from holdall.errors import SystemFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.registry.server.storage import Blobs, Catalog

DOCUMENT = "registry"
_HINT = "--storage and --catalog must be those that were first used together"


def bind(catalog: Catalog, blobs: Blobs) -> None:
    """Give rows and bytes that are both new one name, also when several instances do so at once; then `check`."""
    if catalog.document(DOCUMENT) is None and blobs.owner() is None:
        catalog.put_document(DOCUMENT, uuid.uuid4().hex.encode(), 0)
    found = catalog.document(DOCUMENT)
    if found is not None and blobs.owner() is None:
        if catalog.counts()["blobs"]:
            raise SystemFailure("the bytes of this registry's blobs are not in this storage", hint=_HINT)
        blobs.claim(found.raw.decode())
    check(catalog, blobs)


def check(catalog: Catalog, blobs: Blobs) -> None:
    """Raise SystemFailure unless the two belong together."""
    owner, found = blobs.owner(), catalog.document(DOCUMENT)
    if owner is None or found is None or found.raw.decode() != owner:
        raise SystemFailure("rows and bytes are of different registries", hint=_HINT)
