"""Whole or absent."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from holdall.errors import StoreCorrupt
from holdall.linux import fsop
from holdall.supervisor.durable import read_bounded, write_atomic


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_and_nothing_stays_beside_it(tmp_path: Path, durable: bool) -> None:
    path = str(tmp_path / "f")
    for data in (b"one", b"x" * 200_000, b""):
        write_atomic(path, data, durable=durable)
        assert read_bounded(path, 1 << 20) == data
        assert os.listdir(tmp_path) == ["f"]


def test_without_exchange_the_name_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(fsop, "renameat2", refuse)
    path = str(tmp_path / "f")
    for data in (b"one", b"two"):
        write_atomic(path, data, durable=False)
    assert read_bounded(path, 10) == b"two"
    assert os.listdir(tmp_path) == ["f"]


def test_what_a_killed_writer_left_is_no_hindrance(tmp_path: Path) -> None:
    path = str(tmp_path / "f")
    Path(path + ".tmp").write_bytes(b"a longer text than the new one")
    write_atomic(path, b"new", durable=False)
    assert read_bounded(path, 10) == b"new"


def test_too_much_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "f")
    write_atomic(path, b"12345", durable=False)
    with pytest.raises(StoreCorrupt, match="5 bytes"):
        read_bounded(path, 4)
