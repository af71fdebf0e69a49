"""state.json, and a "running" that is none any more."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from holdall.errors import StoreCorrupt
from holdall.paths import Paths
from holdall.record import replace
from holdall.supervisor.state import (
    HostPort,
    State,
    boot_id,
    parse,
    process_is,
    read_state,
    start_ticks,
    stored_state,
    write_state,
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(str(tmp_path), str(tmp_path / "run"))
    os.makedirs(found.container("c"))
    return found


def running() -> State:
    pid = os.getpid()
    return State("running", pid, start_ticks(pid), boot_id(), 5, ports=(HostPort("tcp", "0.0.0.0", 81, 80),))


def test_a_state_comes_back_as_it_was(paths: Paths) -> None:
    write_state(paths, "c", running(), durable=True)
    assert read_state(paths, "c") == running()
    assert os.listdir(paths.container("c")) == ["state.json"]


def test_without_a_state_a_container_is_created(paths: Paths) -> None:
    assert read_state(paths, "c") == State()


@pytest.mark.parametrize("change", [{"pid": 0}, {"start_ticks": 1}, {"boot_id": "other"}, {"pid": 4194300}])
def test_a_running_without_its_process_is_exited_with_an_unknown_code(paths: Paths, change: dict[str, object]) -> None:
    write_state(paths, "c", replace(running(), **change))
    state = read_state(paths, "c")
    assert (state.status, state.pid, state.exit_code, state.started_at) == ("exited", 0, None, 5)
    assert stored_state(paths, "c").status == "running", "reading changes nothing"


def test_a_start_that_nobody_finished_says_so(paths: Paths) -> None:
    write_state(paths, "c", State("starting"))
    assert "supervisor died" in read_state(paths, "c").error


def test_a_zombie_does_not_run() -> None:
    child = subprocess.Popen(["/bin/true"])
    ticks = start_ticks(os.getpid())
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert start_ticks(child.pid) == 0
    assert not process_is(child.pid, ticks, boot_id())
    child.wait()


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"version":1}', b'{"version":1,"ports":[{"x":1}]}', b"[]"])
def test_malformed_states_are_corruption(raw: bytes) -> None:
    with pytest.raises(StoreCorrupt, match="there"):
        parse(raw, "there")


def test_while_a_supervisor_lives_its_word_is_waited_for(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading
    import time

    from holdall.supervisor import bringup

    monkeypatch.setattr(bringup, "is_owned", lambda _paths: True)
    dead = replace(running(), pid=4194300)
    write_state(paths, "c", dead)

    def tell() -> None:
        time.sleep(0.05)
        write_state(paths, "c", replace(dead, status="exited", exit_code=7))

    thread = threading.Thread(target=tell)
    thread.start()
    assert read_state(paths, "c").exit_code == 7
    thread.join()
    write_state(paths, "c", dead)
    assert read_state(paths, "c") == dead


def test_an_empty_state_is_what_a_power_cut_leaves(paths: Paths) -> None:
    Path(paths.container("c") + "/state.json").touch()
    state = read_state(paths, "c")
    assert (state.status, state.exit_code) == ("exited", None)
    assert "power" in state.error
