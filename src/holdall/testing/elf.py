"""Small ELF files made by hand: what a loader reads of them is right, there is no code in them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

LOAD, DYNAMIC, INTERP = 1, 2, 3
NEEDED, STRTAB, STRSZ, SONAME, RPATH, RUNPATH, FLAGS_1 = 1, 5, 10, 14, 15, 29, 0x6FFFFFFB
BASE = 0x400000


def build_elf(
    *,
    needed: Sequence[str] = (),
    interpreter: str = "",
    soname: str = "",
    rpath: str = "",
    runpath: str = "",
    no_default_dirs: bool = False,
    machine: int = 62,
    bits: int = 64,
    little: bool = True,
) -> bytes:
    """An ELF shared object (or, with an interpreter, a program): headers, one loaded segment, a dynamic section."""
    order = "<" if little else ">"
    strings = bytearray(b"\0")

    def text(value: str) -> int:
        strings.extend(value.encode() + b"\0")
        return len(strings) - len(value.encode()) - 1

    tags = [(NEEDED, text(name)) for name in needed]
    tags += [(tag, text(value)) for tag, value in ((SONAME, soname), (RPATH, rpath), (RUNPATH, runpath)) if value]
    if no_default_dirs:
        tags.append((FLAGS_1, 0x800))
    header, entry = (64, 56) if bits == 64 else (52, 32)
    count = 3 if interpreter else 2
    at_strings = header + count * entry
    at_interpreter = at_strings + len(strings)
    name = interpreter.encode() + b"\0" if interpreter else b""
    at_dynamic = at_interpreter + len(name)
    tags += [(STRTAB, BASE + at_strings), (STRSZ, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack(order + ("qQ" if bits == 64 else "iI"), *pair) for pair in tags)
    total = at_dynamic + len(dynamic)
    segments = [(LOAD, 0, total), (DYNAMIC, at_dynamic, len(dynamic))]
    if interpreter:
        segments.append((INTERP, at_interpreter, len(name)))
    out = _header(order, bits, machine, count)
    for kind, offset, length in segments:
        out += _segment(order, bits, kind, offset, length)
    return out + bytes(strings) + name + dynamic


def _header(order: str, bits: int, machine: int, count: int) -> bytes:
    ident = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    if bits == 64:
        return ident + struct.pack(order + "HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, count, 64, 0, 0)
    return ident + struct.pack(order + "HHIIIIIHHHHHH", 3, machine, 1, 0, 52, 0, 0, 52, 32, count, 40, 0, 0)


def _segment(order: str, bits: int, kind: int, offset: int, length: int) -> bytes:
    if bits == 64:
        return struct.pack(order + "II6Q", kind, 5, offset, BASE + offset, BASE + offset, length, length, 1)
    return struct.pack(order + "8I", kind, offset, BASE + offset, BASE + offset, length, length, 5, 1)
