"""`kill -9` of the supervisor, the keeper, both, and of containers, in every phase: nothing lost, nothing left."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time

import pytest

from holdall.errors import HoldallError
from holdall.supervisor.launch import RestartPolicy
from holdall.supervisor.runfolder import make_run_folder
from holdall.supervisor.state import State, read_state, write_state
from holdall.testing.supervised import Streams, World, alive, eventually

pytestmark = pytest.mark.root

SOAK = os.environ.get("HOLDALL_SOAK") == "1"
ROUNDS = 100 if SOAK else 6


def kill_all(pids: list[int]) -> None:
    """Kill them as if at once: none gets to notice the end of another."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
    eventually(lambda: not any(alive(pid) for pid in pids))


def kill_supervisor(world: World) -> None:
    kill_all(world.supervisor_pids())


def kill_both(world: World) -> None:
    kill_all(world.supervisor_pids() + world.keeper_pids())


def keeper_of(world: World) -> int:
    eventually(lambda: len(world.keeper_pids()) == 1)
    return world.keeper_pids()[0]


def texts(world: World, key: str) -> str:
    return "".join(json.loads(line)["log"] for line in world.log(key).splitlines())


@pytest.mark.parametrize("kill", [kill_supervisor, kill_both])
def test_a_running_container_is_adopted(world: World, kill: object) -> None:
    key = world.create("n=0; while :; do echo $n; n=$((n+1)); sleep 0.01; done", restart=RestartPolicy("no"))
    with world.connect() as connection:
        started = connection.start(key)
        eventually(lambda: "3\n" in texts(world, key))
    kill(world)  # type: ignore[operator]
    with world.connect() as connection:
        assert [(one.id, one.pid, one.status) for one in connection.containers()] == [(key, started.pid, "running")]
        before = texts(world, key)
        eventually(lambda: len(texts(world, key)) > len(before) + 20)
        assert connection.stop(key, timeout=0).code == 137
    lines = texts(world, key).splitlines()
    assert lines == [str(number) for number in range(len(lines))]


def test_the_keeper_calls_a_successor(world: World) -> None:
    key = world.create("sleep", "100")
    with world.connect() as connection:
        connection.start(key)
        pid = connection.status().pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: world.supervisor_pids() not in ([], [pid]))


def test_an_exit_while_nobody_looked_is_known_through_the_keeper(world: World) -> None:
    key = world.create("echo last words; sleep 0.3; echo very last; exit 37")
    with world.connect() as connection:
        connection.start(key)
        pid = connection.status().pid
    keeper = keeper_of(world)
    os.kill(keeper, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.8)
    os.kill(keeper, signal.SIGCONT)
    with world.connect() as connection:
        assert connection.wait(key).code == 37
    assert texts(world, key) == "last words\nvery last\n"


def test_an_exit_nobody_saw_is_unknown_or_right(world: World) -> None:
    key = world.create("sleep 0.3; exit 37")
    with world.connect() as connection:
        connection.start(key)
    keeper_of(world)
    kill_both(world)
    time.sleep(0.6)
    state = read_state(world.paths, key)
    assert (state.status, state.exit_code) == ("exited", None)
    with world.connect() as connection:
        # right while the zombie waits for its new parent, and never invented
        assert connection.wait(key).code in (None, 37)


def test_an_exit_after_adoption_is_known(world: World) -> None:
    key = world.create("read x; exit 41", open_stdin=True)
    with world.connect() as connection:
        connection.start(key)
    kill_both(world)
    with world.connect() as connection:
        attached = connection.attach(key, stdin=True)
        assert attached.stdin is not None
        os.write(attached.stdin, b"\n")
        os.close(attached.stdin)
        assert connection.wait().code == 41


def test_a_waiting_client_does_not_notice(world: World) -> None:
    key = world.create("sleep", "0.7")
    code: list[int | None] = []

    def wait() -> None:
        with world.connect() as connection:
            connection.start(key)
            code.append(connection.wait().code)

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: read_state(world.paths, key).status == "running")
    time.sleep(0.1)
    kill_supervisor(world)
    thread.join(15)
    assert code == [0]


def test_attached_output_goes_on(world: World) -> None:
    key = world.create("for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 0.1; done; exit 2")
    with world.connect() as connection:
        streams = Streams(connection, key)
        time.sleep(0.25)
        kill_supervisor(world)
        code, out, _ = streams.finish()
    assert code == 2
    assert out == b"1\n2\n3\n4\n5\n6\n7\n8\n"
    assert texts(world, key) == "1\n2\n3\n4\n5\n6\n7\n8\n"


