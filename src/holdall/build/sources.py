"""Where files come from: the build context, stages and images. Owns the descriptors and views it opens."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack

from holdall.build import lookup
from holdall.build.tree import Tree
from holdall.dockerfile import ignore
from holdall.linux.stack import view
from holdall.store import scratch
from holdall.store.build_cache import FileDigests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.build.options import BuildOptions
    from holdall.store.images import ImageStore


class Sources:
    """One build's. Usable from several threads; `close` gives everything back."""

    def __init__(self, options: BuildOptions, store: ImageStore, dockerfile: str) -> None:
        self.digests = FileDigests(store.database)
        self._options = options
        self._store = store
        self._dockerfile = dockerfile
        self._stack = ExitStack()
        self._lock = threading.RLock()
        self._views: dict[tuple[str, ...], int] = {}
        self._context: Tree | None = None

    def close(self) -> None:
        """Close descriptors and views."""
        self._stack.close()

    def view(self, diff_ids: tuple[str, ...]) -> int:
        """The files of these layers, base first, as a descriptor of ours; an empty folder for none."""
        with self._lock:
            found = self._views.get(diff_ids)
            if found is None:
                found = self._views[diff_ids] = self._mounted(diff_ids) if diff_ids else self._empty()
                self._stack.callback(os.close, found)
            return found

    def layers(self, diff_ids: tuple[str, ...]) -> Tree:
        """The files of a stage or an image."""
        return Tree(self.view(diff_ids))

    def context(self) -> Tree | None:
        """The build context behind its ignore rules; None when there is none."""
        with self._lock:
            if self._context is None and self._options.context:
                fd = os.open(self._options.context, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                self._stack.callback(os.close, fd)
                self._context = Tree(fd, self._rules(fd), own=True)
            return self._context

    def _mounted(self, diff_ids: tuple[str, ...]) -> int:
        return view(self._stack.enter_context(self._store.snapshots.view(diff_ids)))

    def _empty(self) -> int:
        folder = self._stack.enter_context(scratch.folder(self._store.content.paths))
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _rules(self, fd: int) -> ignore.IgnoreRules | None:
        candidates = [os.path.abspath(self._dockerfile) + ".dockerignore"] if self._options.text is None else []
        for path in candidates:
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    return ignore.IgnoreRules(ignore.read(file.read(ignore.MAX_SIZE + 1), path))
        data = lookup.read(fd, ".dockerignore", ignore.MAX_SIZE)
        return ignore.IgnoreRules(ignore.read(data)) if data else None
