from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdall.linux.syscall_numbers import numbers_of

HEADERS = Path("/usr/include/x86_64-linux-gnu/asm")
DEFINE = re.compile(r"#define __NR_(\w+)\s+(?:\(__X32_SYSCALL_BIT \+ )?(\d+)\)?\s*$", re.MULTILINE)


@pytest.mark.parametrize(
    ("arch", "header"), [("x86_64", "unistd_64.h"), ("i386", "unistd_32.h"), ("x32", "unistd_x32.h")]
)
def test_tables_hold_what_the_kernel_headers_say(arch: str, header: str) -> None:
    path = HEADERS / header
    if not path.exists():
        pytest.skip("no kernel headers here")
    said = {name: int(number) for name, number in DEFINE.findall(path.read_text())}
    assert len(said) > 300
    ours = numbers_of(arch)
    assert said.items() <= ours.items()
    assert all(number > max(v for k, v in said.items() if v < 500) or name in ("uretprobe", "uprobe")
               for name, number in ours.items() if name not in said)  # fmt: skip


@pytest.mark.parametrize("arch", ["x86_64", "i386", "x32", "aarch64"])
def test_no_number_has_two_names(arch: str) -> None:
    numbers = numbers_of(arch)
    assert len(set(numbers.values())) == len(numbers)


def test_known_numbers_of_arm_sides() -> None:
    aarch64, arm = numbers_of("aarch64"), numbers_of("arm")
    assert [aarch64[name] for name in ("openat", "clone", "execve", "newfstatat", "mmap")] == [56, 220, 221, 79, 222]
    assert "open" not in aarch64
    assert "fork" not in aarch64
    assert [arm[name] for name in ("open", "clone", "socket", "clock_gettime64")] == [5, 120, 281, 403]
    assert arm["set_tls"] == 0xF0005
    assert arm["sync_file_range2"] == arm["arm_sync_file_range"] == 341


def test_new_calls_have_one_number_everywhere() -> None:
    tables = [numbers_of(arch) for arch in ("x86_64", "i386", "x32", "aarch64", "arm")]
    for name in ("clone3", "openat2", "io_uring_setup", "mseal", "removexattrat", "open_tree_attr"):
        assert len({table[name] for table in tables}) == 1
