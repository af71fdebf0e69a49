"""What the kernel runs programs of other machines with: binfmt_misc (Documentation/admin-guide/binfmt-misc.rst)."""

from __future__ import annotations

import os
import struct

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = "/proc/sys/fs/binfmt_misc"
FIXED = "F"
"""The flag of a handler whose interpreter was opened when it was registered: it is found in every container."""
MAX_ENTRY = 64 << 10
ELF32, ELF64, LITTLE, BIG = 1, 2, 1, 2
MACHINES = {
    "386": (ELF32, LITTLE, 3), "amd64": (ELF64, LITTLE, 62), "arm": (ELF32, LITTLE, 40), "arm64": (ELF64, LITTLE, 183),
    "loong64": (ELF64, LITTLE, 258), "mips": (ELF32, BIG, 8), "mipsle": (ELF32, LITTLE, 8), "mips64": (ELF64, BIG, 8),
    "mips64le": (ELF64, LITTLE, 8), "ppc64": (ELF64, BIG, 21), "ppc64le": (ELF64, LITTLE, 21),
    "riscv64": (ELF64, LITTLE, 243), "s390x": (ELF64, BIG, 22),
}  # fmt: skip
"""Class, byte order and machine (elf(5)) of each architecture's programs, by OCI's names."""


@record
class Handler:
    """One registered handler; it takes files that have `magic` at `offset`, as far as `mask` looks at it."""

    name: str
    interpreter: str
    flags: str
    offset: int
    magic: bytes
    mask: bytes

    def takes(self, head: bytes) -> bool:
        """Whether it is meant for a file that begins so."""
        part = head[self.offset : self.offset + len(self.magic)]
        mask = self.mask or b"\xff" * len(self.magic)
        return len(part) == len(self.magic) and all(
            (one ^ two) & care == 0 for one, two, care in zip(part, self.magic, mask, strict=False)
        )


def handlers(folder: str = FOLDER) -> tuple[Handler, ...] | None:
    """The handlers in use, None when this cannot be known: binfmt_misc is not mounted there. Raises OSError."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, PermissionError):
        return None
    if "status" not in names or not _read(f"{folder}/status").startswith("enabled"):
        return None if "status" not in names else ()
    found = []
    for name in names:
        if name not in ("register", "status"):
            made = _parse(name, _read(f"{folder}/{name}"))
            if made is not None:
                found.append(made)
    return tuple(found)


def find(found: Iterable[Handler], architecture: str) -> Handler | None:
    """The handler for programs of an architecture."""
    kind = MACHINES.get(architecture)
    if kind is None:
        return None
    head = program_head(*kind)
    return next((one for one in found if one.takes(head)), None)


def program_head(width: int, order: int, machine: int) -> bytes:
    """The first 64 bytes of such a program, as linkers write them."""
    ident = b"\x7fELF" + bytes((width, order, 1)) + bytes(9)
    return (ident + struct.pack("<HHI" if order == LITTLE else ">HHI", 2, machine, 1)).ljust(64, b"\0")


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read(MAX_ENTRY)
    except FileNotFoundError:
        return ""


def _parse(name: str, text: str) -> Handler | None:
    """A file of the folder; None for one that is switched off or goes by the file's name."""
    lines = text.splitlines()
    if not lines or lines[0] != "enabled":
        return None
    values = dict(line.partition(" ")[::2] for line in lines[1:])
    if "magic" not in values:
        return None
    try:
        return Handler(
            name,
            values.get("interpreter", ""),
            values.get("flags:", ""),
            int(values.get("offset", "0")),
            bytes.fromhex(values["magic"]),
            bytes.fromhex(values.get("mask", "")),
        )
    except ValueError:
        return None
