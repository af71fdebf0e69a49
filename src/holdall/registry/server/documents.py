"""Small named values in the catalog: watched for changes, and changed without losing what others change."""

from __future__ import annotations

from holdall.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.registry.server.storage import Catalog

MAX_TRIES = 100


class Watched:
    """One document as it was last read. `raw` is empty when there is none."""

    def __init__(self, catalog: Catalog, name: str) -> None:
        self._catalog = catalog
        self._name = name
        self._version = -1
        self.raw = b""

    def look(self) -> bool:
        """Read it again if its version is another one; whether it was. Synchronous; raises what the catalog raises."""
        if self._catalog.document_version(self._name) == self._version:
            return False
        found = self._catalog.document(self._name)
        self._version, self.raw = (0, b"") if found is None else (found.version, found.raw)
        return True


def change(catalog: Catalog, name: str, step: Callable[[bytes], bytes]) -> bytes:
    """Store what `step` makes of a document (empty when there is none), again and again until nobody was quicker.

    Returns what is stored now. A step that gives back what it got writes nothing.
    """
    for _ in range(MAX_TRIES):
        found = catalog.document(name)
        before, version = (b"", 0) if found is None else (found.raw, found.version)
        after = step(before)
        if after == before or catalog.put_document(name, after, version):
            return after
    raise Conflict(f'others keep changing "{name}" of this registry')
