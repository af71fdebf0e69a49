"""The cache mounts of one build: which of the store's folders it uses, and what fills those that are empty."""

from __future__ import annotations

import threading
from functools import partial

from holdall.store import cache_folders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from holdall.build.build import Build
    from holdall.store.images import ImageStore


class Mounts:
    """Usable from several threads; `close` notes what was used."""

    def __init__(self, build: Build, store: ImageStore) -> None:
        self._build = build
        self._store = store
        self._used: dict[str, str] = {}
        self._changed: set[str] = set()
        self._lock = threading.Lock()

    def use(self, folders: Mapping[str, str]) -> None:
        """A step has these cache mounts, ids by the names of their folders; executed or not."""
        with self._lock:
            self._used.update(folders)

    def named(self) -> tuple[tuple[str, str], ...]:
        """Names and ids of all, by name."""
        with self._lock:
            return tuple(sorted(self._used.items()))

    def close(self) -> None:
        """Note that they were of use now."""
        if self._used:
            store = self._store
            cache_folders.note_used(store.database, store.content.paths, self.named(), self._changed)

    def executed(self, names: Iterable[str]) -> None:
        """A command is about to have the folders of these names."""
        with self._lock:
            self._changed.update(names)

    def imported(self, name: str) -> Callable[[str], bool] | None:
        """What fills the folder of this name from a place of --cache-from; None when there is nothing for it."""
        imports = self._build.layers.imports
        if imports is None or not imports.mounts(name):
            return None
        return partial(imports.restore, name)
