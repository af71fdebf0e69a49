"""Handlers for programs of other machines, as the kernel lists them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from holdall.build import foreign
from holdall.errors import DockerfileError, StepFailed
from holdall.linux import binfmt
from holdall.oci.platform import Platform, host

if TYPE_CHECKING:
    from pathlib import Path

ARM64 = """enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: {flags}
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""
PYTHON = "enabled\ninterpreter /usr/bin/python3.11\nflags: \noffset 0\nmagic a70d0d0a\n"
JAR = "enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n"


def tree(folder: Path, **entries: str) -> str:
    (folder / "status").write_text("enabled\n")
    (folder / "register").write_text("")
    for name, text in entries.items():
        (folder / name).write_text(text)
    return str(folder)


def test_the_handler_of_an_architecture_is_found_by_its_programs_first_bytes(tmp_path: Path) -> None:
    found = binfmt.handlers(tree(tmp_path, aarch64=ARM64.format(flags="POCF"), python=PYTHON, jar=JAR))
    assert found is not None
    assert [one.name for one in found] == ["aarch64", "python"]
    handler = binfmt.find(found, "arm64")
    assert handler is not None
    assert (handler.name, handler.flags) == ("aarch64", "POCF")
    assert binfmt.find(found, "riscv64") is None
    assert binfmt.find(found, "s390x") is None
    assert binfmt.find(found, "no-such") is None


@pytest.mark.parametrize(
    "text", ["", "disabled\n" + ARM64, "enabled\nmagic zz\n", "enabled\nmagic 7f\noffset x\n", "what"]
)
def test_entries_that_are_switched_off_or_cannot_be_read(tmp_path: Path, text: str) -> None:
    assert binfmt.handlers(tree(tmp_path, one=text)) == ()


def test_without_the_file_system_nothing_is_known(tmp_path: Path) -> None:
    assert binfmt.handlers(str(tmp_path / "no")) is None
    assert binfmt.handlers(str(tmp_path)) is None
    tree(tmp_path, aarch64=ARM64)
    (tmp_path / "status").write_text("disabled\n")
    assert binfmt.handlers(str(tmp_path)) == ()


def other() -> Platform:
    return Platform("linux", "arm64" if host().architecture != "arm64" else "riscv64")


@pytest.mark.parametrize(("flags", "word"), [("POCF", ""), ("POC", "flag F"), (None, "no emulator")])
def test_run_for_another_platform_needs_a_fixed_handler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str | None, word: str
) -> None:
    if host().architecture == "arm64":
        pytest.skip("the recorded handler is for this machine's own programs")
    tree(tmp_path, **({"aarch64": ARM64.format(flags=flags)} if flags else {}))
    known = binfmt.handlers
    monkeypatch.setattr(binfmt, "handlers", lambda: known(str(tmp_path)))
    if not word:
        foreign.check(other())
        return
    with pytest.raises(DockerfileError, match=word) as err:
        foreign.check(other())
    assert "$BUILDPLATFORM" in (err.value.hint or "")


def test_own_platforms_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binfmt, "handlers", lambda: ())
    foreign.check(host())
    if host().architecture == "amd64":
        foreign.check(Platform("linux", "386"))


def test_a_program_that_the_kernel_does_not_take_is_explained() -> None:
    failed = StepFailed('exec: "/bin/sh": exec format error', code=126)
    assert "cannot RUN for" in str(foreign.explained(failed, other()))
    assert foreign.explained(failed, host()) is failed
    plain = StepFailed("the command ended with exit code 126", code=126)
    assert foreign.explained(plain, other()) is plain


@pytest.mark.root
def test_what_a_kernel_of_today_writes_is_understood(tmp_path: Path) -> None:
    """In a user namespace binfmt_misc is one's own (Linux 6.7): nothing of this machine's is touched."""
    script = (
        "import sys; from holdall.linux import binfmt\n"
        f"place = {str(tmp_path)!r}\n"
        "line = ':hd-test:M::\\\\x7fELF\\\\x02\\\\x01\\\\x01\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00"
        "\\\\x00\\\\x02\\\\x00\\\\xb7\\\\x00:\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\x00\\\\xff\\\\xff"
        "\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xfe\\\\xff\\\\xff\\\\xff:/bin/true:F'\n"
        "open(place + '/register', 'w').write(line)\n"
        "found = binfmt.find(binfmt.handlers(place), 'arm64')\n"
        "assert found.name == 'hd-test' and 'F' in found.flags and found.interpreter == '/bin/true', found\n"
        "print('understood')\n"
    )
    command = ["unshare", "-U", "-r", "-m", "sh", "-c",
               'mount -t binfmt_misc none "$1" || exit 77; exec "$2" -c "$3"', "sh", str(tmp_path), sys.executable,
               script]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    if done.returncode == 77:
        pytest.skip("this kernel has no binfmt_misc for user namespaces")
    assert done.stdout == "understood\n", done.stderr
