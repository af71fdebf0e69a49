"""The writer: every inode gets its place in a first walk, a second one writes what is known by then.

The image is: superblock and device slot, inodes (each with its attributes, then its chunk records or its short
contents), shared attributes, then blocks of long directories, long symlinks and copied chunks. The same tree gives the
same bytes.
"""

from __future__ import annotations

import stat
import struct

from holdall.erofs.chunks import Chunks
from holdall.erofs.directory import Listing
from holdall.erofs.format import (
    BLOCK_BITS,
    CHUNK,
    CHUNK_BASED,
    CHUNK_BITS_MASK,
    CHUNK_INDEXES,
    DEVICE,
    EXTENDED,
    FLAT_INLINE,
    FLAT_PLAIN,
    INODE,
    MAX_BLOCK_BITS,
    MAX_BLOCKS,
    MIN_BLOCK_BITS,
    SLOT,
    SLOT_BITS,
    SUPER,
    SUPER_OFFSET,
    XATTR_HEADER,
    encode_device,
)  # fmt: skip
from holdall.erofs.output import Output
from holdall.erofs.plan import contents_of
from holdall.erofs.superblock import Superblock
from holdall.erofs.xattr import Shared
from holdall.errors import InvalidArchive, LimitExceeded, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.erofs.chunks import Fetch
    from holdall.erofs.contents import Contents
    from holdall.erofs.node import Node

MAX_EXTRA = 1 << 28
"""Bytes that chunk records and the zeros in copied chunks may take in one image."""
RUN = 1 << 12
"""Plain inodes that are handed on together."""
_PLAIN = struct.Struct("<HHHHQIIIIqII16xHHI24x")
"""A file in one piece without attributes: inode, one chunk record, padding to the next slot."""
_NS = 1_000_000_000
_REGULAR = stat.S_IFREG >> 12


def write_image(
    root: Node,
    out_fd: int,
    *,
    device_size: int,
    fetch: Fetch | None = None,
    uuid: bytes | None = None,
    block_bits: int = BLOCK_BITS,
) -> int:
    """Write the image of a tree to an empty file; its size in bytes, a multiple of the block size.

    `device_size` is the size of the file that holds the data; `fetch(offset, length)` reads from it what cannot be
    pointed to (data that does not begin at a block). `uuid` is 16 bytes, by default made from the contents. Blocks are
    of `1 << block_bits` bytes: 12 is what Linux before 6.4 and erofs-utils before 1.6 can read.

    The nodes are used up: write a tree once. Raises LimitExceeded, Unsupported (an attribute's name), InvalidArchive (a
    tree that no file system can hold, data beyond the device), OSError.
    """
    if not MIN_BLOCK_BITS <= block_bits <= MAX_BLOCK_BITS:
        raise Unsupported(f"an EROFS image cannot have blocks of 2^{block_bits} bytes")
    if device_size >> block_bits > MAX_BLOCKS:
        raise LimitExceeded(f"a layer has {device_size} bytes, more than an index can point into")
    if root.children is None or root.inode >= 0:
        raise InvalidArchive("the root of an image is no directory, or was written before")
    try:
        return _Image(root, out_fd, device_size, fetch, uuid, block_bits).write()
    except struct.error as err:
        raise LimitExceeded(f"an owner, a time or a size is beyond what an index can hold: {err}") from err


