"""What a command with cache mounts sees as new: files of the build whose content is another than the last time.

All that a build makes has one time (docs/decisions/0012), but make, cargo and their kin compare the times of sources
with those of what they left in a cache mount. So for the command alone, what changed since a command had the mount is
given the present time, in the container's own upper folder; its layer (layer/diff.py) is written as if it had not been.
Files of base images keep their times.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from contextlib import contextmanager

from holdall.build.cache_mounting import is_empty
from holdall.layer import overlay
from holdall.layer.walk import walk
from holdall.linux import fsop
from holdall.linux.inroot import open_in_root
from holdall.linux.stack import view
from holdall.store.build_cache import digest_of
from holdall.store.cache_mounts import SEEN
from holdall.store.cache_seen import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from holdall.engine.container import Container
    from holdall.engine.engine import Engine
    from holdall.layer.walk import Node
    from holdall.store.cache_mounts import Given
    from holdall.store.cache_seen import Seen

DIGITS = 32
"""Of a digest in hex: nobody gains by a collision in a build of their own."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class StepTimes:
    """The times that one command sees. `own` are the diff-ids of the layers that builds made, base first; `given` the
    cache mounts that the command may write to.
    """

    def __init__(self, engine: Engine, own: Sequence[str], given: Iterable[Given], check: Callable[[], None]) -> None:
        self.shown: int | None = None
        """The time (ns) that was given to something; None when to nothing."""
        self._engine = engine
        self._own = own
        self._given = {one.path: one for one in given}
        self._check = check
        self._found: dict[str, Seen] = {}

    def show(self, container: Container) -> None:
        """Give what is new the present time, before the first start. Raises OSError."""
        if not self._own or not self._given:
            return
        there = _Files(self._engine, self._own, self._check)
        new: dict[str, None] = {}
        for path in self._given:
            with opened(path + SEEN) as noted:
                found = self._found[path] = there.seen(noted.seen)
                changed = {name: None for name, value in found.items() if noted.seen.get(name, ("",))[0] != value[0]}
                # in an empty folder there is nothing that could be older than anything
                if is_empty(path):
                    noted.forget(noted.seen)
                else:
                    noted.forget(changed)
                    new.update(changed)
        if new:
            self._touch(container, new)

    def _touch(self, container: Container, paths: Iterable[str]) -> None:
        now = time.time_ns()
        with _opened(self._engine, container) as root:
            for path in paths:
                self._check()
                fd = open_in_root(root, path, os.O_PATH | os.O_NOFOLLOW, symlinks=False)
                try:
                    os.utime(f"/proc/self/fd/{fd}", ns=(now, now))
                    # as exactly as the file system keeps it
                    self.shown = self.shown or os.fstat(fd).st_mtime_ns
                finally:
                    os.close(fd)

    def note(self) -> None:
        """The command has ended well: note what it was shown. Raises OSError."""
        for path, found in self._found.items():
            if self._given[path].alone:
                with opened(path + SEEN) as noted:
                    noted.note(found)


@contextmanager
def _opened(engine: Engine, container: Container) -> Iterator[int]:
    """The container's files, to be changed as it would itself, but without a sync for each that is copied up."""
    copied = container.folder + "/rootfs"
    if os.path.isdir(copied):
        root = os.open(copied, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        work = container.folder + "/step/times"
        os.mkdir(work, 0o700)
        with engine.containers.snapshots.view(container.diff_ids) as lowers:
            root = view(lowers, container.folder + "/upper", work, volatile=True)
    try:
        yield root
    finally:
        os.close(root)


class _Files:
    """The files and folders of the layers that builds made, as far as layers above do not hide them."""

    def __init__(self, engine: Engine, own: Sequence[str], check: Callable[[], None]) -> None:
        self._engine = engine
        self._own = own
        self._check = check
        self._digests: dict[str, str] = {}

    def seen(self, before: Seen) -> Seen:
        """All of them; what comes from the same layer as `before` is not read again."""
        found: Seen = {}
        hidden: set[str] = set()
        names: dict[str, set[str]] = {}
        for diff_id in dict.fromkeys(reversed(self._own)):
            with self._engine.containers.snapshots.view((diff_id,)) as folders:
                for folder in folders:
                    self._layer(folder, diff_id, before, (found, hidden, names))
        names.pop("", None)
        for path, inside in names.items():
            found[path] = (_short("\0".join(sorted(inside))), "")
        return found

    def _layer(self, folder: str, diff_id: str, before: Seen, into: tuple[Seen, set[str], dict[str, set[str]]]) -> None:
        found, hidden, names = into
        covered: set[str] = set()
        root = fsop.open_directory(folder)
        try:
            for node in walk(root):
                self._check()
                path = os.fsdecode(node.path)
                is_folder = stat.S_ISDIR(node.status.st_mode)
                if path in hidden or (path in names and not is_folder):
                    node.descend = False
                    continue
                place = fsop.fd_path(node.fd, node.name)
                if overlay.is_whiteout(place, node.status):
                    covered.add(path)
                    continue
                above, _, name = path.rpartition("/")
                names.setdefault(above, set()).add(name)
                if is_folder:
                    names.setdefault(path, set())
                    if overlay.is_opaque(place):
                        covered.add(path)
                    continue
                covered.add(path)
                if stat.S_ISREG(node.status.st_mode):
                    known = before.get(path)
                    same = known is not None and known[1] == diff_id
                    found[path] = known if known is not None and same else (self._digest(path, node), diff_id)
        finally:
            os.close(root)
        hidden |= covered

    def _digest(self, path: str, node: Node) -> str:
        known = self._digests.get(path)
        if known is None:
            fd = os.open(node.name, _READ, dir_fd=node.fd)
            try:
                known = self._digests[path] = digest_of(fd)[:DIGITS]
            finally:
                os.close(fd)
        return known


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]
