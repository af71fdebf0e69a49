"""What an ELF file says of how it is loaded: interpreter, needed libraries, search paths (elf(5), System V gABI).

Reads headers and the dynamic section only. Everything in the file is bounded and checked: it may be anybody's.
"""

from __future__ import annotations

import os
import struct

from holdall.errors import InvalidInput
from holdall.record import record

MAX_SEGMENTS = 1_024
MAX_DYNAMIC = 1 << 20
MAX_STRING = 4_096
MAX_NEEDED = 1_000

MAGIC = b"\x7fELF"
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH, _DT_FLAGS_1 = 1, 5, 10, 14, 15, 29, 0x6FFFFFFB
_DF_1_NODEFLIB = 0x800
_ET_EXEC, _ET_DYN = 2, 3

ARCHITECTURES = {
    (3, 32, True): "386",
    (62, 64, True): "amd64",
    (40, 32, True): "arm",
    (183, 64, True): "arm64",
    (243, 64, True): "riscv64",
    (22, 64, False): "s390x",
    (21, 64, True): "ppc64le",
    (258, 64, True): "loong64",
}
"""(e_machine, bits, little-endian) to the architecture's OCI name."""


@record
class Elf:
    """The loader's view of an ELF file. `machine` is e_machine; strings are decoded as file names are."""

    bits: int
    little: bool
    machine: int
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    soname: str = ""
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    no_default_dirs: bool = False
    dynamic: bool = False

    @property
    def abi(self) -> tuple[int, int, bool]:
        """What must be equal for one file to be loaded into another's process."""
        return (self.machine, self.bits, self.little)

    @property
    def architecture(self) -> str:
        """The OCI name of the architecture, or ""."""
        return ARCHITECTURES.get(self.abi, "")


def is_elf(path: str) -> bool:
    """Whether a readable file begins as ELF files do. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        return file.read(4) == MAGIC


def read_elf(path: str) -> Elf:
    """Read an executable or shared object. Raises InvalidInput when it is neither, or malformed; OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _Reader(fd, path).read()
    finally:
        os.close(fd)


class _Reader:
    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path
        self._order = "<"
        self._bits = 64
        self._segments: list[tuple[int, int, int, int]] = []

    def _wrong(self, reason: str) -> InvalidInput:
        return InvalidInput(f'"{self._path}" is not an elf file that can be loaded: {reason}')

    def _at(self, offset: int, length: int) -> bytes:
        data = self._up_to(offset, length)
        if len(data) != length:
            raise self._wrong("it ends too early")
        return data

    def _up_to(self, offset: int, length: int) -> bytes:
        if not 0 <= offset < 1 << 62:
            raise self._wrong("offset out of range")
        return os.pread(self._fd, length, offset)

    def read(self) -> Elf:
        head = self._at(0, 52)
        if head[:4] != MAGIC or head[4] not in (1, 2) or head[5] not in (1, 2):
            raise self._wrong("bad header")
        self._bits = 32 if head[4] == 1 else 64
        self._order = "<" if head[5] == 1 else ">"
        kind, machine = struct.unpack_from(self._order + "HH", head, 16)
        if kind not in (_ET_EXEC, _ET_DYN):
            raise self._wrong("it is neither a program nor a shared object")
        self._read_segments()
        interpreter = self._interpreter()
        dynamic = self._dynamic()
        base = Elf(self._bits, self._order == "<", machine, interpreter)
        return base if dynamic is None else self._with_dynamic(base, dynamic)

    def _read_segments(self) -> None:
        if self._bits == 64:
            table, size, count = struct.unpack_from(self._order + "Q14xHH", self._at(0, 64), 32)
            layout, minimum = self._order + "II6Q", 56
        else:
            table, size, count = struct.unpack_from(self._order + "I10xHH", self._at(0, 52), 28)
            layout, minimum = self._order + "8I", 32
        if count > MAX_SEGMENTS or (count and size < minimum):
            raise self._wrong("bad program headers")
        for number in range(count):
            entry = struct.unpack(layout, self._at(table + number * size, minimum))
            if self._bits == 64:
                kind, _, offset, address, _, length = entry[:6]
            else:
                kind, offset, address, _, length = entry[:5]
            self._segments.append((kind, offset, address, length))

    def _interpreter(self) -> str:
        for kind, offset, _, length in self._segments:
            if kind == _PT_INTERP:
                if not 1 < length <= MAX_STRING:
                    raise self._wrong("bad interpreter name")
                return os.fsdecode(self._at(offset, length).split(b"\0", 1)[0])
        return ""

    def _dynamic(self) -> list[tuple[int, int]] | None:
        for kind, offset, _, length in self._segments:
            if kind == _PT_DYNAMIC:
                if length > MAX_DYNAMIC:
                    raise self._wrong("dynamic section too large")
                layout = self._order + ("qQ" if self._bits == 64 else "iI")
                data = self._at(offset, length - length % struct.calcsize(layout))
                return list(_until_null(struct.iter_unpack(layout, data)))
        return None

    def _with_dynamic(self, base: Elf, dynamic: list[tuple[int, int]]) -> Elf:
        last = dict(dynamic)
        strings = _Strings(self, last.get(_DT_STRTAB), last.get(_DT_STRSZ, 0))
        needed = [strings.get(value) for tag, value in dynamic if tag == _DT_NEEDED]
        if len(needed) > MAX_NEEDED:
            raise self._wrong(f"it needs more than {MAX_NEEDED} libraries")
        return Elf(
            base.bits,
            base.little,
            base.machine,
            base.interpreter,
            tuple(needed),
            strings.get(last[_DT_SONAME]) if _DT_SONAME in last else "",
            _split(strings.get(last[_DT_RPATH])) if _DT_RPATH in last else (),
            _split(strings.get(last[_DT_RUNPATH])) if _DT_RUNPATH in last else (),
            bool(last.get(_DT_FLAGS_1, 0) & _DF_1_NODEFLIB),
            True,
        )

    def string(self, table: int, limit: int, index: int) -> str:
        """The string at `index` of the string table at virtual address `table`, `limit` bytes long."""
        if not 0 <= index < limit:
            raise self._wrong("bad string table")
        for kind, offset, address, length in self._segments:
            if kind == _PT_LOAD and address <= table < address + length:
                begin = table - address + index
                data = self._up_to(offset + begin, min(MAX_STRING, limit - index, max(length - begin, 0)))
                text, end, _ = data.partition(b"\0")
                if end:
                    return os.fsdecode(text)
                break
        raise self._wrong("bad string table")


class _Strings:
    def __init__(self, reader: _Reader, table: int | None, limit: int) -> None:
        self._reader = reader
        self._table = -1 if table is None else table
        self._limit = limit

    def get(self, index: int) -> str:
        return self._reader.string(self._table, self._limit, index)


def _until_null(pairs: object) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for tag, value in pairs:  # type: ignore[attr-defined]
        if tag == 0:
            break
        found.append((tag, value))
    return found


def _split(paths: str) -> tuple[str, ...]:
    return tuple([path for path in paths.split(":") if path])