class _Image:
    """One image under way: `at` counts the bytes up to the next inode, `blocks` those behind all inodes."""

    def __init__(
        self, root: Node, fd: int, device_size: int, fetch: Fetch | None, uuid: bytes | None, block_bits: int
    ) -> None:
        self.root = root
        self.device_size = device_size
        self.fetch = fetch
        self.uuid = uuid
        self.bits = block_bits
        self.block = 1 << block_bits
        head = SUPER_OFFSET + SUPER.size + DEVICE.size
        self.at = -(-head // self.block) * self.block
        self.order: list[Node] = []
        self.spilled: list[Node] = []
        self.shared = Shared(self.block)
        self.extra = 0
        self.blocks = 0
        self.data_block = 0
        self.hash = None
        if uuid is None:
            import hashlib

            self.hash = hashlib.blake2b(device_size.to_bytes(8, "little"), digest_size=16)
        self.out = Output(fd, self.at, self.hash.update if self.hash else None)

    def write(self) -> int:
        """Both walks and the superblock."""
        self._walk()
        xattr_block = -(-self.at // self.block)
        self.data_block = xattr_block + -(-self.shared.size // self.block)
        total = self.data_block + self.blocks
        if total > MAX_BLOCKS:
            raise LimitExceeded(f"the index of a layer would have {total} blocks")
        self._inodes()
        out = self.out
        out.pad(self.block)
        for piece in self.shared.area():
            out.put(piece)
        out.pad(self.block)
        for node in self.spilled:
            assert node.plan is not None
            self._contents(node, node.plan)
            out.pad(self.block)
        out.flush()
        uuid = self.uuid or (self.hash.digest() if self.hash else bytes(16))
        devices = (-(-self.device_size // self.block),)
        block = Superblock(self.bits, self.root.inode, len(self.order), total, 0, xattr_block, uuid, devices)
        out.write(SUPER_OFFSET, block.encode())
        return total * self.block

    def _walk(self) -> None:
        """Give every inode its place: what a directory holds stands together."""
        self._place(self.root, self.root)
        stack = [self.root]
        order, place, device_size, mask = self.order, self._place, self.device_size, self.block - 1
        longest = self.block << CHUNK_BITS_MASK
        while stack:
            parent = stack.pop()
            children, listing = parent.children, parent.plan
            assert children is not None
            assert type(listing) is Listing
            subfolders = 0
            for name in listing.names:
                child = children.get(name)
                if child is None:
                    continue  # "." and ".."
                if child.children is not None:
                    if child.inode >= 0:
                        raise InvalidArchive("a directory has two names")
                    subfolders += 1
                    stack.append(child)
                    place(child, parent)
                    continue
                child.nlink += 1
                if child.inode >= 0:
                    continue
                extents = child.extents
                if (
                    type(extents) is int
                    and child.mode >> 12 == _REGULAR
                    and not child.xattrs
                    and not extents & mask
                    and child.size <= longest
                ):
                    # the common case in line: see _PLAIN
                    if extents + child.size > device_size:
                        raise InvalidArchive("a file's data lies beyond the end of the device")
                    child.inode = self.at >> SLOT_BITS
                    self.at += _PLAIN.size
                    order.append(child)
                else:
                    place(child, parent)
            parent.nlink = 2 + subfolders

    def _place(self, node: Node, parent: Node) -> None:
        xattrs = self.shared.body(node.xattrs) if node.xattrs else b""
        head = INODE.size + len(xattrs)
        inline = 0
        plan = contents_of(node, parent, self.block, self.device_size)
        plan.xattrs = xattrs
        node.plan = plan
        if type(plan) is Chunks:
            self.extra += plan.extra
            if self.extra > MAX_EXTRA:
                raise LimitExceeded(f"the sparse files of a layer need more than {MAX_EXTRA} bytes in its index")
            head = -(-head // CHUNK.size) * CHUNK.size + CHUNK.size * plan.count
            if plan.copied:
                self._spill(node, plan, plan.copied)
        else:
            node.size = plan.size
            if head + plan.size <= self.block:
                inline = plan.size
            elif plan.size:
                self._spill(node, plan, plan.size)
        if inline and (self.at + head) % self.block + inline > self.block:
            self.at = -(-self.at // self.block) * self.block  # what stands inline must not cross a block's border
        node.inode = self.at >> SLOT_BITS
        self.at += -(-(head + inline) // SLOT) * SLOT
        self.order.append(node)

    def _spill(self, node: Node, plan: Contents, size: int) -> None:
        plan.address = self.blocks
        self.blocks += -(-size // self.block)
        self.spilled.append(node)

    def _inodes(self) -> None:
        out, pack, bits = self.out, _PLAIN.pack, self.bits
        layout, slots = CHUNK_BASED << 1 | EXTENDED, _PLAIN.size // SLOT
        run: list[bytes] = []
        slot = out.at >> SLOT_BITS
        for node in self.order:
            inode = node.inode
            if inode != slot or node.plan is not None or len(run) >= RUN:
                out.put(b"".join(run))
                out.put(bytes((inode - slot) << SLOT_BITS))
                run = []
                slot = inode
            if node.plan is None:
                size = node.size
                seconds, rest = divmod(node.mtime_ns, _NS)
                run.append(
                    pack(
                        layout, 0, node.mode, 0, size, CHUNK_INDEXES | ((size or 1) - 1 >> bits).bit_length(), inode,
                        node.uid, node.gid, seconds, rest, node.nlink, 0, 1,
                        node.extents >> bits,  # type: ignore[operator]
                    )
                )  # fmt: skip
                slot += slots
            else:
                self._inode(node, node.plan)
                slot = out.at >> SLOT_BITS
        out.put(b"".join(run))

    def _inode(self, node: Node, plan: Contents) -> None:
        layout, union = FLAT_PLAIN, 0
        if type(plan) is Chunks:
            layout, union = CHUNK_BASED, plan.format
        elif node.rdev and (stat.S_ISCHR(node.mode) or stat.S_ISBLK(node.mode)):
            union = encode_device(node.rdev)
        elif plan.address >= 0:
            union = self.data_block + plan.address
        elif plan.size:
            layout = FLAT_INLINE
        seconds, rest = divmod(node.mtime_ns, _NS)
        xattrs, out = plan.xattrs, self.out
        count = (len(xattrs) - XATTR_HEADER.size) // 4 + 1 if xattrs else 0
        out.put(
            INODE.pack(
                layout << 1 | EXTENDED, count, node.mode, 0, node.size, union, node.inode, node.uid, node.gid, seconds,
                rest, node.nlink,
            )
        )  # fmt: skip
        out.put(xattrs)
        if type(plan) is Chunks:
            out.pad(CHUNK.size)
            for piece in plan.records(self.data_block + plan.address):
                out.put(piece)
        elif layout == FLAT_INLINE:
            self._contents(node, plan)
        out.pad(SLOT)

    def _contents(self, node: Node, plan: Contents) -> None:
        put = self.out.put
        if type(plan) is Listing:
            put(plan.data(node))
        elif type(plan) is Chunks:
            if self.fetch is None:
                raise InvalidArchive("a file's data is misaligned, and there is nothing to read it from")
            for piece in plan.data(self.fetch):
                put(piece)
        else:
            put(node.target)
