"""Appending and rotating."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdall.supervisor.launch import LogLimits
from holdall.supervisor.logfile import LogFile, log_path


def nothing(_done: int) -> None:
    pass


def contents(folder: Path) -> list[bytes]:
    """Oldest first."""
    path = Path(log_path(str(folder)))
    older = sorted(path.parent.glob("container.log.*"), key=lambda p: -int(p.suffix[1:]))
    return [one.read_bytes() for one in (*older, path)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 30), max_size=8), max_size=12),
    st.integers(1, 60),
    st.integers(1, 4),
)
def test_the_newest_entries_are_there_whatever_the_limits(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], size: int, files: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = LogFile(str(folder), LogLimits(size, files))
    written: list[bytes] = []
    for batch in batches:
        entries = [bytes([65 + len(written) % 26]) * length + b"\n" for length in batch]
        log.append(entries, nothing)
        written += entries
    log.close()
    found = contents(folder)
    assert len(found) <= files
    assert b"".join(written).endswith(b"".join(found))
    assert not written or found[-1].endswith(written[-1])
    if files > 1 and sum(map(len, written)) <= size:
        assert b"".join(found) == b"".join(written)
    for one in found:
        assert len(one) <= size or one.count(b"\n") == 1


def test_no_limit_means_one_file(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path), LogLimits(0, 3))
    for _ in range(10):
        log.append([b"x" * 1000 + b"\n"], nothing)
    assert log.size == 10010
    assert len(contents(tmp_path)) == 1
    log.close()


def test_an_existing_log_goes_on(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        log = LogFile(str(tmp_path), LogLimits())
        log.append([text], nothing)
        log.close()
    assert contents(tmp_path) == [b"one\ntwo\n"]


def test_progress_is_told_around_rotations(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path), LogLimits(4, 2))
    told: list[tuple[int, int]] = []
    log.append([b"aaa\n", b"bbb\n", b"ccc\n"], lambda done: told.append((done, log.size)))
    assert told == [(1, 4), (1, 0), (2, 4), (2, 0)]
    assert contents(tmp_path) == [b"bbb\n", b"ccc\n"]
    log.close()


def test_a_full_disk_leaves_whole_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LogFile(str(tmp_path), LogLimits())
    log.append([b"whole\n"], nothing)
    write = os.write
    calls = []

    def half(fd: int, data: memoryview) -> int:
        calls.append(fd)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "full")
        return write(fd, data[:3])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="full"):
        log.append([b"torn entry\n"], nothing)
    monkeypatch.undo()
    log.append([b"after\n"], nothing)
    assert contents(tmp_path) == [b"whole\nafter\n"]
    log.close()
