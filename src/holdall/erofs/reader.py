"""The reader: names, inodes, attributes and where data is, of any uncompressed image, with nothing taken on trust.

Whatever the bytes are, each call ends soon and either answers or raises InvalidArchive (contradicts the format),
Unsupported (compression, later features), LimitExceeded or OSError. It does not compare inodes with each other; that is
`check.check`.
"""

from __future__ import annotations

import os
import stat

from holdall.erofs import directory
from holdall.erofs.extents import chunks, flat
from holdall.erofs.format import CHUNK_BASED, COMPACT_INODE, COMPRESSED, FILE_TYPES, INODE, SLOT_BITS, TARGET_MAX
from holdall.erofs.inode import Inode
from holdall.erofs.superblock import parse
from holdall.erofs.xattr import LONGEST_ENTRY, decode_body
from holdall.errors import InvalidArchive, LimitExceeded, PathNotFound, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.erofs.extents import Extent

MAX_PATH = 1 << 16
"""Bytes of one path in a walk."""
WINDOW_BITS = 16
WINDOWS = 64
"""How many pieces of `1 << WINDOW_BITS` bytes are kept in memory."""
HEAD = 1 << 17


class Reader:
    """Reads an image from a descriptor, and the data of files from `device`, the descriptor of the first device."""

    def __init__(self, fd: int, device: int | None = None) -> None:
        """Read the superblock. Raises InvalidArchive, Unsupported, OSError."""
        self._fd = fd
        self._device = device
        self._windows: dict[int, bytes] = {}
        self.superblock = parse(os.pread(fd, HEAD, 0))
        self.block = 1 << self.superblock.block_bits
        self.size = self.superblock.blocks << self.superblock.block_bits
        """Bytes of the image that its superblock tells of."""
        if os.fstat(fd).st_size < self.size:
            raise InvalidArchive("an EROFS image is shorter than its superblock says")
        self._meta = self.superblock.meta_block << self.superblock.block_bits
        self._shared = self.superblock.xattr_block << self.superblock.block_bits
        self._epoch = (self.superblock.build_time, self.superblock.build_time_ns)

    @property
    def root(self) -> Inode:
        """The top directory's."""
        found = self.inode(self.superblock.root)
        if not found.is_directory:
            raise InvalidArchive("the root of an EROFS image is no directory")
        return found

    def inode(self, nid: int) -> Inode:
        """The inode with a number."""
        at = self._meta + (nid << SLOT_BITS)
        raw = self._bytes(at, min(INODE.size, max(COMPACT_INODE.size, self.size - at)))
        found = Inode(nid, at, raw, self._epoch)
        if found.tail > self.size:
            raise InvalidArchive(f"inode {nid} is cut off")
        return found

    def entries(self, folder: Inode) -> Iterator[tuple[bytes, int, int]]:
        """Name, inode number and file type of all a directory has, "." and ".." included, in order of bytes."""
        if not folder.is_directory:
            raise InvalidArchive(f"inode {folder.nid} is no directory")
        before, special = b"", 0
        for at in range(0, folder.size, self.block):
            rows = directory.parse(self.read(folder, at, self.block))
            if rows[0][0] <= before:
                raise InvalidArchive("a directory's names are out of order")
            before = rows[-1][0]
            for row in rows:
                special += row[0] in (b".", b"..")
                yield row
        if special != 2:
            raise InvalidArchive(f'directory {folder.nid} lacks "." or ".."')

    def walk(self) -> Iterator[tuple[bytes, Inode]]:
        """Every name with its inode: the root as b"", then what each directory holds before what those hold."""
        root = self.root
        yield b"", root
        seen = {root.nid}
        stack = [(b"", root, root.nid)]
        while stack:
            path, folder, above = stack.pop()
            for name, nid, kind in self.entries(folder):
                if name in (b".", b".."):
                    if nid != (folder.nid if name == b"." else above):
                        raise InvalidArchive(f'directory {folder.nid} has a wrong "{name.decode()}"')
                    continue
                found = self.inode(nid)
                if FILE_TYPES[found.mode >> 12] != kind:
                    raise InvalidArchive(f"inode {nid} is not of the type that its directory says")
                place = path + b"/" + name if path else name
                if found.is_directory:
                    if nid in seen:
                        raise InvalidArchive(f"directory {nid} has two names")
                    if len(place) > MAX_PATH:
                        raise LimitExceeded(f"a path in an EROFS image is longer than {MAX_PATH} bytes")
                    seen.add(nid)
                    stack.append((place, found, folder.nid))
                yield place, found

    def lookup(self, path: bytes) -> Inode:
        """The inode at a path from the root; symlinks are not followed. Raises PathNotFound."""
        found = self.root
        for name in path.split(b"/"):
            if not name or name == b".":
                continue
            nid = self._find(found, name) if found.is_directory else None
            if nid is None:
                raise PathNotFound(f'no "{path.decode(errors="replace")}" in this EROFS image')
            found = self.inode(nid)
        return found

    def _find(self, folder: Inode, name: bytes) -> int | None:
        """As the kernel looks: by halves among the blocks, then in one."""
        low, high = 0, -(-folder.size // self.block)
        while low < high:
            middle = (low + high) // 2
            rows = directory.parse(self.read(folder, middle * self.block, self.block))
            if name < rows[0][0]:
                high = middle
            elif name > rows[-1][0]:
                low = middle + 1
            else:
                return next((row[1] for row in rows if row[0] == name), None)
        return None

    def target(self, link: Inode) -> bytes:
        """What a symlink leads to."""
        if not stat.S_ISLNK(link.mode) or not 0 < link.size <= TARGET_MAX:
            raise InvalidArchive(f"inode {link.nid} is no usable symlink")
        found = self.read(link, 0, link.size)
        if b"\0" in found:
            raise InvalidArchive(f"symlink {link.nid} has a NUL in its target")
        return found

    def xattrs(self, inode: Inode) -> dict[bytes, bytes]:
        """Its extended attributes by full names."""
        if not inode.xattr_size:
            return {}
        return decode_body(self._bytes(inode.tail - inode.xattr_size, inode.xattr_size), self._shared_entry)

    def _shared_entry(self, offset: int) -> bytes:
        at = self._shared + offset
        return self._bytes(at, min(LONGEST_ENTRY, max(0, self.size - at)))

    def extents(self, inode: Inode, begin: int = 0) -> Iterator[Extent]:
        """Where its contents are, in order: (offset, length, device, address), sizes in bytes, device 0 the image.

        What lies between is a hole. Neighbours are told as one. May leave out what ends before `begin`.
        """
        if inode.layout in COMPRESSED:
            raise Unsupported(f"inode {inode.nid} is compressed")
        if inode.layout == CHUNK_BASED:
            return chunks(inode, self.superblock, self._bytes, begin)
        return flat(inode, self.superblock)

    def read(self, inode: Inode, offset: int, length: int) -> bytes:
        """Bytes of its contents, fewer at its end."""
        length = min(length, inode.size - offset)
        if length <= 0:
            return b""
        if inode.layout == CHUNK_BASED:
            return self._read_chunks(inode, offset, length)
        pieces = []
        for start, size, _, address in self.extents(inode):
            first, end = max(start, offset), min(start + size, offset + length)
            if first < end:
                pieces.append(self._bytes(address + first - start, end - first))
        return b"".join(pieces)

    def _read_chunks(self, inode: Inode, offset: int, length: int) -> bytes:
        found = bytearray(length)
        for start, size, device, address in self.extents(inode, offset):
            if start >= offset + length:
                break
            first, end = max(start, offset), min(start + size, offset + length)
            if first < end:
                found[first - offset : end - offset] = self._data(device, address + first - start, end - first)
        return bytes(found)

    def _data(self, device: int, at: int, size: int) -> bytes:
        if device == 0:
            return self._bytes(at, size)
        if device != 1 or self._device is None:
            raise Unsupported(f"the data on device {device} of an EROFS image is not at hand")
        found = os.pread(self._device, size, at)
        if len(found) != size:
            raise InvalidArchive("the device of an EROFS image is cut off")
        return found

    def _bytes(self, at: int, size: int) -> bytes:
        if at + size > self.size:
            raise InvalidArchive("an EROFS image points beyond its end")
        window = at >> WINDOW_BITS
        if (at + size - 1) >> WINDOW_BITS == window:
            raw = self._windows.get(window) or self._load(window)
            start = at & ((1 << WINDOW_BITS) - 1)
            found = raw[start : start + size]
        else:
            found = os.pread(self._fd, size, at)
        if len(found) != size:
            raise InvalidArchive("an EROFS image is cut off")
        return found

    def _load(self, window: int) -> bytes:
        if len(self._windows) >= WINDOWS:
            del self._windows[next(iter(self._windows))]
        raw = self._windows[window] = os.pread(self._fd, 1 << WINDOW_BITS, window << WINDOW_BITS)
        return raw
