from __future__ import annotations

import os

import pytest

from holdall.errors import NoSpace
from holdall.paths import Paths
from holdall.store import reserve
from holdall.store.database import Database


def path(paths: Paths) -> str:
    return f"{paths.cache}/reserve"


def test_a_new_store_keeps_room_for_deletions(database: Database, paths: Paths) -> None:
    assert os.stat(path(paths)).st_blocks * 512 >= reserve.SIZE


def test_it_is_given_up_for_one_more_attempt_and_taken_again(database: Database, paths: Paths) -> None:
    attempts = []

    def work() -> int:
        attempts.append(os.path.exists(path(paths)))
        if len(attempts) == 1:
            raise NoSpace("full")
        return 7

    assert reserve.deleting(database, work) == 7
    assert attempts == [True, False]
    assert os.path.exists(path(paths))


def test_a_disk_that_stays_full_is_told(database: Database) -> None:
    def work() -> None:
        raise NoSpace("full")

    with pytest.raises(NoSpace):
        reserve.deleting(database, work)


def test_other_errors_cost_nothing(database: Database, paths: Paths) -> None:
    def work() -> None:
        raise ZeroDivisionError

    before = os.stat(path(paths)).st_ino
    with pytest.raises(ZeroDivisionError):
        reserve.deleting(database, work)
    assert os.stat(path(paths)).st_ino == before
