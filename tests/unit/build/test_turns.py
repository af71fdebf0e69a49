from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from holdall.build.stop import Stop
from holdall.build.turns import Turns
from holdall.errors import Cancelled
from holdall.testing.supervised import eventually


def test_no_more_jobs_than_allowed_run_at_once() -> None:
    turns = Turns(2, "/nowhere", Stop())
    running, most, lock = 0, 0, threading.Lock()

    def job() -> None:
        nonlocal running, most
        with turns.job():
            with lock:
                running += 1
                most = max(most, running)
            threading.Event().wait(0.02)
            with lock:
                running -= 1

    threads = [threading.Thread(target=job) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_waiting_for_a_job_ends_with_the_build() -> None:
    stop = Stop()
    turns = Turns(1, "/nowhere", stop)
    with turns.job():
        threading.Timer(0.1, stop.set).start()
        with pytest.raises(Cancelled), turns.job():
            raise AssertionError("two jobs at once")


def test_equal_keys_take_turns_and_others_do_not_wait() -> None:
    turns = Turns(1, "/nowhere", Stop())
    order: list[str] = []

    def second() -> None:
        with turns.within("same"):
            order.append("second")

    with turns.within("same"):
        thread = threading.Thread(target=second)
        thread.start()
        with turns.within("other"):
            order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_another_process_is_waited_for_and_its_death_frees_the_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time; from holdall.build.stop import Stop; from holdall.build.turns import Turns\n"
        "with Turns(1, sys.argv[1], Stop()).alone('step', lambda: None):\n"
        "    print('in', flush=True); time.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    told: list[str] = []
    entered = threading.Event()

    def wait() -> None:
        with Turns(1, str(tmp_path), Stop()).alone("step", lambda: told.append("waiting")):
            entered.set()

    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        thread = threading.Thread(target=wait)
        thread.start()
        eventually(lambda: told == ["waiting"])
        assert not entered.is_set()
    finally:
        other.kill()
        other.communicate()
    thread.join(20)
    assert entered.is_set()
    assert os.listdir(tmp_path) == []
