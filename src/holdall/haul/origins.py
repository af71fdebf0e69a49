"""Where blobs are, for the time of one copy or sync: at the source, and wherever they were sent since."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.digest import Digest

MAX_KEPT = 3


class Origins:
    """A BlobOrigins in memory. `source` is the repository (full name) that has all blobs of what is copied now."""

    def __init__(self) -> None:
        self.source = ""
        self._seen: dict[Digest, list[str]] = {}

    def of(self, digest: Digest) -> tuple[str, ...]:
        """See `BlobOrigins`: the source first."""
        return tuple(dict.fromkeys([*([self.source] if self.source else []), *self._seen.get(digest, ())]))

    def note(self, digest: Digest, repository: str) -> None:
        """See `BlobOrigins`."""
        known = self._seen.setdefault(digest, [])
        if repository in known:
            known.remove(repository)
        known.insert(0, repository)
        del known[MAX_KEPT:]

    def forget(self, digest: Digest, repository: str) -> None:
        """See `BlobOrigins`."""
        if repository in self._seen.get(digest, ()):
            self._seen[digest].remove(repository)
