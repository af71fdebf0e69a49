"""What a manifest must be to be stored: one we can parse, named by its digest, its members told apart from the rest."""

from __future__ import annotations

from holdall.errors import HoldallError, LimitExceeded
from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.oci.index import Index, detect
from holdall.oci.jsonval import dumps
from holdall.oci.manifest import Manifest
from holdall.registry.server.catalog_values import Stored
from holdall.registry.server.refusal import Refusal

MAX_MANIFEST = 4 << 20


def examine(raw: bytes, content_type: str, digest: Digest | None) -> Stored:
    """Check the bytes of a manifest or index against its Content-Type and digest. Raises Refusal."""
    actual = Digest.of(raw, "sha256" if digest is None else digest.algorithm)
    if digest is not None and actual != digest:
        raise Refusal("DIGEST_INVALID", "the manifest has another digest", detail={"digest": str(actual)})
    try:
        kind = detect(raw, content_type or None)
        if mediatype.is_index(kind):
            return _index(Index.parse(raw, kind), actual)
        return _manifest(Manifest.parse(raw, kind), actual)
    except LimitExceeded as err:
        raise Refusal("MANIFEST_INVALID", err.message) from err
    except HoldallError as err:
        raise Refusal("MANIFEST_INVALID", err.message) from err


def _index(index: Index, digest: Digest) -> Stored:
    return Stored(
        digest,
        index.media_type,
        index.raw,
        None if index.subject is None else index.subject.digest,
        index.artifact_type or "",
        _annotations(index),
        tuple([one.digest for one in index.manifests]),
    )


def _manifest(manifest: Manifest, digest: Digest) -> Stored:
    layers = [layer.digest for layer in manifest.layers if not (mediatype.is_foreign(layer.media_type) or layer.urls)]
    return Stored(
        digest,
        manifest.media_type,
        manifest.raw,
        None if manifest.subject is None else manifest.subject.digest,
        manifest.artifact_type or manifest.config.media_type,
        _annotations(manifest),
        (manifest.config.digest, *layers),
    )


def _annotations(one: Index | Manifest) -> bytes:
    return dumps(dict(one.annotations)) if one.annotations else b""
