"""The table `origins`: which repositories of registries have a blob, so that its bytes need not be kept here."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.oci.digest import Digest
    from holdall.store.database import Database


class Origins:
    """A BlobOrigins over one store. Repositories are full names: "docker.io/library/debian"."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, digest: Digest) -> tuple[str, ...]:
        """Repositories that were seen to have the blob, the last seen first."""
        sql = "SELECT repository FROM origins WHERE digest = ? ORDER BY seen DESC, repository"
        return tuple([name for (name,) in self._database.all(sql, (str(digest),))])

    def note(self, digest: Digest, repository: str) -> None:
        """The blob was seen there now. Raises NoSpace, NotPermitted."""
        self.note_all((digest,), repository)

    def note_all(self, digests: Iterable[Digest], repository: str) -> None:
        """The same for several blobs, in one transaction."""
        now = time.time_ns()
        with self._database.transaction() as database:
            for digest in digests:
                database.execute("INSERT OR REPLACE INTO origins VALUES (?, ?, ?)", (str(digest), repository, now))

    def forget(self, digest: Digest, repository: str) -> None:
        """The blob is not there any more."""
        with self._database.transaction() as database:
            database.execute("DELETE FROM origins WHERE digest = ? AND repository = ?", (str(digest), repository))
