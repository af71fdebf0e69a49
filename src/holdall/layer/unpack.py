"""Unpacks tar streams: `unpack` a layer for overlayfs, `extract_into` a directory as `cp` and `import` need it.

Image-spec layer.md "Applying Changesets", overlayfs.rst in the kernel's documentation. Both keep to the root
whatever the tar says, and leave no descriptor open; what a failed call has made is the caller's to remove.
"""

from __future__ import annotations

import os
import stat

from holdall.errors import InvalidArchive
from holdall.layer import names, overlay, xattrs
from holdall.layer.entry import Entry, Kind
from holdall.layer.fromfs import entry_of
from holdall.layer.limits import DEFAULT
from holdall.layer.names import Mark
from holdall.layer.place import Placer
from holdall.layer.tar import TarReader
from holdall.linux import fsop
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.layer.feed import Readable
    from holdall.layer.limits import Limits

SET_ID = stat.S_ISUID | stat.S_ISGID
CAPABILITY = b"security.capability"
_IMPLIED = Entry(b"", Kind.DIRECTORY, 0o755)


@record
class Stats:
    """What was unpacked: entries of any kind, regular files, their bytes as stored, whiteouts, attributes not set.

    `opaque_root`: the layer hides all below it. overlayfs passes over the mark on a layer's root, so a stack has to
    end here; with `lowers` given, whiteouts have been made that come to the same.
    """

    entries: int
    files: int
    bytes: int
    whiteouts: int
    dropped_xattrs: int
    opaque_root: bool = False


def unpack(
    tar_stream: Readable,
    target: str,
    limits: Limits = DEFAULT,
    *,
    lowers: Sequence[str] = (),
    require_end: bool = True,
) -> Stats:
    """Unpack a layer's tar into the existing directory `target`, to be a lower directory of an overlay mount.

    Whiteouts become character devices 0:0, opaque markers `trusted.overlay.opaque`. The entry for the root itself is
    passed over, as Docker and containerd do. The stream is read to its end, so a hash over it is whole.
    A parent that the tar has no entry for is root's, mode 0755, of the time 0; given `lowers`, the layers below, top
    first, it looks as it does there (only for a directory that serves that one stack).
    `require_end=False` takes a tar without end mark, for streams whose digest is verified anyway.
    Raises InvalidArchive, LimitExceeded, OSError.
    """
    reader = TarReader(tar_stream, limits, require_end=require_end)
    with _LayerPlacer(target, lowers) as placer:
        for entry in reader:
            path = names.clean(entry.name, limits)
            placer.counts.entries += 1
            if not placer.mark(path):
                _put(placer, entry, path, reader, limits)
        placer.finish()
        counts = placer.counts
        return Stats(
            counts.entries,
            counts.files,
            counts.bytes,
            placer.whiteouts,
            counts.dropped_xattrs,
            placer.opaque_root,
        )


def extract_into(
    tar_stream: Readable,
    target: str | int,
    *,
    at: bytes = b"",
    rebase: tuple[bytes, bytes] | None = None,
    owner: tuple[int, int] | None = None,
    keep_kinds: bool = False,
    devices: bool = True,
    limits: Limits = DEFAULT,
) -> Stats:
    """Extract a tar below a directory: every name is an ordinary file, whiteout names too.

    `target` (a path, or a descriptor that stays the caller's) is the root nothing leaves; `at` is the directory in it
    that names are relative to, looked up as inside a chroot. `rebase` (old, new) renames the first component.
    `owner` replaces all uids and gids; without `devices` these are passed over, and what `owner` changes loses rights
    that a file gives to whoever runs it. With `keep_kinds`, a directory over a file or the reverse is Conflict.
    Raises InvalidArchive, LimitExceeded, Conflict, OSError.
    """
    reader = TarReader(tar_stream, limits)
    base = names.clean(at, limits)

    def inside(name: bytes) -> bytes:
        path = names.clean(name, limits)
        if rebase is not None and path.partition(b"/")[0] == rebase[0]:
            path = names.clean(rebase[1] + path[len(rebase[0]) :], limits)
        return base + b"/" + path if base and path else path

    with Placer(target, owner=owner, keep_kinds=keep_kinds) as placer:
        for entry in reader:
            placer.counts.entries += 1
            if not devices:
                if entry.kind in (Kind.CHAR, Kind.BLOCK):
                    continue
                if owner is not None and owner != (entry.uid, entry.gid):
                    entry = _without_rights(entry)
            link = inside(entry.link) if entry.kind is Kind.HARDLINK else b""
            _put(placer, entry, inside(entry.name), reader, limits, link)
        placer.finish()
        counts = placer.counts
        return Stats(counts.entries, counts.files, counts.bytes, 0, counts.dropped_xattrs)


