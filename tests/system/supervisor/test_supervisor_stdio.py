"""Output, input, terminals, logs and exec."""

from __future__ import annotations

import json
import os
import time

import pytest

from holdall.errors import CommandNotFound, ContainerStateConflict
from holdall.linux import tty
from holdall.oci.runtime_spec import ProcessSpec
from holdall.oci.runtime_spec_json import process_json
from holdall.supervisor.launch import LogLimits
from holdall.testing.supervised import Streams, World, eventually

pytestmark = pytest.mark.root


def entries(world: World, key: str) -> list[tuple[str, str]]:
    lines = world.log(key).splitlines()
    return [(entry["stream"], entry["log"]) for entry in map(json.loads, lines)]


def read_until(fd: int, wanted: bytes) -> bytes:
    os.set_blocking(fd, False)
    found = b""

    def more() -> bool:
        nonlocal found
        try:
            found += os.read(fd, 65536)
        except BlockingIOError:
            pass
        return wanted in found

    eventually(more)
    return found


def test_the_log_is_what_docker_writes(world: World) -> None:
    key = world.create("echo one; echo two >&2; printf three")
    with world.connect() as connection:
        Streams(connection, key).finish()
    assert sorted(entries(world, key)) == [("stderr", "two\n"), ("stdout", "one\n"), ("stdout", "three")]
    first = json.loads(world.log(key).splitlines()[0])
    assert list(first) == ["log", "stream", "time"]
    assert first["time"].endswith("Z")


def test_much_output_is_complete_for_client_and_log(world: World) -> None:
    key = world.create("seq", "1", "100000", log=LogLimits(max_size=0))
    with world.connect() as connection:
        code, out, _ = Streams(connection, key).finish()
    expected = "".join(f"{number}\n" for number in range(1, 100001))
    assert code == 0
    assert out.decode() == expected
    assert "".join(text for _, text in entries(world, key)) == expected


def test_a_slow_client_slows_the_container_and_loses_nothing(world: World) -> None:
    key = world.create("seq 1 200000; echo done >/dev/shm/done", log=LogLimits(max_size=0))
    with world.connect() as connection:
        streams = Streams(connection, key)
        time.sleep(0.5)
        held = len(world.log(key))
        time.sleep(0.3)
        assert len(world.log(key)) == held, "the container goes on though nobody reads"
        code, out, _ = streams.finish()
    assert (code, len(out)) == (0, len("".join(f"{number}\n" for number in range(1, 200001))))


def test_a_client_that_goes_away_lets_the_container_run_free(world: World) -> None:
    key = world.create("seq 1 200000; echo end >&2", log=LogLimits(max_size=0))
    with world.connect() as connection:
        streams = Streams(connection, key)
        time.sleep(0.2)
        for fd in streams.fds:
            os.close(fd)
    with world.connect() as connection:
        assert connection.wait(key).code == 0
    assert entries(world, key)[-1] == ("stderr", "end\n") or ("stderr", "end\n") in entries(world, key)


def test_a_suspended_client_does_not_hold_up_the_end(world: World) -> None:
    key = world.create("seq 1 8000; exit 3")
    with world.connect() as connection, world.connect() as other:
        stuck = Streams(connection, key)
        assert other.wait(key).code == 3
        code, out, _ = stuck.finish()
        assert (code, out[-5:]) == (3, b"8000\n")


def test_logs_rotate_and_keep_the_newest(world: World) -> None:
    key = world.create("seq", "1", "3000", log=LogLimits(max_size=20000, max_files=3))
    with world.connect() as connection:
        Streams(connection, key).finish()
    logs = os.path.dirname(world.paths.container(key) + "/logs/container.log")
    assert sorted(os.listdir(logs)) == ["container.log", "container.log.1", "container.log.2"]
    assert all(os.path.getsize(f"{logs}/{name}") <= 20000 for name in os.listdir(logs))
    numbers = [int(text) for _, text in entries(world, key)]
    assert numbers == list(range(numbers[0], 3001))


def test_stdin_ends_with_its_client(world: World) -> None:
    key = world.create("cat", "-", open_stdin=True, stdin_once=True)
    with world.connect() as connection:
        streams = Streams(connection, key, stdin=True)
        assert streams.started.stdin is not None
        os.write(streams.started.stdin, b"some words\n")
        os.close(streams.started.stdin)
        assert streams.finish() == (0, b"some words\n", b"")


def test_stdin_of_a_detached_container_stays_open(world: World) -> None:
    key = world.create("cat", "-", open_stdin=True)
    with world.connect() as connection:
        connection.start(key)
    for word in (b"one\n", b"two\n"):
        with world.connect() as connection:
            attached = connection.attach(key, stdin=True)
            assert attached.stdin is not None
            os.write(attached.stdin, word)
            os.close(attached.stdin)
    eventually(lambda: [text for _, text in entries(world, key)] == ["one\n", "two\n"])


