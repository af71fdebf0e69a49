from __future__ import annotations

import struct
from pathlib import Path

import pytest

from holdall.errors import InvalidInput
from holdall.pack.elf import is_elf, read_elf
from holdall.testing.elf import build_elf


@pytest.mark.parametrize(
    ("bits", "little", "machine", "name"),
    [
        (64, True, 62, "amd64"),
        (64, True, 183, "arm64"),
        (32, True, 3, "386"),
        (64, False, 22, "s390x"),
        (64, True, 9, ""),
    ],
)
def test_all_that_a_loader_wants_to_know(tmp_path: Path, bits: int, little: bool, machine: int, name: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(
        build_elf(
            needed=["libb.so.1", "liba.so.2"],
            interpreter="/lib/ld.so",
            soname="x.so",
            rpath="$ORIGIN/a::/b",
            runpath="/c",
            no_default_dirs=True,
            bits=bits,
            little=little,
            machine=machine,
        )
    )
    elf = read_elf(str(path))
    assert is_elf(str(path))
    assert (elf.bits, elf.little, elf.machine, elf.architecture) == (bits, little, machine, name)
    assert elf.needed == ("libb.so.1", "liba.so.2")
    assert (elf.interpreter, elf.soname) == ("/lib/ld.so", "x.so")
    assert (elf.rpath, elf.runpath) == (("$ORIGIN/a", "/b"), ("/c",))
    assert elf.no_default_dirs


def test_a_real_program() -> None:
    elf = read_elf("/bin/true")
    assert "libc.so.6" in elf.needed
    assert elf.interpreter.startswith("/lib")
    assert elf.architecture


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x7fELF",
        b"MZ" + bytes(100),
        b"\x7fELF" + bytes(100),
        build_elf()[:70],
        build_elf(needed=["x"])[:-20],
        build_elf()[:16] + struct.pack("<H", 1) + build_elf()[18:],  # a relocatable object
        build_elf()[:32] + b"\xff" * 8 + build_elf()[40:],  # program headers at the end of the world
        build_elf()[:56] + b"\xff\xff" + build_elf()[58:],  # 65,535 of them
        build_elf()[:54] + b"\1\0" + build_elf()[56:],  # of one byte each
    ],
)
def test_what_is_no_elf_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match="not an elf file that can be loaded"):
        read_elf(str(path))


def test_a_file_without_dynamic_section_is_static(tmp_path: Path) -> None:
    whole = bytearray(build_elf())
    whole[64 + 56 : 64 + 60] = struct.pack("<I", 6)
    (tmp_path / "x").write_bytes(whole)
    elf = read_elf(str(tmp_path / "x"))
    assert (elf.dynamic, elf.needed, elf.interpreter) == (False, (), "")