def _without_rights(entry: Entry) -> Entry:
    if entry.kind is not Kind.FILE or not (entry.mode & SET_ID or CAPABILITY in entry.xattrs):
        return entry
    kept = {name: value for name, value in entry.xattrs.items() if name != CAPABILITY}
    return replace(entry, mode=entry.mode & ~SET_ID, xattrs=kept)


def _put(
    placer: Placer, entry: Entry, path: bytes, reader: TarReader, limits: Limits, link: bytes | None = None
) -> None:
    if not path:
        if entry.kind is not Kind.DIRECTORY:
            raise InvalidArchive(f'"{entry.shown}" would replace the root with a {entry.kind.name.lower()}')
    elif entry.kind is Kind.HARDLINK:
        target = names.clean(entry.link, limits) if link is None else link
        if not target:
            raise InvalidArchive(f'hard link "{entry.shown}" has no usable target')
        placer.link(entry, path, target)
    else:
        placer.place(entry, path, reader)


class _LayerPlacer(Placer):
    """Adds the meaning of whiteout names."""

    def __init__(self, target: str, lowers: Sequence[str]) -> None:
        super().__init__(target)
        self._lowers = [os.fsencode(lower) for lower in lowers]
        self.whiteouts = 0
        self.opaque_root = False

    def made(self, dir_fd: int, base: bytes, path: bytes, /) -> None:
        """A parent that no entry described must not change how the same directory looks in the layers below."""
        entry = _IMPLIED
        lower = overlay.look_deep(self._lowers, path) if self._lowers else None
        if lower is not None and lower.status is not None and stat.S_ISDIR(lower.status.st_mode):
            found = xattrs.collect(lower.path)
            entry = entry_of(path, Kind.DIRECTORY, lower.status, attributes=found)
        self.dress_parent(dir_fd, base, path, entry)

    def mark(self, path: bytes) -> bool:
        """Act on a whiteout, an opaque marker or AUFS' own files (passed over). False if `path` is an ordinary name."""
        mark, above, hidden = names.mark(path)
        if mark is Mark.NONE:
            return False
        if mark is Mark.OPAQUE:
            fd = self.tree.directory(above)
            fsop.set_opaque(fd)
            self.whiteouts += 1
            self.opaque_root = self.opaque_root or os.path.sameopenfile(fd, self.tree.root)
        elif mark is Mark.WHITEOUT:
            self._hide(self.tree.directory(above), hidden)
        return True

    def _hide(self, fd: int, name: bytes) -> None:
        """A whiteout speaks of lower layers only: what this layer holds under the name stays, cut off from below."""
        self.whiteouts += 1
        try:
            fsop.make_whiteout(fd, name)
        except FileExistsError:
            if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                try:
                    fsop.set_opaque(below)
                finally:
                    os.close(below)

    def finish(self) -> None:
        """Do for an opaque root what overlayfs does not, then as for any tree."""
        if self.opaque_root:
            for name in overlay.names_in(self._lowers):
                self._hide(self.tree.root, name)
        super().finish()

    def clear(self, dir_fd: int, base: bytes, path: bytes, /) -> bool:
        """A parent that this layer has deleted and now fills again: a new directory that hides the old one."""
        if not fsop.is_whiteout_device(os.stat(base, dir_fd=dir_fd, follow_symlinks=False)):
            return False
        os.unlink(base, dir_fd=dir_fd)
        os.mkdir(base, 0o755, dir_fd=dir_fd)
        self.made(dir_fd, base, path)
        fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            fsop.set_opaque(fd)
        finally:
            os.close(fd)
        return True