def test_without_stdin_there_is_nothing_to_read(world: World) -> None:
    assert world.run("cat", "-") == (0, b"", b"")


def test_a_terminal_is_one_stream_with_a_size(world: World) -> None:
    key = world.create("stty size; read x; stty size; echo got $x; exit 6", terminal=True, open_stdin=True)
    with world.connect() as connection:
        streams = Streams(connection, key, stdin=True)
        master = streams.started.terminal
        assert master is not None
        tty.set_winsize(master, 33, 101)
        os.write(master, b"word\n")
        code, out, err = streams.finish()
        os.close(master)
    assert (code, err) == (6, b"")
    assert out.replace(b"\r", b"").endswith(b"33 101\ngot word\n")
    assert "".join(text for _, text in entries(world, key)).encode() == out


def test_attach_shows_what_comes_from_now_on(world: World) -> None:
    key = world.create("echo early; read x; echo late; exit 2", open_stdin=True)
    with world.connect() as connection:
        connection.start(key)
        eventually(lambda: b"early" in world.log(key))
        with world.connect() as other, world.connect() as third:
            one = Streams(other, key, start=False, stdin=True)
            two = Streams(third, key, start=False)
            assert one.started.stdin is not None
            os.write(one.started.stdin, b"\n")
            assert one.finish() == (2, b"late\n", b"")
            assert two.finish() == (2, b"late\n", b"")
            os.close(one.started.stdin)
        assert connection.wait().code == 2
        with pytest.raises(ContainerStateConflict):
            connection.attach(key)


def exec_spec(*args: str, terminal: bool = False) -> dict[str, object]:
    return process_json(ProcessSpec(args=args, env=("PATH=/bin",), terminal=terminal))


def test_exec_runs_with_the_clients_pipes(world: World) -> None:
    key = world.create("sleep", "100")
    with world.connect() as connection:
        connection.start(key)
        source, feed = os.pipe()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        spec = exec_spec("/bin/sh", "-c", "cat; echo err >&2; exit 4")
        connection.execute(key, spec, stdio=(source, out_end, err_end))
        for fd in (source, out_end, err_end):
            os.close(fd)
        os.write(feed, b"words")
        os.close(feed)
        assert connection.wait().code == 4
        assert (os.read(out, 100), os.read(err, 100)) == (b"words", b"err\n")
        os.close(out)
        os.close(err)


def test_exec_failures_are_told(world: World) -> None:
    key = world.create("sleep", "100")
    idle = world.create("true")
    with world.connect() as connection:
        connection.start(key)
        with pytest.raises(CommandNotFound):
            connection.execute(key, exec_spec("/no/such"))
        with pytest.raises(ContainerStateConflict):
            connection.execute(idle, exec_spec("/bin/true"))
        connection.pause(key)
        with pytest.raises(ContainerStateConflict, match="paused"):
            connection.execute(key, exec_spec("/bin/true"))


def test_exec_with_a_terminal_hangs_up_with_its_client_unless_detached(world: World) -> None:
    key = world.create("sleep", "100")
    script = "trap 'echo hup >/tmp/$0; exit' HUP; echo ready; while :; do sleep 0.05; echo tick || exit; done"
    upper = world.paths.container(key) + "/upper/tmp"
    with world.connect() as connection:
        connection.start(key)
    for name, detach in (("left", False), ("detached", True)):
        with world.connect() as connection:
            started = connection.execute(key, exec_spec("/bin/sh", "-c", script, name, terminal=True))
            assert started.terminal is not None
            read_until(started.terminal, b"ready")
            if detach:
                connection.detach()
            os.close(started.terminal)
    eventually(lambda: os.path.exists(upper + "/left"))
    time.sleep(0.3)
    assert not os.path.exists(upper + "/detached")


def test_detached_exec_needs_nobody(world: World) -> None:
    key = world.create("sleep", "100")
    with world.connect() as connection:
        connection.start(key)
        connection.execute(key, exec_spec("/bin/sh", "-c", "echo x >/tmp/made", terminal=True), detach=True)
    eventually(lambda: os.path.exists(world.paths.container(key) + "/upper/tmp/made"))


def test_large_requests_travel_too(world: World) -> None:
    key = world.create("sleep", "100")
    with world.connect() as connection:
        connection.start(key)
        spec = exec_spec("/bin/sh", "-c", "exit $((${#A} % 251))")
        spec["env"] = ["PATH=/bin", "A=" + "x" * 100_000, "B=" + "y" * 100_000]
        connection.execute(key, spec)
        assert connection.wait().code == 100_000 % 251
