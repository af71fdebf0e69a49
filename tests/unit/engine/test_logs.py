"""Reading the log ring: tails across files, times, and following over rotations."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from holdall.engine.logs import read
from holdall.engine.times import rfc3339


def line(number: int) -> bytes:
    entry = {"log": f"line {number}\n", "stream": "stdout", "time": rfc3339(1_000_000_000 * (number + 1))}
    return json.dumps(entry).encode() + b"\n"


def numbers(folder: Path, **options: object) -> list[int]:
    found = read(str(folder), lambda: False, **options)  # type: ignore[arg-type]
    return [int(entry.text.split()[1]) for entry in found]


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    for name, span in (
        ("container.log.2", range(4)),
        ("container.log.1", range(4, 9)),
        ("container.log", range(9, 12)),
    ):
        (tmp_path / name).write_bytes(b"".join(map(line, span)))
    return tmp_path


def test_all_files_in_order(ring: Path) -> None:
    assert numbers(ring) == list(range(12))


@pytest.mark.parametrize("count", [0, 1, 3, 4, 8, 9, 11, 12, 50])
def test_tail_over_files(ring: Path, count: int) -> None:
    assert numbers(ring, tail=count) == list(range(12))[max(0, 12 - count) :]


def test_since_and_until(ring: Path) -> None:
    assert numbers(ring, since=4 * 10**9, until=6 * 10**9) == [3, 4, 5]


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "container.log").write_bytes(line(0) + b'{"log": "torn\n' + b"[]\n" + line(1) + line(2)[:-5])
    assert numbers(tmp_path) == [0, 1]


def test_no_log_yet(tmp_path: Path) -> None:
    assert numbers(tmp_path / "missing") == []


@pytest.mark.parametrize("options", [{}, {"tail": 10}, {"follow": True}])
def test_a_rotation_while_it_is_read_neither_loses_nor_repeats(ring: Path, options: dict[str, object]) -> None:
    reading = read(str(ring), lambda: False, **options)  # type: ignore[arg-type]
    seen = [next(reading)]
    (ring / "container.log.2").unlink()
    os.rename(ring / "container.log.1", ring / "container.log.2")
    os.rename(ring / "container.log", ring / "container.log.1")
    (ring / "container.log").write_bytes(line(12))
    seen += reading
    first = 12 - options.get("tail", 12)  # type: ignore[operator]
    assert [int(entry.text.split()[1]) for entry in seen] == list(range(first, 13 if "follow" in options else 12))


def test_following_over_rotations_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "container.log"
    path.write_bytes(line(0))
    alive = True

    def write() -> None:
        nonlocal alive
        for number in range(1, 60):
            with open(path, "ab") as file:
                file.write(line(number))
            if number % 10 == 0:
                for old in (3, 2, 1):
                    if (tmp_path / f"container.log.{old}").exists():
                        os.rename(tmp_path / f"container.log.{old}", tmp_path / f"container.log.{old + 1}")
                os.rename(path, tmp_path / "container.log.1")
                path.touch()
            time.sleep(0.005)
        alive = False

    writer = threading.Thread(target=write)
    writer.start()
    seen = [int(entry.text.split()[1]) for entry in read(str(tmp_path), lambda: alive, follow=True)]
    writer.join()
    assert seen == list(range(60))
