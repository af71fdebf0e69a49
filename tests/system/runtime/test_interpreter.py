"""The interpreter that containers cannot overwrite."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from holdall.errors import SystemFailure
from holdall.runtime import interpreter

pytestmark = pytest.mark.root

CODE = """
import sys, errno
from holdall.runtime import interpreter
assert interpreter.is_protected()
try:
    open("/proc/self/exe", "r+b")
except OSError as err:
    print(errno.errorcode[err.errno], sys.executable, sys.prefix)
"""


def test_protected_interpreter_runs_and_refuses_writers() -> None:
    fd = interpreter.open_readonly(sys.executable)
    try:
        done = subprocess.run(
            [sys.executable, "-c", CODE], executable=f"/proc/self/fd/{fd}", pass_fds=(fd,), capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": "src"},
        )  # fmt: skip
    finally:
        os.close(fd)
    assert done.stdout.split() == ["EROFS", sys.executable, sys.prefix], done.stderr
    assert not interpreter.is_protected()


def test_missing_interpreter_is_a_system_failure(tmp_path) -> None:
    with pytest.raises(SystemFailure, match="no such file"):
        interpreter.open_readonly(str(tmp_path / "absent"))
