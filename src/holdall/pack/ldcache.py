"""The dynamic loader's cache /etc/ld.so.cache, new format (glibc elf/dl-cache.h): read the host's, write an image's."""

from __future__ import annotations

import functools
import os
import struct

from holdall.errors import InvalidInput
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PATH = "/etc/ld.so.cache"
MAX_SIZE = 64 << 20
MAX_LIBRARIES = 500_000
MAX_STRING = 4_096

_OLD_MAGIC = b"ld.so-1.7.0\0"
_OLD_ENTRY = 12
_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("<20sIIB3xI12x")
_ENTRY = struct.Struct("<iIIIQ")
_LITTLE_ENDIAN = 2
_FLAGS = {62: 0x0303, 183: 0x0A03, 3: 0x0003, 40: 0x0903, 243: 0x1003}
"""e_machine to the flags word ldconfig writes for it (library for libc6, ABI)."""


@record
class CachedLibrary:
    """One entry: library `name` is at `path`; `hwcap` is not 0 when only some processors may use it."""

    name: str
    path: str
    hwcap: int = 0


def parse_cache(raw: bytes) -> tuple[CachedLibrary, ...]:
    """Decode a cache. Raises InvalidInput for another format or a damaged file."""
    start = _new_format(raw)
    if len(raw) - start < _HEADER.size:
        raise InvalidInput("loader cache ends too early")
    magic, count, _, _, _ = _HEADER.unpack_from(raw, start)
    if magic != _MAGIC:
        raise InvalidInput("loader cache has an unknown format")
    if count > MAX_LIBRARIES or start + _HEADER.size + count * _ENTRY.size > len(raw):
        raise InvalidInput("loader cache ends too early")
    found = []
    for number in range(count):
        _, key, value, _, hwcap = _ENTRY.unpack_from(raw, start + _HEADER.size + number * _ENTRY.size)
        found.append(CachedLibrary(_string(raw, start + key), _string(raw, start + value), hwcap))
    return tuple(found)


def _new_format(raw: bytes) -> int:
    """Where the new format begins: at 0, or aligned behind a table of the old one."""
    if not raw.startswith(_OLD_MAGIC) or len(raw) < len(_OLD_MAGIC) + 4:
        return 0
    (count,) = struct.unpack_from("<I", raw, len(_OLD_MAGIC))
    end = len(_OLD_MAGIC) + 4 + int(count) * _OLD_ENTRY
    return (end + 7) & ~7


def _string(raw: bytes, offset: int) -> str:
    end = raw.find(b"\0", offset, offset + MAX_STRING)
    if end < 0:
        raise InvalidInput("loader cache has a bad string")
    return os.fsdecode(raw[offset:end])


def read_cache(path: str = PATH) -> dict[str, tuple[str, ...]]:
    """Library names to paths, those for every processor first; empty when there is no cache we can read."""
    try:
        with open(path, "rb") as file:
            entries = parse_cache(file.read(MAX_SIZE))
    except (OSError, InvalidInput):
        return {}
    made: dict[str, tuple[str, ...]] = {}
    for entry in sorted(entries, key=lambda one: one.hwcap):
        made[entry.name] = (*made.get(entry.name, ()), entry.path)
    return made


def supports(machine: int) -> bool:
    """Whether `build_cache` knows the flags of this e_machine."""
    return machine in _FLAGS


def build_cache(libraries: Mapping[str, str], machine: int) -> bytes:
    """A cache of names to paths for one ABI, as ldconfig would write it."""
    names = sorted(libraries, key=functools.cmp_to_key(_compare), reverse=True)
    strings, offsets = _string_table(libraries, names, _HEADER.size + len(names) * _ENTRY.size)
    out = [_HEADER.pack(_MAGIC, len(names), len(strings), _LITTLE_ENDIAN, 0)]
    out += [_ENTRY.pack(_FLAGS[machine], *offsets[name], 0, 0) for name in names]
    return b"".join([*out, strings])


def _string_table(
    libraries: Mapping[str, str], names: Iterable[str], start: int
) -> tuple[bytes, dict[str, tuple[int, int]]]:
    table = bytearray()
    offsets = {}
    for name in names:
        key = start + len(table)
        table += os.fsencode(name) + b"\0"
        offsets[name] = (key, start + len(table))
        table += os.fsencode(libraries[name]) + b"\0"
    return bytes(table), offsets


def _compare(left: str, right: str) -> int:
    """glibc's _dl_cache_libcmp, on which the loader's binary search rests: runs of digits compare as numbers."""
    a, b = os.fsencode(left) + b"\0", os.fsencode(right) + b"\0"
    i = j = 0
    while a[i] != 0:
        if a[i : i + 1].isdigit() and b[j : j + 1].isdigit():
            first, i = _number(a, i)
            second, j = _number(b, j)
            if first != second:
                return first - second
        elif a[i : i + 1].isdigit():
            return 1
        elif b[j : j + 1].isdigit():
            return -1
        elif a[i] != b[j]:
            return a[i] - b[j]
        else:
            i, j = i + 1, j + 1
    return a[i] - b[j]


def _number(text: bytes, at: int) -> tuple[int, int]:
    end = at
    while text[end : end + 1].isdigit():
        end += 1
    return int(text[at:end]), end
