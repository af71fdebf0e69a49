"""The interpreter that containers cannot overwrite."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from holdall.errors import SystemFailure
from holdall.runtime import interpreter

pytestmark = pytest.mark.root

CODE = (
    "import sys; from holdall.runtime import interpreter; print(interpreter.is_protected(), sys.executable, sys.prefix)"
)


def test_protected_interpreter_runs_and_finds_its_library() -> None:
    fd = interpreter.open_readonly(sys.executable)
    command = [sys.executable, "-c", CODE]
    try:
        done = subprocess.run(command, executable=f"/proc/self/fd/{fd}", pass_fds=(fd,), capture_output=True, text=True)
    finally:
        os.close(fd)
    assert done.stdout.split() == ["True", sys.executable, sys.prefix], done.stderr
    assert not interpreter.is_protected()


def test_nobody_writes_to_it_even_when_it_does_not_run(tmp_path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"#!")
    fd = interpreter.open_readonly(str(program))
    try:
        with pytest.raises(OSError) as caught:
            os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)
        assert caught.value.errno == errno.EROFS
        os.close(os.open(program, os.O_WRONLY))
    finally:
        os.close(fd)


def test_missing_interpreter_is_a_system_failure(tmp_path) -> None:
    with pytest.raises(SystemFailure, match="no such file"):
        interpreter.open_readonly(str(tmp_path / "absent"))
