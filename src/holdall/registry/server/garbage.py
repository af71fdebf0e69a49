"""Online garbage collection: many short steps, none of which holds anybody up or loses what a push under way needs.

A blob is safe while a manifest of its repository names it, and for its lease (an hour) after it was uploaded,
mounted or found by a HEAD of somebody who may push. A repository's manifests stay until they are deleted, unless a
policy lets them go (`retention`). See `storage` for the order that makes this safe.
"""

from __future__ import annotations

import time

from holdall.oci.digest import Digest
from holdall.record import record
from holdall.registry.server.policy import Policy
from holdall.registry.server.retention import Keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.registry.server.storage import Blobs, Catalog

BATCH = 200
FREE_STEP = 64 << 20
UPLOAD_SECONDS = 24 * 3_600.0
STRAY_SECONDS = 3_600.0


@record
class Waste:
    """One thing that went, or would: `kind` is upload, tag, manifest, link, blob, or freed (bytes given back)."""

    kind: str
    name: str
    size: int = 0
    reason: str = ""


class Collector:
    """One round over everything; iterate `steps`. `untagged` is the age at which manifests without tag go, in seconds,
    below 0 for never, where the `policy` does not say otherwise.
    """

    def __init__(
        self,
        catalog: Catalog,
        blobs: Blobs,
        *,
        untagged: float = -1.0,
        policy: Policy | None = None,
        dry_run: bool = False,
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._untagged = untagged
        self._policy = policy or Policy()
        self._dry = dry_run
        self._now = time.time

    def steps(self) -> Iterator[list[Waste]]:
        """Do one step at each turn and say what went; the caller pauses between them as it likes."""
        yield from self._uploads()
        yield from self._manifests()
        yield from self._links()
        yield from self._unlinked_blobs()
        yield from self._contents()
        yield from self._strays()
        if not self._dry:
            for freed in self._blobs.empty_trash(FREE_STEP):
                yield [Waste("freed", "", freed)]

    def _uploads(self) -> Iterator[list[Waste]]:
        before = self._now() - UPLOAD_SECONDS
        for upload in list(self._blobs.uploads()):
            touched = self._blobs.touched(upload)
            if touched is not None and touched < before:
                yield self._upload(upload, before)
        for upload in self._catalog.stale_uploads(before, BATCH):
            if self._blobs.offset(upload) is None:
                if not self._dry:
                    self._catalog.end(upload)
                yield [Waste("upload", upload)]

    def _upload(self, upload: str, before: float) -> list[Waste]:
        size = self._blobs.offset(upload) or 0
        if self._dry:
            return [Waste("upload", upload, size)]
        try:
            writing = self._blobs.take(upload)
        except FileNotFoundError:
            return []
        if writing is None:
            return []
        with writing:
            touched = self._blobs.touched(upload)
            if touched is None or touched >= before:  # somebody went on with it before we had it
                return []
            writing.discard()
        self._catalog.end(upload)
        return [Waste("upload", upload, size)]

    def _manifests(self) -> Iterator[list[Waste]]:
        keeper = Keeper(self._catalog, self._policy, self._now(), untagged=self._untagged, dry=self._dry)
        for found in keeper.steps():
            yield [Waste(one.kind, one.name, 0, one.reason) for one in found]

    def _links(self) -> Iterator[list[Waste]]:
        after = (0, 0)
        while (end := self._catalog.next_links(after, BATCH)) is not None:
            now = self._now()
            found = self._catalog.stale_links(now, after, BATCH)
            after = end
            if found and not self._dry:
                self._catalog.drop_links(now, [(repository, blob) for repository, blob, _, _ in found])
            yield [Waste("link", f"{name}@{digest}") for _, _, name, digest in found]

    def _unlinked_blobs(self) -> Iterator[list[Waste]]:
        after = 0
        while found := self._catalog.stale_blobs(after, BATCH):
            after = found[-1][0]
            sizes = {digest: size for _, digest, size in found}
            if self._dry:
                yield [Waste("blob", digest, size) for digest, size in sizes.items()]
                continue
            gone = self._catalog.drop_blobs([number for number, _, _ in found])
            for digest in gone:
                if self._sweep(digest):
                    yield [Waste("blob", digest, sizes[digest])]

    def _sweep(self, digest: str) -> bool:
        one = Digest.parse(digest)
        return self._catalog.sweep(digest, lambda: self._blobs.condemn(one), lambda: self._blobs.remove(one))

    def _contents(self) -> Iterator[list[Waste]]:
        while not self._dry and self._catalog.drop_contents(BATCH):
            yield []
        if not self._dry:
            self._catalog.drop_repositories()

    def _strays(self) -> Iterator[list[Waste]]:
        """Bytes without a row: what a crash left between the bytes and the rows."""
        for found in self._blobs.strays(self._now() - STRAY_SECONDS):
            lost = [(digest, size) for digest, size in found if not self._catalog.known(digest)]
            if not self._dry:
                lost = [(digest, size) for digest, size in lost if self._sweep(digest)]
            yield [Waste("blob", digest, size) for digest, size in lost]
