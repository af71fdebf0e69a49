"""What each layer of an image does to those below it, and how many of its bytes the ones above it hide."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager

from holdall.errors import LimitExceeded, StoreCorrupt
from holdall.record import record
from holdall.store.snapshots.layers import INDEX, TREE, Layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Item = tuple[bytes, bool, int, bool, bool]
    """Path, is a directory, bytes (0 for a further name of one file), is a whiteout, hides what was below."""

MAX_NAMES = 4_000_000
LISTED = 1000
OPAQUE = b"trusted.overlay.opaque"


@record
class Names:
    """Names of one kind: how many, the bytes of their files, and the first thousand."""

    count: int = 0
    bytes: int = 0
    paths: tuple[str, ...] = ()


@record
class LayerReport:
    """One layer. `wasted` is the bytes of its files that layers above replace or remove: nobody ever sees them."""

    diff_id: str
    adds: Names
    overwrites: Names
    removes: Names
    wasted: int


def report(layers: Layers, diff_ids: Sequence[str]) -> tuple[LayerReport, ...]:
    """All layers, base first. Raises StoreCorrupt (a layer is missing or damaged), LimitExceeded, OSError."""
    merged = _Merged(len(diff_ids))
    found = []
    for number, diff_id in enumerate(diff_ids):
        with _items(layers, diff_id) as items:
            found.append(merged.add(number, items))
    return tuple(
        LayerReport(diff_id, one.adds.names(), one.overwrites.names(), one.removes.names(), merged.wasted[number])
        for number, (diff_id, one) in enumerate(zip(diff_ids, found, strict=True))
    )


class _Count:
    def __init__(self) -> None:
        self.count = self.bytes = 0
        self.paths: list[str] = []

    def add(self, path: bytes, size: int) -> None:
        self.count += 1
        self.bytes += size
        if len(self.paths) < LISTED:
            self.paths.append("/" + os.fsdecode(path))

    def names(self) -> Names:
        return Names(self.count, self.bytes, tuple(self.paths))


class _Changes:
    def __init__(self) -> None:
        self.adds, self.overwrites, self.removes = _Count(), _Count(), _Count()


class _Name:
    """A name as the layers so far show it: which of them it is from, its bytes, what it holds."""

    __slots__ = ("children", "layer", "size")

    def __init__(self, layer: int, size: int, *, folder: bool) -> None:
        self.layer = layer
        self.size = size
        self.children: dict[bytes, _Name] | None = {} if folder else None


class _Merged:
    def __init__(self, count: int) -> None:
        self.wasted = [0] * count
        self._root = _Name(0, 0, folder=True)
        self._names = 0

    def add(self, number: int, items: Iterator[Item]) -> _Changes:
        """Put a layer on top; what that changes."""
        changes = _Changes()
        folders = {b"": self._root}
        for path, is_folder, size, is_whiteout, is_opaque in items:
            if is_opaque and path == b"":
                self._clear(self._root, b"", changes)
            if not path:
                continue
            above, _, name = path.rpartition(b"/")
            children = folders[above].children
            assert children is not None
            there = children.get(name)
            if is_whiteout:
                if there is not None:
                    del children[name]
                    self._hide(there, path, changes.removes)
                continue
            if is_folder and there is not None and there.children is not None:
                folders[path] = there
                if is_opaque:
                    self._clear(there, path, changes)
                continue
            self._names += 1
            if self._names > MAX_NAMES:
                raise LimitExceeded(f"the image has more than {MAX_NAMES} names")
            found = children[name] = _Name(number, size, folder=is_folder)
            if is_folder:
                folders[path] = found
            if there is None:
                changes.adds.add(path, size)
                continue
            changes.overwrites.add(path, size)
            self._waste(there)
            for child, held in (there.children or {}).items():
                self._hide(held, path + b"/" + child, changes.removes)
        return changes

    def _clear(self, folder: _Name, path: bytes, changes: _Changes) -> None:
        children, folder.children = folder.children or {}, {}
        for name, child in children.items():
            self._hide(child, path + b"/" + name if path else name, changes.removes)

    def _hide(self, top: _Name, path: bytes, count: _Count) -> None:
        todo = [(top, path)]
        while todo:
            name, place = todo.pop()
            count.add(place, name.size)
            self._waste(name)
            todo += [(child, place + b"/" + below) for below, child in (name.children or {}).items()]

    def _waste(self, name: _Name) -> None:
        self.wasted[name.layer] += name.size


@contextmanager
def _items(layers: Layers, diff_id: str) -> Iterator[Iterator[Item]]:
    content = layers.content(diff_id)
    if INDEX in content:
        fd = os.open(f"{layers.folder(diff_id)}/{INDEX}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield _indexed(fd)
        finally:
            os.close(fd)
    elif TREE in content:
        yield _unpacked(os.fsencode(f"{layers.folder(diff_id)}/{TREE}"))
    else:
        raise StoreCorrupt(f'layer "{diff_id}" is missing', hint="remove the image and pull or load it again")


def _indexed(fd: int) -> Iterator[Item]:
    from holdall.erofs.reader import Reader
    from holdall.errors import InvalidArchive

    seen: set[int] = set()
    try:
        reader = Reader(fd)
        for path, inode in reader.walk():
            size = 0
            if stat.S_ISREG(inode.mode) and inode.nid not in seen:
                size = inode.size
                if inode.nlink > 1:
                    seen.add(inode.nid)
            is_opaque = inode.is_directory and bool(inode.xattr_size) and reader.xattrs(inode).get(OPAQUE) == b"y"
            yield path, inode.is_directory, size, stat.S_ISCHR(inode.mode) and inode.rdev == 0, is_opaque
    except InvalidArchive as err:
        raise StoreCorrupt(f"{err.message}", hint="holdall system fsck --repair") from err


def _unpacked(top: bytes) -> Iterator[Item]:
    seen: set[tuple[int, int]] = set()
    yield b"", True, 0, False, _is_opaque(top)
    todo = [b""]
    while todo:
        path = todo.pop()
        place = top + b"/" + path if path else top
        for name in os.listdir(place):
            below = path + b"/" + name if path else name
            status = os.stat(top + b"/" + below, follow_symlinks=False)
            is_folder = stat.S_ISDIR(status.st_mode)
            size = 0
            if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in seen:
                size = status.st_size
                if status.st_nlink > 1:
                    seen.add((status.st_dev, status.st_ino))
            if is_folder:
                todo.append(below)
            is_whiteout = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
            yield below, is_folder, size, is_whiteout, is_folder and _is_opaque(top + b"/" + below)


def _is_opaque(path: bytes) -> bool:
    try:
        return os.getxattr(path, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False
