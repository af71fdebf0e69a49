"""Sizes, flags and records of the format, for writer and reader. All numbers are little-endian.

Linux fs/erofs/erofs_fs.h; Documentation/filesystems/erofs.rst.
"""

from __future__ import annotations

import os
import struct

BLOCK_BITS = 9
"""Blocks of 512 bytes: tar aligns data to them, so that a file's data can be pointed to where it is."""
MIN_BLOCK_BITS, MAX_BLOCK_BITS = 9, 16
SLOT_BITS = 5
SLOT = 1 << SLOT_BITS
"""An inode's number (nid) counts slots of this size."""
MAX_BLOCKS = 0xFFFFFFFE

SUPER_OFFSET = 1024
MAGIC = 0xE0F5E1E2
SUPER = struct.Struct("<IIIBBHQqIIII16s16sIHHHBBIQB23x")
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
"""Extended: i_format, i_xattr_icount, i_mode, i_nb, i_size, i_u, i_ino, i_uid, i_gid, i_mtime, i_mtime_nsec,
i_nlink."""
COMPACT_INODE = struct.Struct("<HHHHIIIIHHI")
"""i_format, i_xattr_icount, i_mode, i_nlink, i_size, i_mtime, i_u, i_ino, i_uid, i_gid, i_reserved."""
EXTENDED = 1
FLAT_PLAIN = 0
FLAT_INLINE = 2
CHUNK_BASED = 4
COMPRESSED = frozenset((1, 3))

CHUNK = struct.Struct("<HHI")
"""startblk_hi, device_id (0 is the image itself), startblk_lo."""
CHUNK_INDEXES = 0x20
CHUNK_BITS_MASK = 0x1F
HOLE = 0xFFFFFFFF

DIRENT = struct.Struct("<QHBB")
"""nid, nameoff, file_type, reserved."""
NAME_MAX = 255
TARGET_MAX = 4095
"""A symlink's target: the kernel's PATH_MAX without its NUL."""
FILE_TYPES = {0o10: 1, 0o04: 2, 0o02: 3, 0o06: 4, 0o01: 5, 0o14: 6, 0o12: 7}
"""Of the type bits of a mode, shifted down by 12."""

XATTR_HEADER = struct.Struct("<IB7x")
"""h_name_filter, h_shared_count; the numbers of shared entries follow."""
XATTR = struct.Struct("<BBH")
"""e_name_len, e_name_index, e_value_size; name and value follow, padded to 4 bytes."""
XATTR_NAME_MAX = 255
XATTR_ALIGN = 4
PREFIXES = (
    (b"user.", 1), (b"system.posix_acl_access", 2), (b"system.posix_acl_default", 3), (b"trusted.", 4),
    (b"security.", 6),
)  # fmt: skip
WHOLE_NAMES = frozenset((2, 3))

_POLYNOMIAL = 0x82F63B78


def encode_device(rdev: int) -> int:
    """A device number as the kernel's new_encode_dev has it (include/linux/kdev_t.h), 12 and 20 bits."""
    major, minor = os.major(rdev), os.minor(rdev)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def decode_device(number: int) -> int:
    """The reverse."""
    return os.makedev(number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00)


def crc32c(data: bytes) -> int:
    """CRC-32C (RFC 3720, B.4) without the final inversion, as the superblock has it."""
    table = []
    for number in range(256):
        value = number
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return value
