"""The superblock with its checksum, and the slot behind it that tells of the device with the data."""

from __future__ import annotations

from holdall.erofs.format import (
    COMPAT_CHECKSUM,
    COMPAT_MTIME,
    DEVICE,
    INCOMPAT_CHUNKED,
    INCOMPAT_DEVICES,
    MAGIC,
    MAX_BLOCK_BITS,
    MIN_BLOCK_BITS,
    SUPER,
    SUPER_OFFSET,
    crc32c,
)  # fmt: skip
from holdall.errors import InvalidArchive, Unsupported
from holdall.record import record

UNDERSTOOD = INCOMPAT_CHUNKED | INCOMPAT_DEVICES
MAX_DEVICES = 255


@record
class Superblock:
    """What the superblock says; sizes in blocks of `1 << block_bits` bytes. `devices` are the blocks of each."""

    block_bits: int
    root: int
    inodes: int
    blocks: int
    meta_block: int
    xattr_block: int
    uuid: bytes
    devices: tuple[int, ...]
    build_time: int = 0
    build_time_ns: int = 0

    def encode(self) -> bytes:
        """All bytes from offset 1024 on that the checksum is over: one block, or the rest of it."""
        size = checked_size(self.block_bits)
        compat = COMPAT_CHECKSUM | COMPAT_MTIME
        fields = (
            self.block_bits, 0, self.root, self.inodes, self.build_time, self.build_time_ns, self.blocks,
            self.meta_block, self.xattr_block, self.uuid, b"", INCOMPAT_CHUNKED | INCOMPAT_DEVICES, 0,
            len(self.devices), (SUPER_OFFSET + SUPER.size) // DEVICE.size, 0, 0, 0, 0, 0,
        )  # fmt: skip
        slots = b"".join([DEVICE.pack(b"", blocks, 0) for blocks in self.devices])
        block = (SUPER.pack(MAGIC, 0, compat, *fields) + slots).ljust(size, b"\0")
        return SUPER.pack(MAGIC, crc32c(block), compat, *fields) + block[SUPER.size :]


def checked_size(block_bits: int) -> int:
    """How many bytes from the superblock on its checksum is over."""
    block = 1 << block_bits
    return block - SUPER_OFFSET if block > SUPER_OFFSET else block


def parse(head: bytes) -> Superblock:
    """Read the first bytes of an image (64 KiB are enough). Raises InvalidArchive, Unsupported."""
    if len(head) < SUPER_OFFSET + SUPER.size:
        raise InvalidArchive("an EROFS image is cut off in its superblock")
    (
        magic, checksum, compat, bits, extra_slots, root, inodes, build_time, build_time_ns, blocks, meta, xattr, uuid,
        _, incompat, _, device_count, device_slot, directory_bits, _, _, _, _,
    ) = SUPER.unpack_from(head, SUPER_OFFSET)  # fmt: skip
    if magic != MAGIC:
        raise InvalidArchive("not an EROFS image: wrong magic number")
    if not MIN_BLOCK_BITS <= bits <= MAX_BLOCK_BITS:
        raise InvalidArchive(f"an EROFS image has blocks of 2^{bits} bytes")
    if incompat & ~UNDERSTOOD or directory_bits or extra_slots:
        raise Unsupported(f"an EROFS image has features that are not read here: {incompat:#x}")
    if compat & COMPAT_CHECKSUM:
        raw = head[SUPER_OFFSET : SUPER_OFFSET + checked_size(bits)]
        raw = raw[:4] + bytes(4) + raw[8:]
        if len(raw) != checked_size(bits) or crc32c(raw) != checksum:
            raise InvalidArchive("the superblock of an EROFS image does not match its checksum")
    devices: tuple[int, ...] = ()
    if incompat & INCOMPAT_DEVICES:
        devices = _devices(head, device_slot * DEVICE.size, device_count)
    return Superblock(bits, root, inodes, blocks, meta, xattr, uuid, devices, build_time, build_time_ns)


def _devices(head: bytes, at: int, count: int) -> tuple[int, ...]:
    if count > MAX_DEVICES:
        raise Unsupported(f"an EROFS image has {count} devices")
    if at + count * DEVICE.size > len(head):
        raise InvalidArchive("an EROFS image is cut off in its device table")
    found = []
    for number in range(count):
        _, blocks, mapped = DEVICE.unpack_from(head, at + number * DEVICE.size)
        if mapped:
            raise Unsupported("an EROFS image has devices in one address space")
        found.append(blocks)
    return tuple(found)
