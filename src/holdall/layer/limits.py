"""The bounds on tar streams from outside. Each is far above what real layers need; passing one is LimitExceeded."""

from __future__ import annotations

from holdall.record import record

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@record
class Limits:
    """Bounds for one tar stream. Sizes in bytes."""

    entries: int = 4_000_000
    """Headers of any kind, global and extended ones included."""
    depth: int = 1024
    """Components of one name."""
    name: int = 4095
    """One name or link target: the kernel's PATH_MAX without its NUL."""
    component: int = 255
    """One component of a name: the kernel's NAME_MAX."""
    header: int = MIB
    """All extended headers (PAX records, GNU long names) of one entry."""
    headers_per_entry: int = 16
    """Extended headers in front of one entry, global ones included."""
    records: int = 8192
    """PAX records of one entry, and of all global headers together."""
    xattrs: int = 256
    """Extended attributes of one entry."""
    xattr_value: int = 64 * KIB
    """One attribute's value: the kernel's XATTR_SIZE_MAX."""
    regions: int = 1 << 18
    """Data regions of one sparse file."""
    file: int = 1 << 43
    """Size of one file, holes included: 8 TiB, ext4's own bound being 16."""
    total: int = 1 << 40
    """Bytes of file data in one stream, holes not counted: 1 TiB."""
    expanded: int = 1 << 40
    """Bytes that come out of decompression."""
    expansion_free: int = 4 * GIB
    """Bytes that may come out whatever the ratio: a layer of zeros is legal, a disk full of them is not wanted."""
    expansion_ratio: int = 500
    """Bytes out per byte in, beyond `expansion_free`."""


DEFAULT = Limits()
