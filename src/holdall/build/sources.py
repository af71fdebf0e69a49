"""Where files come from: the build context, stages and images, named contexts, URLs and repositories.

Owns the descriptors, views and folders it opens.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack

from holdall.build import contexts, lookup
from holdall.build.tree import Tree
from holdall.dockerfile import ignore
from holdall.store.build_cache import FileDigests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.build.contexts import Named
    from holdall.build.gitcommand import Ssh
    from holdall.build.gitsource import Repositories
    from holdall.build.options import BuildOptions
    from holdall.build.stop import Stop
    from holdall.build.urls import Downloads
    from holdall.store.images import ImageStore


class Sources:
    """One build's. Usable from several threads; `close` gives everything back.

    `secret` gives the value of one of the build's secrets, None when it was not given.
    """

    def __init__(
        self, options: BuildOptions, store: ImageStore, stop: Stop, secret: Callable[[str], bytes | None]
    ) -> None:
        self.digests = FileDigests(store.database)
        self.paths = store.content.paths
        self._options = options
        self._store = store
        self._stop = stop
        self._stack = ExitStack()
        self._lock = threading.RLock()
        self._views: dict[tuple[str, ...], int] = {}
        self._trees: dict[str, Tree] = {}
        self._repositories: Repositories | None = None
        self._downloads: Downloads | None = None

        def text(name: str) -> str | None:
            value = secret(name)
            return None if value is None else value.decode("utf-8", "replace")

        self._secret = text
        try:
            self.main = contexts.opened(options, self)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close descriptors and views, remove folders."""
        self._stack.close()

    @property
    def downloads(self) -> Downloads:
        """What is behind URLs."""
        from holdall.build.urls import Downloads

        with self._lock:
            if self._downloads is None:
                self._downloads = Downloads(self.paths, self._secret, self._stop, self._stack)
            return self._downloads

    @property
    def repositories(self) -> Repositories:
        """Those of git."""
        from holdall.build.gitcommand import Git
        from holdall.build.gitsource import Repositories

        with self._lock:
            if self._repositories is None:
                git = Git(self._secret, _ssh(self._options), self._stop, self.folder())
                self._repositories = Repositories(git, self.paths, self._stop)
            return self._repositories

    def folder(self) -> str:
        """A new folder that goes with the build. Raises NoSpace, NotPermitted."""
        from holdall.store import scratch

        with self._lock:
            path = self._stack.enter_context(scratch.folder(self.paths)) + "/files"
        os.mkdir(path, 0o755)
        os.chmod(path, 0o755)
        return path

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
        return Tree(self.view(diff_ids), key=repr(diff_ids))

    def context(self) -> Tree | None:
        """The build context behind its ignore rules; None when there is none."""
        main = self.main
        return self._tree("", main.folder, main.ignore) if main.folder else None

    def is_lasting(self, tree: Tree) -> bool:
        """Whether the tree was there before the build and stays."""
        return tree.own and not os.path.join(tree.path, "").startswith(self.paths.root + "/")

    def named(self, one: Named) -> Tree:
        """A named context of files behind its ignore rules. Raises as `contexts.opened`."""
        with self._lock:
            found = self._trees.get(one.value)
            if found is None:
                found = self._tree(one.value, contexts.in_folder(one, self), None)
            return found

    def _tree(self, name: str, folder: str, patterns: bytes | None) -> Tree:
        with self._lock:
            if name not in self._trees:
                fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                self._stack.callback(os.close, fd)
                data = lookup.read(fd, ".dockerignore", ignore.MAX_SIZE) if patterns is None else patterns
                rules = ignore.IgnoreRules(ignore.read(data)) if data else None
                self._trees[name] = Tree(fd, rules, own=True, path=os.path.realpath(folder))
            return self._trees[name]

    def _mounted(self, diff_ids: tuple[str, ...]) -> int:
        from holdall.linux.stack import view

        return view(self._stack.enter_context(self._store.snapshots.view(diff_ids)))

    def _empty(self) -> int:
        return os.open(self.folder(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _ssh(options: BuildOptions) -> Ssh:
    """What --ssh default gives: an agent's socket, or keys."""
    from holdall.build.gitcommand import Ssh

    given = options.ssh.get("default")
    if given is None:
        return Ssh()
    sockets = [path for path in given if not os.path.isfile(path)] or ([] if given else [_agent()])
    return Ssh(sockets[0] if sockets else "", tuple([os.path.abspath(path) for path in given if os.path.isfile(path)]))


def _agent() -> str:
    return os.environ.get("SSH_AUTH_SOCK", "")
