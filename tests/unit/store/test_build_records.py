"""Records of builds: read while they are written, after a kill, pruned and trimmed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from holdall.errors import InvalidOption, NotFound
from holdall.paths import Paths
from holdall.store import build_records
from holdall.store.build_records import RecordWriter, find, listed, prune, trim

HEAD: dict[str, Any] = {"dockerfile": "Dockerfile", "context": ".", "target": "", "platforms": (), "tags": ("a:1",)}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "root"), str(tmp_path / "run"))


def made(paths: Paths, size: int = 0) -> RecordWriter:
    """One that is over."""
    writer = RecordWriter(paths, HEAD)
    writer.line({"step": 1, "stage": "s", "number": 1, "total": 2, "line": "RUN x", "status": "running", "started": 5})
    writer.output(1, b"x" * size)
    writer.line({"step": 1, "status": "done", "ended": 9, "size": 7, "key": "abcdef", "stack": ["a", "b"]})
    writer.line({"end": {"status": "done", "ended": time.time_ns(), "images": ["sha256:1"], "error": ""}})
    writer.close()
    return writer


def test_lines_come_together(paths: Paths) -> None:
    writer = made(paths, 3)
    found = find(paths)
    assert (found.id, found.status, found.tags, found.images) == (writer.id, "done", ("a:1",), ("sha256:1",))
    [step] = found.steps
    assert (step.status, step.started, step.ended, step.key, step.stack) == ("done", 5, 9, "abcdef", ("a", "b"))
    assert Path(found.log_of(step)).read_bytes() == b"xxx"
    assert find(paths, writer.id[:3]).id == writer.id
    with pytest.raises(NotFound):
        find(paths, "zz")


def test_under_way_and_killed(paths: Paths) -> None:
    writer = RecordWriter(paths, HEAD)
    writer.line({"step": 1, "status": "running", "started": 1})
    assert find(paths).status == "running"
    assert find(paths).steps[0].status == "running"
    os.write(os.open(f"{writer.folder}/{build_records.NAME}", os.O_WRONLY | os.O_APPEND), b'{"step": 1, "sta')
    writer.close()
    assert find(paths).status == "interrupted"
    assert find(paths).steps[0].status == "stopped"


def test_what_is_no_record_is_passed_over(paths: Paths) -> None:
    made(paths)
    for name, text in (("0-x", b"not json\n[1]\n"), ("1-y", b'{"build": {"version": 99}}\n'), ("2-z", None)):
        folder = Path(build_records.folder_of(paths), name)
        folder.mkdir()
        if text is not None:
            (folder / build_records.NAME).write_bytes(text)
    assert len(list(listed(paths))) == 1


def test_pruning_leaves_what_is_under_way(paths: Paths) -> None:
    first, second = made(paths, 10_000), RecordWriter(paths, HEAD)
    assert prune(paths, before=1) == 0
    assert prune(paths) >= 10_000
    assert [one.id for one in listed(paths)] == [second.id]
    assert not os.path.exists(first.folder)
    second.close()
    assert prune(paths) > 0
    assert list(listed(paths)) == []


def test_the_budget_keeps_the_latest(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(build_records.BUDGET_VARIABLE, "100KiB")
    writers = [made(paths, 40_000) for _ in range(5)]
    trim(paths)
    assert [one.id for one in listed(paths)] == [writers[4].id, writers[3].id]
    monkeypatch.setenv(build_records.BUDGET_VARIABLE, "0")
    trim(paths)
    assert [one.id for one in listed(paths)] == [writers[4].id]
    monkeypatch.setenv(build_records.BUDGET_VARIABLE, "much")
    with pytest.raises(InvalidOption):
        trim(paths)


def test_nobody_else_may_read_them(paths: Paths) -> None:
    writer = made(paths, 1)
    assert os.stat(writer.folder).st_mode & 0o777 == 0o700
