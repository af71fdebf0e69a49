"""ADD of an archive: its entries become the layer's, one pass, nothing unpacked on the way.

Where an entry lands is decided as tar(1) would in a chroot of the image: symlinks that are there, or came earlier in
the archive, are followed. None of the archive's own may lead out of the destination. Folders that no entry describes
look as below, or are new.
"""

from __future__ import annotations

import io
import os
import stat

from holdall.build import lookup
from holdall.build.copying import FOLDER_MODE, NS, folder_entry, is_deletion
from holdall.errors import DockerfileError, HoldallError, InvalidArchive, LimitExceeded
from holdall.layer import names, xattrs
from holdall.layer.compression import NONE, open_layer, sniff
from holdall.layer.entry import Entry, Kind, show
from holdall.layer.limits import DEFAULT
from holdall.layer.tar import TarReader
from holdall.linux import fsop
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.layer.feed import Readable
    from holdall.layer.limits import Limits
    from holdall.layer.writer import TarWriter

LINKS = 40
_LOOK = os.O_PATH | os.O_NOFOLLOW
_FOLDER, _FILE = b"/", b"//"
"""What is remembered of a path beside a symlink's target: neither can be one (see `_link`)."""


@record
class Target:
    """Where an archive goes. `folder` is a path without symlinks, "" for the root; `lower` what is below, or None.

    `owner` replaces everybody's; `epoch` in seconds is the latest time an entry may have.
    """

    folder: str
    lower: int | None
    owner: tuple[int, int] | None = None
    epoch: int = 0


def is_archive(fd: int) -> bool:
    """Whether a file's content is a tar, plain or compressed by gzip, bzip2, xz or zstd; its name does not matter.

    The descriptor is at the start again afterwards.
    """
    try:
        return _has_entry(open(fd, "rb", buffering=0, closefd=False))
    finally:
        os.lseek(fd, 0, os.SEEK_SET)


def begins_archive(head: bytes) -> bool:
    """Whether what begins so is an archive, as far as can be seen: of a compressed one no more than its mark."""
    return sniff(head) != NONE or _has_entry(io.BytesIO(head))


def _has_entry(stream: Readable) -> bool:
    try:
        return next(iter(TarReader(open_layer(stream), require_end=False)), None) is not None
    except HoldallError:
        return False


def write(stream: Readable, target: Target, tar: TarWriter, limits: Limits = DEFAULT) -> int:
    """Write the archive's entries to a layer; how many there were.

    Raises InvalidArchive, LimitExceeded, DockerfileError (a file is where a folder must be).
    """
    reader = TarReader(open_layer(stream, limits=limits), limits)
    unpacking = _Unpacking(target, tar, limits)
    count = 0
    for entry in reader:
        unpacking.put(entry, reader)
        count += 1
    return count


