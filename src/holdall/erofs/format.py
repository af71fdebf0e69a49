"""Sizes, flags and records of the format, for writer and reader. All numbers are little-endian.

Linux fs/erofs/erofs_fs.h; Documentation/filesystems/erofs.rst. Blocks are of 512 bytes, which is how tar aligns data.
"""

from __future__ import annotations

import struct

BLOCK_BITS = 9
BLOCK = 1 << BLOCK_BITS
SLOT_BITS = 5
SLOT = 1 << SLOT_BITS

SUPER_OFFSET = 1024
CHECKED = BLOCK - SUPER_OFFSET if BLOCK > SUPER_OFFSET else BLOCK
"""Bytes the superblock's checksum is over, from the superblock on."""
MAGIC = 0xE0F5E1E2
SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQB23x")
"""magic, checksum, feature_compat, blkszbits, sb_extslots, root_nid, inos, build_time, build_time_nsec, blocks,
meta_blkaddr, xattr_blkaddr, uuid, volume_name, feature_incompat, u1, extra_devices, devt_slotoff, dirblkbits,
xattr_prefix_count, xattr_prefix_start, packed_nid, xattr_filter_reserved."""
DEVICE = struct.Struct("<64sII56x")
"""tag, blocks, mapped_blkaddr; `devt_slotoff` counts in units of its size."""

COMPAT_CHECKSUM = 0x1
COMPAT_MTIME = 0x2
INCOMPAT_CHUNKED = 0x4
INCOMPAT_DEVICES = 0x8

INODE = struct.Struct("<HHHHQIIIIqII16x")
"""i_format, i_xattr_icount, i_mode, i_reserved, i_size, i_u, i_ino, i_uid, i_gid, i_mtime, i_mtime_nsec, i_nlink."""
EXTENDED = 1
FLAT_PLAIN = 0
FLAT_INLINE = 2
CHUNK_BASED = 4

CHUNK = struct.Struct("<HHI")
"""advise, device_id (0 is the image itself), blkaddr."""
CHUNK_INDEXES = 0x20
CHUNK_BITS_MASK = 0x1F
HOLE = 0xFFFFFFFF

DIRENT = struct.Struct("<QHBB")
"""nid, nameoff, file_type, reserved."""
NAME_MAX = 255
FILE_TYPES = {0o10: 1, 0o04: 2, 0o02: 3, 0o06: 4, 0o01: 5, 0o14: 6, 0o12: 7}
"""Of the type bits of a mode, shifted down by 12."""

XATTR_HEADER = struct.Struct("<IB7x")
XATTR = struct.Struct("<BBH")
"""e_name_len, e_name_index, e_value_size; name and value follow, padded to 4 bytes."""
PREFIXES = (
    (b"user.", 1), (b"system.posix_acl_access", 2), (b"system.posix_acl_default", 3), (b"trusted.", 4),
    (b"security.", 6),
)  # fmt: skip
WHOLE_NAMES = frozenset((2, 3))

_POLYNOMIAL = 0x82F63B78


def _table() -> tuple[int, ...]:
    found = []
    for number in range(256):
        value = number
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        found.append(value)
    return tuple(found)


def crc32c(data: bytes) -> int:
    """CRC-32C (RFC 3720, B.4) without the final inversion, as the superblock has it."""
    table = _table()
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return value
