"""Start, wait, signal, stop, pause, restart: one container at a time and many at once."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from holdall.errors import (
    CommandNotExecutable,
    CommandNotFound,
    ContainerNotFound,
    ContainerStateConflict,
    HoldallError,
    StoreCorrupt,
)
from holdall.supervisor.client import Exit
from holdall.supervisor.launch import RestartPolicy, launch_path
from holdall.supervisor.state import read_state
from holdall.testing.supervised import Streams, World, eventually

pytestmark = pytest.mark.root


def test_exit_code_and_output_come_back(world: World) -> None:
    assert world.run("echo out; echo err >&2; exit 7") == (7, b"out\n", b"err\n")


def test_state_tells_the_life_of_a_container(world: World) -> None:
    key = world.create("sleep", "100")
    assert read_state(world.paths, key).status == "created"
    with world.connect() as connection:
        started = connection.start(key)
        running = read_state(world.paths, key)
        assert (running.status, running.pid) == ("running", started.pid)
        assert abs(running.started_at - time.time_ns()) < 60e9
        assert connection.stop(key, timeout=0) == Exit(137)
    state = read_state(world.paths, key)
    assert (state.status, state.pid, state.exit_code, state.error) == ("exited", 0, 137, "")
    assert state.started_at < state.finished_at


@pytest.mark.parametrize(
    ("argv", "error", "code"),
    [(("/no/such", "x"), CommandNotFound, 127), (("/etc/passwd", "x"), CommandNotExecutable, 126)],
)
def test_a_failed_start_says_why_and_leaves_nothing(
    world: World, argv: tuple[str, ...], error: type[HoldallError], code: int
) -> None:
    key = world.create(*argv)
    with world.connect() as connection, pytest.raises(error) as caught:
        connection.start(key)
    assert caught.value.exit_code == code
    state = read_state(world.paths, key)
    assert (state.status, state.exit_code, state.error) == ("created", code, caught.value.message)


def test_a_failed_start_of_an_earlier_stage_leaves_nothing(world: World) -> None:
    key = world.create("true", "x")
    os.unlink(world.paths.container(key) + "/config.json")
    with world.connect() as connection:
        with pytest.raises(StoreCorrupt):
            connection.start(key)
        assert connection.containers() == ()


def test_unknown_containers_are_not_found(world: World) -> None:
    with world.connect() as connection:
        for call in (connection.start, connection.attach, connection.wait, connection.stop, connection.pause):
            with pytest.raises(ContainerNotFound):
                call("0123456789ab")


def test_a_running_container_is_not_started_again(world: World) -> None:
    key = world.create("sleep", "100")
    with world.connect() as connection:
        connection.start(key)
        with pytest.raises(ContainerStateConflict, match="already running"):
            connection.start(key)


def test_a_container_can_be_started_again_after_its_end(world: World) -> None:
    key = world.create("echo again")
    with world.connect() as connection:
        for _ in range(3):
            assert Streams(connection, key).finish() == (0, b"again\n", b"")
    assert world.log(key).count(b"again") == 3


def test_stop_asks_first_and_kills_then(world: World) -> None:
    polite = world.create("trap 'exit 5' USR1; while :; do sleep 0.01; done", stop_signal=int(signal.SIGUSR1))
    stubborn = world.create("trap '' TERM; echo ready; while :; do sleep 1; done")
    with world.connect() as connection, world.connect() as other:
        streams = Streams(connection, stubborn)
        eventually(lambda: b"ready" in world.log(stubborn))
        other.start(polite)
        time.sleep(0.2)
        assert other.stop(polite).code == 5
        before = time.monotonic()
        assert other.stop(stubborn, timeout=0.3).code == 137
        assert 0.25 < time.monotonic() - before < 5
        assert streams.finish()[0] == 137


def test_concurrent_stops_all_get_the_exit(world: World) -> None:
    key = world.create("trap '' TERM; while :; do sleep 1; done")
    with world.connect() as connection:
        connection.start(key)
    codes = []

    def stop(timeout: float) -> None:
        with world.connect() as connection:
            codes.append(connection.stop(key, timeout=timeout).code)

    threads = [threading.Thread(target=stop, args=(timeout,)) for timeout in (0.3, 20, -1, 0.5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert codes == [137] * 4


def test_stopping_what_does_not_run_answers_at_once(world: World) -> None:
    key = world.create("exit 4")
    with world.connect() as connection:
        connection.start(key)
        assert connection.wait().code == 4
        assert connection.stop(key).code == 4


def test_signals_reach_the_program(world: World) -> None:
    key = world.create("trap 'echo usr1' USR1; echo ready; while :; do sleep 0.02; done")
    with world.connect() as connection:
        connection.start(key)
        eventually(lambda: b"ready" in world.log(key))
        connection.signal(key, signal.SIGUSR1)
        eventually(lambda: b"usr1" in world.log(key))


def test_a_paused_container_stands_still_and_can_be_stopped(world: World) -> None:
    key = world.create("while :; do echo x; sleep 0.01; done")
    with world.connect() as connection:
        connection.start(key)
        eventually(lambda: b"x" in world.log(key))
        connection.pause(key)
        assert read_state(world.paths, key).status == "paused"
        time.sleep(0.1)
        before = world.log(key)
        time.sleep(0.2)
        assert world.log(key) == before
        with pytest.raises(ContainerStateConflict):
            connection.pause(key)
        connection.unpause(key)
        eventually(lambda: world.log(key) != before)
        connection.pause(key)
        assert connection.stop(key, timeout=0.2).code in (137, 143)


def test_waiting_for_something_that_has_ended_is_quick(world: World) -> None:
    key = world.create("exit 9")
    with world.connect() as connection:
        connection.start(key)
        assert connection.wait().code == 9
    with world.connect() as connection:
        assert connection.wait(key).code == 9


def test_a_policy_starts_again_until_it_has_had_enough(world: World) -> None:
    key = world.create("echo run; exit 3", restart=RestartPolicy("on-failure", 2))
    with world.connect() as connection:
        connection.start(key)
        connection.wait()
        eventually(lambda: read_state(world.paths, key).status == "exited")
    state = read_state(world.paths, key)
    assert (state.restart_count, state.exit_code) == (2, 3)
    assert world.log(key).count(b"run") == 3


def test_a_manual_stop_ends_restarts(world: World) -> None:
    key = world.create("exit 0", restart=RestartPolicy("always"))
    with world.connect() as connection:
        connection.start(key)
        eventually(lambda: read_state(world.paths, key).restart_count >= 1)
        connection.stop(key, timeout=0)
        time.sleep(0.5)
        state = read_state(world.paths, key)
        assert (state.status, state.stopped_by_user) == ("exited", True)


def test_fifty_containers_start_at_once(world: World) -> None:
    keys = [world.create("sleep", "100") for _ in range(50)]
    failures: list[BaseException] = []

    def start(some: list[str]) -> None:
        for key in some:
            try:
                with world.connect() as connection:
                    connection.start(key)
            except BaseException as err:  # noqa: BLE001
                failures.append(err)

    threads = [threading.Thread(target=start, args=(keys[first::10],)) for first in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    with world.connect() as connection:
        assert {one.id for one in connection.containers()} == set(keys)
        assert {read_state(world.paths, key).status for key in keys} == {"running"}


def test_only_one_of_many_starts_of_the_same_container_wins(world: World) -> None:
    key = world.create("sleep", "100")
    results: list[str] = []

    def start() -> None:
        with world.connect() as connection:
            try:
                connection.start(key)
                results.append("started")
            except ContainerStateConflict:
                results.append("conflict")

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(results) == ["conflict"] * 7 + ["started"]


def test_the_kernel_out_of_memory_killer_is_noticed(world: World) -> None:
    limits = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    key = world.create("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1", resources=limits)
    with world.connect() as connection:
        connection.start(key)
        assert connection.wait() == Exit(137, oom_killed=True)
    assert read_state(world.paths, key).oom_killed


def test_limits_can_be_changed_while_it_runs(world: World) -> None:
    from holdall.linux import cgroups

    key = world.create("sleep", "100", resources={"pids": {"limit": 50}})
    group = cgroups.driver().open(world.paths.cgroup, key)
    with world.connect() as connection:
        connection.start(key)
        assert group.stats().pids_limit == 50
        connection.update(key, {"pids": {"limit": 60}})
        assert group.stats().pids_limit == 60


def test_a_container_being_removed_cannot_be_started(world: World) -> None:
    key = world.create("sleep", "100")
    with world.connect() as connection, world.connect() as other:
        connection.start(key)
        with pytest.raises(ContainerStateConflict):
            connection.forget(key)
        connection.stop(key, timeout=0)
        connection.forget(key)
        with pytest.raises(ContainerStateConflict, match="being removed"):
            other.start(key)
        with pytest.raises(ContainerStateConflict, match="being removed"):
            other.forget(key)


def test_a_container_nobody_waits_for_is_removed_after_its_end(world: World) -> None:
    key = world.create("sleep", "0.2", auto_remove=True)
    other = world.create("sleep", "0.2", auto_remove=True)
    for one in (key, other):
        rewrite_remove(world, one)
    with world.connect() as connection:
        connection.start(key)
    with world.connect() as connection:
        connection.start(other)
        connection.wait()
        eventually(lambda: not os.path.exists(world.paths.container(key)))
        assert os.path.exists(launch_path(world.paths, other)), "its client is still there"
    eventually(lambda: not os.path.exists(world.paths.container(other)))


def rewrite_remove(world: World, key: str) -> None:
    from holdall.record import replace
    from holdall.supervisor.launch import read_launch, write_launch

    argv = ("/bin/sh", "-c", f"rm -r {world.paths.container(key)} {world.paths.container_run(key)}")
    write_launch(world.paths, replace(read_launch(world.paths, key), remove=argv))


def test_the_end_of_an_earlier_container_is_not_taken_for_that_of_a_later(world: World) -> None:
    first, second = world.create("exit 1"), world.create("sleep 0.3; exit 2")
    with world.connect() as connection:
        connection.start(first)
        connection.start(second)
        assert connection.wait().code == 2
        assert connection.wait(first).code == 1


def test_many_containers_leave_no_descriptor_and_little_memory(world: World) -> None:
    def used() -> tuple[int, int]:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            pss = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        return len(os.listdir(f"/proc/{pid}/fd")), pss

    with world.connect() as connection:
        pid = connection.status().pid
        for _ in range(5):
            connection.start(world.create("true", "x"))
            connection.wait()
        connection.status()
        descriptors, memory = used()
        for _ in range(25):
            connection.start(world.create("true", "x"))
            connection.wait()
        connection.status()
        assert used()[0] == descriptors
        running = [world.create("sleep", "100") for _ in range(20)]
        for key in running:
            connection.start(key)
        assert used()[1] - memory <= 200 * len(running), "more than 0.2 MB per container"
        assert used()[1] <= 12_000