class _Unpacking:
    def __init__(self, target: Target, tar: TarWriter, limits: Limits) -> None:
        self._base = os.fsencode(target.folder)
        self._target = target
        self._tar = tar
        self._limits = limits
        self._latest = target.epoch * NS
        self._holes = 0
        self._there: dict[bytes, bytes] = {}
        """What is known to be at a path: _FOLDER, _FILE, or a symlink's target."""
        self._own: set[bytes] = set()
        """The symlinks that are the archive's."""
        self._described: set[bytes] = {b""}
        self._hidden: set[bytes] = set()
        """Folders made in place of something that hid what is below: nothing shows through them."""
        self._ways: dict[bytes, bytes] = {}
        for path in _steps(self._base):
            self._describe(path)

    def put(self, entry: Entry, reader: TarReader) -> None:
        """Write one entry under its new name."""
        name = names.clean(entry.name, self._limits)
        above, _, base = name.rpartition(b"/")
        if not name:
            if entry.kind is not Kind.DIRECTORY:
                raise InvalidArchive(f'"{entry.shown}" would replace the destination')
            path = self._base
            if not path:
                return
        else:
            if base.startswith(names.WHITEOUT) or is_deletion(entry):
                raise InvalidArchive(f'"{entry.shown}" cannot be added: in a layer it means a deletion')
            path = _joined(self._folder(above), base)
        link = self._target_of(entry) if entry.kind is Kind.HARDLINK else entry.link
        self._note(path, entry)
        self._check(entry)
        uid, gid = self._target.owner or (entry.uid, entry.gid)
        kept = {key: value for key, value in entry.xattrs.items() if xattrs.portable(key)}
        time = min(entry.mtime_ns, self._latest)
        self._tar.add(
            replace(entry, name=path, link=link, uid=uid, gid=gid, mtime_ns=time, xattrs=kept, sparse=None),
            reader if entry.kind is Kind.FILE else None,
        )

    def _check(self, entry: Entry) -> None:
        """Holes cost nothing in an archive, but are written out in a layer."""
        if entry.sparse is not None:
            self._holes += entry.size - sum(length for _, length in entry.sparse)
            if self._holes > self._limits.expansion_free:
                raise LimitExceeded(f"the archive has more than {self._limits.expansion_free} bytes of holes")

    def _target_of(self, entry: Entry) -> bytes:
        """What a hard link means: a file that the archive has had."""
        above, _, base = names.clean(entry.link, self._limits).rpartition(b"/")
        path = _joined(self._folder(above), base)
        found = self._there.get(path)
        if not base or found is None or found == _FOLDER:
            raise InvalidArchive(f'hard link "{entry.shown}" leads to "{show(entry.link)}", which is not there')
        return path

    def _note(self, path: bytes, entry: Entry) -> None:
        before = self._there.get(path)
        if entry.kind is Kind.DIRECTORY:
            if before not in (None, _FOLDER):
                self._forget(path)
                self._hidden.add(path)
            self._there[path] = _FOLDER
            self._described.add(path)
            return
        if before == _FOLDER:
            self._forget(path)
        if entry.kind is Kind.SYMLINK:
            self._there[path] = _link(entry.link)
            self._own.add(path)
            self._ways.clear()
        else:
            self._there[path] = _FILE
            self._own.discard(path)

    def _forget(self, path: bytes) -> None:
        """What was known below a path, which is something else from now on."""
        below = path + b"/"
        for one in [one for one in self._there if one.startswith(below)]:
            del self._there[one]
            self._described.discard(one)
        self._own.discard(path)
        self._described.discard(path)
        self._ways.clear()

    def _folder(self, name: bytes) -> bytes:
        """The folder that a cleaned name within the archive leads to, made with those above it if missing."""
        known = self._ways.get(name)
        if known is None:
            known = self._ways[name] = self._walked(name)
        return known

    def _walked(self, name: bytes) -> bytes:
        todo = [part for part in reversed(name.split(b"/")) if part]
        here = self._base
        followed, own = 0, False
        while todo:
            part = todo.pop()
            if part == b"..":
                here = here.rpartition(b"/")[0]
                continue
            path = _joined(here, part)
            found = self._look(path)
            if found is None or found == _FOLDER:
                self._describe(path)
                here = path
            elif found == _FILE:
                raise InvalidArchive(f'"{show(path)}" is in the way of "{show(name)}": it is no folder')
            else:
                followed += 1
                own = own or path in self._own
                if followed > LINKS:
                    raise InvalidArchive(f'a loop of symlinks is in the way of "{show(name)}"')
                if found.startswith(b"/"):
                    here = b""
                todo += [word for word in reversed(found.split(b"/")) if word not in (b"", b".")]
        if own and self._base and here != self._base and not here.startswith(self._base + b"/"):
            raise InvalidArchive(f'"{show(name)}" leaves the destination through a symlink of the archive')
        return here

    def _look(self, path: bytes) -> bytes | None:
        found = self._there.get(path)
        if found is None and self._target.lower is not None and not self._is_hidden(path):
            found = _below(self._target.lower, path)
            if found is not None:
                self._there[path] = found
        return found

    def _is_hidden(self, path: bytes) -> bool:
        return bool(self._hidden) and any(step in self._hidden for step in _steps(path.rpartition(b"/")[0]))

    def _describe(self, path: bytes) -> None:
        """An entry for a folder on the way: as it is below, or new."""
        if path in self._described:
            return
        owner = self._target.owner or (0, 0)
        found = self._look(path)
        if found not in (None, _FOLDER):
            raise DockerfileError(f'"/{show(path)}" is there and no folder')
        if found is None or self._target.lower is None or path in self._hidden:
            self._tar.add(Entry(path, Kind.DIRECTORY, FOLDER_MODE, *owner, mtime_ns=self._latest))
        else:
            there = lookup.find(self._target.lower, os.fsdecode(path), follow=False)
            self._tar.add(folder_entry(os.fsdecode(path), there, owner, self._target.epoch))
        self._described.add(path)
        self._there[path] = _FOLDER


def _below(lower: int, path: bytes) -> bytes | None:
    """What the layers below have at a path that leads through no symlinks."""
    try:
        fd = fsop.open_in_root(lower, path, _LOOK, resolve=fsop.RESOLVE_NO_SYMLINKS)
    except OSError:
        return None
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            return _FOLDER
        return _link(os.readlink(b"", dir_fd=fd)) if stat.S_ISLNK(mode) else _FILE
    finally:
        os.close(fd)


def _link(target: bytes) -> bytes:
    """A symlink's target as it is remembered: one that leads to the root must not be taken for a mark."""
    return target if target.strip(b"/") else target + b"."


def _joined(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def _steps(path: bytes) -> Iterator[bytes]:
    """The folders down to `path`, itself included; none for the root."""
    parts = path.split(b"/") if path else []
    for count in range(1, len(parts) + 1):
        yield b"/".join(parts[:count])
