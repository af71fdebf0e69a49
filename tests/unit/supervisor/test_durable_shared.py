"""Several processes may write one file at once: it is always one of the versions, and no temporary file stays."""

from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path

import pytest

from holdall.supervisor.durable import write_atomic


def write(path: str, number: int, durable: bool) -> None:
    for _ in range(50):
        write_atomic(path, bytes([number]) * 5000, durable=durable, shared=True)


@pytest.mark.parametrize("durable", [False, True])
def test_many_writers(tmp_path: Path, durable: bool) -> None:
    path = str(tmp_path / "file")
    processes = [get_context("spawn").Process(target=write, args=(path, n, durable)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    data = Path(path).read_bytes()
    assert len(data) == 5000
    assert len(set(data)) == 1
    assert os.listdir(tmp_path) == ["file"]
