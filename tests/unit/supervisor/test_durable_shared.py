"""Several processes may write one file at once: it is always one of the versions, and no temporary file stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WRITE = """
import sys
from holdall.supervisor.durable import write_atomic
path, number, durable = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
for _ in range(50):
    write_atomic(path, bytes([number]) * 5000, durable=durable, shared=True)
"""


@pytest.mark.parametrize("durable", [False, True])
def test_many_writers(tmp_path: Path, durable: bool) -> None:
    path = str(tmp_path / "file")
    command = [sys.executable, "-c", WRITE, path]
    writers = [subprocess.Popen([*command, str(number), str(durable)]) for number in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    data = Path(path).read_bytes()
    assert len(data) == 5000
    assert len(set(data)) == 1
    assert os.listdir(tmp_path) == ["file"]