def test_a_terminal_survives_with_the_keeper_and_hangs_up_without(world: World) -> None:
    script = "trap 'exit 9' HUP; echo ready; while :; do sleep 0.02; done"
    kept, lost = [world.create(script, terminal=True, open_stdin=True) for _ in range(2)]
    with world.connect() as connection:
        started = connection.start(kept)
        assert started.terminal is not None
        os.close(started.terminal)
        keeper_of(world)
        eventually(lambda: "ready" in texts(world, kept))
    kill_supervisor(world)
    with world.connect() as connection:
        assert [one.status for one in connection.containers()] == ["running"]
        terminal = connection.attach(kept, stdin=True).terminal
        assert terminal is not None
        os.write(terminal, b"\x03")
        os.close(terminal)
        assert connection.wait().code == 130
        started = connection.start(lost)
        assert started.terminal is not None
        os.close(started.terminal)
        eventually(lambda: "ready" in texts(world, lost))
        keeper_of(world)
    kill_both(world)
    with world.connect() as connection:
        assert connection.wait(lost).code in (9, None)


def test_a_killed_keeper_is_replaced(world: World) -> None:
    key = world.create("sleep", "100", open_stdin=True)
    with world.connect() as connection:
        connection.start(key)
        keeper = keeper_of(world)
        os.kill(keeper, signal.SIGKILL)
        eventually(lambda: world.keeper_pids() not in ([], [keeper]))
        assert connection.containers() != ()


def test_a_container_killed_from_outside_is_noticed(world: World) -> None:
    key = world.create("sleep", "100")
    with world.connect() as connection:
        started = connection.start(key)
        os.kill(started.pid, signal.SIGKILL)
        assert connection.wait().code == 137


def test_restart_policies_go_on_after_a_crash(world: World) -> None:
    key = world.create("echo run; sleep 0.3; exit 1", restart=RestartPolicy("always"))
    with world.connect() as connection:
        connection.start(key)
    for _ in range(2):
        time.sleep(0.2)
        kill_both(world)
        world.supervisor_pid()
    eventually(lambda: texts(world, key).count("run") >= 4)
    with world.connect() as connection:
        connection.stop(key, timeout=0)


def test_kills_at_random_moments_lose_and_double_nothing(world: World) -> None:
    """Starts, output and exits go on while supervisor and sometimes keeper are killed; then the books are right."""
    rng = random.Random(4711)
    steady = world.create("n=0; while [ $n -lt 1000000 ]; do echo $n; n=$((n+1)); sleep 0.002; done")
    with world.connect() as connection:
        connection.start(steady)
    shorts: list[str] = []
    stop = threading.Event()
    failures: list[BaseException] = []

    def start_some() -> None:
        while not stop.is_set():
            key = world.create("echo short; exit 3")
            try:
                with world.connect() as connection:
                    connection.start(key)
                    code = connection.wait().code
                if code not in (3, None):
                    raise AssertionError(f"exit code {code}")
                shorts.append(key)
            except HoldallError as err:
                if "went away" not in str(err):
                    failures.append(err)
            except BaseException as err:  # noqa: BLE001
                failures.append(err)

    threads = [threading.Thread(target=start_some) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(ROUNDS):
            time.sleep(rng.uniform(0.02, 0.3))
            (kill_both if number % 4 == 3 else kill_supervisor)(world)
    finally:
        stop.set()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert shorts
    with world.connect() as connection:
        assert [one.id for one in connection.containers()] == [steady]
        connection.stop(steady, timeout=0)
    lines = texts(world, steady).splitlines()
    assert lines == [str(number) for number in range(len(lines))]
    for key in shorts:
        assert read_state(world.paths, key).status == "exited"
        assert texts(world, key) in ("short\n", "")


def test_a_held_pause_ends_with_its_client(world: World) -> None:
    key = world.create("while :; do echo x; sleep 0.01; done")
    with world.connect() as connection:
        connection.start(key)
        connection.pause(key, held=True)
        assert read_state(world.paths, key).status == "paused"
    eventually(lambda: read_state(world.paths, key).status == "running")
    before = world.log(key)
    eventually(lambda: world.log(key) != before)


def test_a_held_pause_ends_when_supervisor_and_client_die_and_a_lasting_one_does_not(world: World) -> None:
    keys = [world.create("while :; do echo x; sleep 0.01; done") for _ in range(2)]
    with world.connect() as connection:
        for key, held in zip(keys, (True, False), strict=True):
            connection.start(key)
            connection.pause(key, held=held)
        os.kill(world.supervisor_pid(), signal.SIGKILL)
    with world.connect() as connection:
        connection.containers()
        assert [read_state(world.paths, key).status for key in keys] == ["running", "paused"]
        before = world.log(keys[0])
        eventually(lambda: world.log(keys[0]) != before)
        connection.unpause(keys[1])


def test_a_start_cut_short_leaves_no_run_folder_even_where_the_end_would_remove(world: World) -> None:
    key = world.create("sleep", "9", auto_remove=True)
    write_state(world.paths, key, State(status="starting"))
    make_run_folder(world.paths.container_run(key))
    with world.connect() as connection:
        connection.status()
    assert read_state(world.paths, key).status == "created"
    eventually(lambda: not os.path.exists(world.paths.container_run(key)))


def test_what_is_undone_is_undone_before_the_container_may_be_forgotten(world: World) -> None:
    key = world.create("exit 3")
    with world.connect() as connection:
        connection.start(key)
        assert connection.wait(key).code == 3
        connection.forget(key)
        assert not os.path.exists(world.paths.container_run(key))
