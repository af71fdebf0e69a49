"""The writer: every inode gets its place in a first walk, a second one writes what is known by then.

The image is: superblock and device slot in block 2, inodes from block 3 on (each with its attributes, its chunk records
or its short contents), shared attributes, then blocks of long directories, long symlinks and misaligned sparse files.
The same tree gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import struct

from holdall.erofs.chunks import Sparse, bits_for
from holdall.erofs.contents import Contents
from holdall.erofs.directory import Listing
from holdall.erofs.format import (
    BLOCK,
    BLOCK_BITS,
    CHECKED,
    CHUNK,
    CHUNK_BASED,
    CHUNK_INDEXES,
    COMPAT_CHECKSUM,
    COMPAT_MTIME,
    DEVICE,
    EXTENDED,
    FLAT_INLINE,
    FLAT_PLAIN,
    INCOMPAT_CHUNKED,
    INCOMPAT_DEVICES,
    INODE,
    MAGIC,
    NAME_MAX,
    SLOT,
    SLOT_BITS,
    SUPER,
    SUPER_OFFSET,
    XATTR_HEADER,
    crc32c,
)  # fmt: skip
from holdall.erofs.xattr import Shared
from holdall.errors import InvalidArchive, LimitExceeded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.erofs.chunks import Fetch
    from holdall.erofs.node import Node

META_BLOCK = 3
MAX_BLOCKS = 0xFFFFFFFE
FLUSH = 1 << 20
_PLAIN = struct.Struct("<HHHHQIIIIqII16xHHI24x")
"""A file in one piece without attributes: inode, one chunk record, padding to the next slot."""
_NS = 1_000_000_000
_NOT_NAMES = frozenset((b"", b".", b".."))
_REGULAR, _LINK, _DIRECTORY = 0o10, 0o12, 0o04


def write_image(
    root: Node, out_fd: int, *, device_size: int, fetch: Fetch | None = None, uuid: bytes | None = None
) -> int:
    """Write the image of a tree to an empty file; its size in bytes, a multiple of 512.

    `device_size` is the size of the file that holds the data; `fetch(offset, length)` reads from it what cannot be
    pointed to (misaligned parts of sparse files). `uuid` is 16 bytes, by default made from the contents: overlayfs
    wants one. The nodes are used up: write a tree once. Raises LimitExceeded, Unsupported, InvalidArchive, OSError.
    """
    if device_size >> BLOCK_BITS > MAX_BLOCKS:
        raise LimitExceeded(f"a layer has {device_size} bytes, more than an index can point into")
    return _Image(root, out_fd, device_size, fetch, uuid).write()


class _Image:
    """One image under way: `at` counts the bytes of the inodes, `blocks` those of what lies behind them."""

    def __init__(self, root: Node, fd: int, device_size: int, fetch: Fetch | None, uuid: bytes | None) -> None:
        self.root = root
        self.device_blocks = -(-device_size // BLOCK)
        self.fetch = fetch
        self.uuid = uuid
        self.out = _Output(fd, META_BLOCK * BLOCK)
        self.order: list[Node] = []
        self.spilled: list[Node] = []
        self.shared = Shared()
        self.at = 0
        self.blocks = 0
        self.data_block = 0

    def write(self) -> int:
        """Both walks and the superblock."""
        self._walk()
        xattr_block = META_BLOCK + -(-self.at // BLOCK)
        self.data_block = xattr_block + -(-self.shared.size // BLOCK)
        total = self.data_block + self.blocks
        if total > MAX_BLOCKS:
            raise LimitExceeded(f"the index of a layer would have {total} blocks")
        self._inodes()
        self.out.pad(BLOCK)
        self.out.put(self.shared.area())
        self.out.pad(BLOCK)
        self._spills()
        self.out.flush()
        self.out.first(SUPER_OFFSET, self._super(total, xattr_block))
        return total * BLOCK

    def _walk(self) -> None:
        """Give every inode its place: a directory's children stand together."""
        self._place(self.root, self.root)
        stack = [self.root]
        order, place = self.order, self._place
        while stack:
            parent = stack.pop()
            children = parent.children or {}
            subfolders = 0
            for name in sorted(children):
                child = children[name]
                if len(name) > NAME_MAX or b"/" in name or b"\0" in name or name in _NOT_NAMES:
                    raise InvalidArchive(f"a file name of {len(name)} bytes cannot be kept")
                if child.children is not None:
                    subfolders += 1
                    stack.append(child)
                    place(child, parent)
                    continue
                child.nlink += 1
                if child.inode >= 0:
                    continue
                if child.mode >> 12 == _REGULAR and child.xattrs is None and type(child.extents) is int:
                    # the common case in line: see _PLAIN
                    child.inode = self.at >> SLOT_BITS
                    self.at += _PLAIN.size
                    order.append(child)
                else:
                    place(child, parent)
            parent.nlink = 2 + subfolders

    def _place(self, node: Node, parent: Node) -> None:
        xattrs = self.shared.body(node.xattrs) if node.xattrs else b""
        head = INODE.size + len(xattrs)
        kind = node.mode >> 12
        inline = 0
        plan: Contents
        if kind == _DIRECTORY:
            plan = Listing(node, parent)
            node.size = plan.size
            inline = self._spill(node, plan, head)
        elif kind == _LINK:
            plan = Contents(len(node.target))
            node.size = plan.size
            inline = self._spill(node, plan, head)
        elif kind == _REGULAR:
            plan = Sparse(
                node.size, node.extents if isinstance(node.extents, tuple) else ((0, node.size, node.extents),)
            )
            head = -(-head // 8) * 8 + CHUNK.size * plan.count
            if plan.copied:
                self._keep(node, plan, plan.copied)
        else:
            plan = Contents(0)
        plan.xattrs = xattrs
        node.plan = plan
        if inline and (self.at + head) % BLOCK + inline > BLOCK:
            self.at = -(-self.at // BLOCK) * BLOCK
        node.inode = self.at >> SLOT_BITS
        self.at += -(-(head + inline) // SLOT) * SLOT
        self.order.append(node)

    def _spill(self, node: Node, plan: Contents, head: int) -> int:
        """How many bytes go behind the inode: all where inode and contents fit into one block, else none."""
        if head + plan.size <= BLOCK:
            return plan.size
        self._keep(node, plan, plan.size)
        return 0

    def _keep(self, node: Node, plan: Contents, size: int) -> None:
        plan.address = self.blocks
        self.blocks += -(-size // BLOCK)
        self.spilled.append(node)

    def _inodes(self) -> None:
        out, base = self.out, META_BLOCK * BLOCK
        pack, bits_of = _PLAIN.pack, bits_for
        layout = CHUNK_BASED << 1 | EXTENDED
        put = out.put
        for node in self.order:
            gap = base + (node.inode << SLOT_BITS) - out.at
            if gap:
                put(bytes(gap))
            if node.plan is None:
                size, extents = node.size, node.extents
                seconds, rest = divmod(node.mtime_ns, _NS)
                put(
                    pack(
                        layout, 0, node.mode, 0, size, CHUNK_INDEXES | bits_of(size), node.inode, node.uid, node.gid,
                        seconds, rest, node.nlink, 0, 1, extents >> BLOCK_BITS,  # type: ignore[operator]
                    )
                )  # fmt: skip
            else:
                put(self._inode(node, node.plan))

    def _inode(self, node: Node, plan: Contents) -> bytes:
        layout, union, tail = FLAT_PLAIN, 0, b""
        if type(plan) is Sparse:
            layout, union, tail = CHUNK_BASED, plan.format, plan.indexes(self.data_block + max(0, plan.address))
        elif node.rdev:
            union = _device(node.rdev)
        elif plan.address >= 0:
            union = self.data_block + plan.address
        elif plan.size:
            layout, tail = FLAT_INLINE, self._contents(node, plan)
        seconds, rest = divmod(node.mtime_ns, _NS)
        xattrs = plan.xattrs
        count = (len(xattrs) - XATTR_HEADER.size) // 4 + 1 if xattrs else 0
        head = INODE.pack(
            layout << 1 | EXTENDED, count, node.mode, 0, node.size, union, node.inode & 0xFFFFFFFF, node.uid, node.gid,
            seconds, rest, node.nlink,
        )  # fmt: skip
        if layout == CHUNK_BASED:
            xattrs += bytes(-len(xattrs) % 8)
        raw = head + xattrs + tail
        return raw + bytes(-len(raw) % SLOT)

    def _contents(self, node: Node, plan: Contents) -> bytes:
        if type(plan) is Listing:
            return plan.data(node)
        if type(plan) is Sparse:
            if self.fetch is None:
                raise InvalidArchive("a sparse file's data is misaligned, and there is nothing to read it from")
            return plan.data(self.fetch)
        return node.target

    def _spills(self) -> None:
        for node in self.spilled:
            assert node.plan is not None
            self.out.put(self._contents(node, node.plan))
            self.out.pad(BLOCK)

    def _super(self, total: int, xattr_block: int) -> bytes:
        uuid = self.uuid or self.out.digest.digest()
        fields = (
            BLOCK_BITS, 0, self.root.inode, len(self.order), 0, 0, total, META_BLOCK, xattr_block, uuid, b"",
            INCOMPAT_CHUNKED | INCOMPAT_DEVICES, 0, 1, (SUPER_OFFSET + SUPER.size) // DEVICE.size, 0, 0, 0, 0, 0,
        )  # fmt: skip
        device = DEVICE.pack(b"", self.device_blocks, 0)
        compat = COMPAT_CHECKSUM | COMPAT_MTIME
        block = (SUPER.pack(MAGIC, 0, compat, *fields) + device).ljust(CHECKED, b"\0")
        return SUPER.pack(MAGIC, crc32c(block), compat, *fields) + block[SUPER.size :]


class _Output:
    """Bytes in order, written in large pieces and hashed; `at` is where the next one goes."""

    def __init__(self, fd: int, at: int) -> None:
        self.at = at
        self.digest = hashlib.blake2b(digest_size=16)
        self._fd = fd
        self._pieces: list[bytes] = []
        self._waiting = 0

    def put(self, data: bytes) -> None:
        """Add bytes."""
        self._pieces.append(data)
        size = len(data)
        self.at += size
        self._waiting += size
        if self._waiting >= FLUSH:
            self.flush()

    def pad(self, size: int) -> None:
        """Zeros up to a multiple of `size`."""
        self.put(bytes(-self.at % size))

    def flush(self) -> None:
        """Write what waits."""
        data = b"".join(self._pieces)
        self._pieces = []
        self.first(self.at - self._waiting, data)
        self._waiting = 0
        self.digest.update(data)

    def first(self, at: int, data: bytes) -> None:
        """Write bytes at a place of their own."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, at)
            view, at = view[done:], at + done


def _device(rdev: int) -> int:
    """The kernel's new_encode_dev (include/linux/kdev_t.h)."""
    major, minor = os.major(rdev), os.minor(rdev)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
