"""What a container changed in a root that is a copy, put into the form of an upper folder of overlayfs.

The change time cannot be set by anybody: what was last changed before the copy was finished is the layer's own. The
rest is linked into the folder (no data is copied) and judged there by `layer/diff.py`, as any upper folder is.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager

from holdall.layer import overlay
from holdall.linux import fsop
from holdall.store.snapshots.copying import dress
from holdall.store.trees import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MARK = "rootfs.made"
"""A file in the container's folder, made when the copy was complete: its change time divides old from new."""


@contextmanager
def changes_of(root: str, lowers: Sequence[str], folder: str) -> Iterator[str]:
    """A folder (in `folder`, removed at the end) like overlayfs' upper one. Raises OSError."""
    upper = f"{folder}/.changes-{os.urandom(8).hex()}"
    os.mkdir(upper, 0o700)
    try:
        since = os.stat(f"{folder}/{MARK}").st_ctime_ns
        _Comparison(os.fsencode(root), os.fsencode(upper), since).run([os.fsencode(lower) for lower in lowers])
        yield upper
    finally:
        remove_tree(upper)


class _Comparison:
    def __init__(self, root: bytes, upper: bytes, since: int) -> None:
        self._root = root
        self._upper = upper
        self._since = since
        self._made = {b""}

    def run(self, lowers: list[bytes]) -> None:
        todo = [(b"", lowers)]
        while todo:
            path, folders = todo.pop()
            present = {os.fsencode(name) for name in os.listdir(self._root + path)}
            for name in sorted(present.union(overlay.names_in(folders))):
                place = path + b"/" + name
                old = overlay.look(folders, name)
                try:
                    new = os.lstat(self._root + place)
                except FileNotFoundError:
                    if old.status is not None:
                        self._parents(path)
                        os.mknod(self._upper + place, stat.S_IFCHR, 0)
                    continue
                if self._changed(old, new, place):
                    self._take(path, place, new)
                if stat.S_ISDIR(new.st_mode):
                    todo.append((place, old.directories))

    def _changed(self, old: overlay.Lower, new: os.stat_result, place: bytes) -> bool:
        was = old.status
        if was is None or new.st_ctime_ns >= self._since:
            return True
        if (was.st_mode, was.st_uid, was.st_gid, was.st_rdev) != (new.st_mode, new.st_uid, new.st_gid, new.st_rdev):
            return True
        if stat.S_ISDIR(new.st_mode):
            return False
        if (was.st_size, was.st_mtime_ns) != (new.st_size, new.st_mtime_ns):
            return True  # an old file in a folder that was renamed
        return stat.S_ISLNK(new.st_mode) and os.readlink(old.path) != os.readlink(self._root + place)

    def _take(self, path: bytes, place: bytes, new: os.stat_result) -> None:
        if stat.S_ISDIR(new.st_mode):
            self._parents(place)
        elif not fsop.is_whiteout_device(new):
            self._parents(path)
            os.link(self._root + place, self._upper + place, follow_symlinks=False)

    def _parents(self, path: bytes) -> None:
        """Make the folder `path` in the upper folder, looking as it does in the root; and all above it."""
        missing = []
        while path not in self._made:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        for place in reversed(missing):
            source = self._root + place
            os.mkdir(self._upper + place, 0o700)
            dress(source, self._upper + place, os.lstat(source))
            self._made.add(place)
