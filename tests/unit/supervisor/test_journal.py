"""What the next supervisor finds of a chunk, wherever the last one was killed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from holdall.supervisor.journal import Journal, Unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "a" * 64
WAITING = b"one\ntwo"


@pytest.fixture
def pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    os.write(writer, WAITING)
    yield reader
    os.close(reader)
    os.close(writer)


def found(folder: Path) -> Unfinished | None:
    """What a successor is told."""
    journal = Journal(str(folder))
    try:
        return journal.unfinished()
    finally:
        journal.close()


def test_killed_before_the_read_nothing_is_unfinished(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.begin(KEY, "stdout", b"be")
    assert found(tmp_path) is None
    journal.intend(len(WAITING), 10)
    assert found(tmp_path) is None


def test_killed_right_after_the_read_the_chunk_is_there(tmp_path: Path, pipe: int) -> None:
    journal = Journal(str(tmp_path))
    room = journal.begin(KEY, "stdout", b"be")
    journal.intend(len(WAITING), 10)
    assert os.readv(pipe, [room[: len(WAITING)]]) == len(WAITING)
    assert found(tmp_path) == Unfinished(KEY, "stdout", 10, b"be" + WAITING, final=False)


def test_killed_later_the_same_chunk_is_there_until_it_is_finished(tmp_path: Path, pipe: int) -> None:
    journal = Journal(str(tmp_path))
    room = journal.begin(KEY, "stderr", b"")
    journal.intend(len(WAITING), 0)
    os.readv(pipe, [room[: len(WAITING)]])
    assert journal.filled(len(WAITING), 0) == WAITING
    assert found(tmp_path) == Unfinished(KEY, "stderr", 0, WAITING, final=False)
    journal.progress(4, 40)
    assert found(tmp_path) == Unfinished(KEY, "stderr", 40, b"two", final=False)
    journal.finish()
    assert found(tmp_path) is None


def test_a_read_whose_size_nobody_knew_is_there_once_it_is_told(tmp_path: Path, pipe: int) -> None:
    journal = Journal(str(tmp_path))
    room = journal.begin(KEY, "stdout", b"")
    count = os.readv(pipe, [room])
    assert found(tmp_path) is None
    journal.filled(count, 3)
    assert found(tmp_path) == Unfinished(KEY, "stdout", 3, WAITING, final=False)
