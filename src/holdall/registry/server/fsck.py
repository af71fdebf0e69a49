"""Check a registry, also while it serves: each blob's bytes, each manifest's, and that nothing named is missing."""

from __future__ import annotations

import time

from holdall.errors import HoldallError
from holdall.oci.digest import Digest
from holdall.record import record
from holdall.registry.server.content import examine
from holdall.registry.server.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.registry.server.storage import Blobs, Catalog

BATCH = 200
MANIFESTS = 8  # each may have 4 MiB
READ = 1 << 20
FRESH_SECONDS = 3_600.0


@record
class Problem:
    """What is wrong with what. `mended` says what was done about it, empty when nothing was."""

    kind: str
    name: str
    what: str
    mended: str = ""


class Check:
    """One pass over everything; iterate `problems`. With `repair` what cannot be right is taken away.

    A damaged or lost blob's row goes, so that the next push brings its bytes again; manifests that name it stay.
    """

    def __init__(self, catalog: Catalog, blobs: Blobs, *, repair: bool = False, quick: bool = False) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._repair = repair
        self._quick = quick

    def problems(self) -> Iterator[Problem]:
        """Find all problems. `quick` compares sizes instead of reading every byte."""
        for text in self._catalog.damage():
            yield Problem("database", "registry.db", text)
        yield from self._rows()
        yield from self._manifests()
        yield from self._strays()

    def _rows(self) -> Iterator[Problem]:
        after = 0
        while found := self._catalog.every_blob(after, BATCH):
            after = found[-1][0]
            for _, digest, size in found:
                wrong = self._wrong(digest, size)
                if wrong and self._catalog.known(digest):
                    yield Problem("blob", digest, wrong, self._forget(digest))

    def _wrong(self, text: str, size: int) -> str:
        digest = Digest.parse(text)
        hasher, length = digest.hasher(), 0
        try:
            with self._blobs.open(digest) as file:
                if self._quick:
                    length = file.seek(0, 2)
                while not self._quick and (data := file.read(READ)):
                    hasher.update(data)
                    length += len(data)
        except FileNotFoundError:
            return "its bytes are not there"
        if length != size:
            return f"has {length} bytes, not {size}"
        return "" if self._quick or Digest.from_hasher(hasher) == digest else "its bytes have another digest"

    def _forget(self, text: str) -> str:
        if not self._repair:
            return ""
        self._catalog.forget_blob(text)
        self._sweep(text)
        return "removed"

    def _sweep(self, text: str) -> bool:
        """Remove a blob's bytes, unless it has a row (again)."""
        digest = Digest.parse(text)
        return self._catalog.sweep(text, lambda: self._blobs.condemn(digest), lambda: self._blobs.remove(digest))

    def _manifests(self) -> Iterator[Problem]:
        after = 0
        while found := self._catalog.every_manifest(after, MANIFESTS):
            after = found[-1][0]
            for _, repository, digest, raw in found:
                yield from self._manifest(repository, digest, raw)

    def _manifest(self, repository: str, digest: str, raw: bytes) -> Iterator[Problem]:
        name = f"{repository}@{digest}"
        try:
            stored = examine(raw, "", Digest.parse(digest))
        except (Refusal, HoldallError) as err:
            gone = self._repair and self._catalog.delete_manifest(repository, digest)
            yield Problem("manifest", name, str(err), "removed" if gone else "")
            return
        for member in stored.members:
            text = str(member)
            if (
                self._catalog.blob_size(repository, text) is None
                and self._catalog.manifest(repository, text, content=False) is None
                and self._catalog.manifest(repository, digest, content=False) is not None
                and not self._catalog.is_mirrored(repository, digest)
            ):
                yield Problem("manifest", name, f"{text} is not in the repository")

    def _strays(self) -> Iterator[Problem]:
        for found in self._blobs.strays(time.time() - FRESH_SECONDS):
            for digest, _ in found:
                if self._catalog.known(digest):
                    continue
                if not self._repair:
                    yield Problem("stray", digest, "bytes that no row names")
                elif self._sweep(digest):  # else somebody has just pushed it
                    yield Problem("stray", digest, "bytes that no row names", "removed")
