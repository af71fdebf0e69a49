"""Exactly one supervisor, started by whoever comes first, gone when nobody needs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from holdall.errors import SupervisorUnavailable
from holdall.supervisor import client
from holdall.testing.supervised import World, alive, eventually

pytestmark = pytest.mark.root


def test_thirty_clients_get_one_supervisor(world: World) -> None:
    pids: list[int] = []

    def ask() -> None:
        with world.connect() as connection:
            pids.append(connection.status().pid)
            time.sleep(0.3)

    threads = [threading.Thread(target=ask) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(pids) == 30
    assert len(set(pids)) == 1


CLIENT = """
import sys
from holdall.paths import Paths
from holdall.supervisor import client
with client.connect(Paths(sys.argv[1], sys.argv[2])) as connection:
    print(connection.status().pid)
"""


def test_clients_of_many_processes_never_meet_a_dying_supervisor(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no grace at all, supervisors come and go under the clients, and every client is served."""
    monkeypatch.setenv("HOLDALL_SUPERVISOR_GRACE", "0")
    argv = [sys.executable, "-c", CLIENT, world.paths.root, world.paths.run_root]
    for _ in range(3):
        clients = [subprocess.Popen(argv, stdout=subprocess.PIPE) for _ in range(10)]
        for one in clients:
            out, _ = one.communicate(timeout=30)
            assert one.returncode == 0
            assert int(out) > 0


def test_rapid_connections_while_it_goes_are_all_served(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDALL_SUPERVISOR_GRACE", "0.001")
    pids = set()
    for _ in range(60):
        with world.connect() as connection:
            pids.add(connection.status().pid)
        time.sleep(0.001)
    assert pids


def test_it_goes_when_idle_and_leaves_no_socket(world: World) -> None:
    with world.connect() as connection:
        pid = connection.status().pid
    eventually(lambda: not alive(pid))
    assert not os.path.exists(world.paths.socket)
    with pytest.raises(SupervisorUnavailable):
        client.connect(world.paths, start=False)
    assert client.connect_if_running(world.paths) is None


def test_it_stays_while_a_container_runs(world: World) -> None:
    key = world.create("sleep", "0.8")
    with world.connect() as connection:
        connection.start(key)
        pid = connection.status().pid
    time.sleep(0.5)
    assert world.supervisor_pids() == [pid]
    world.wait_gone()


def test_its_title_names_the_store(world: World) -> None:
    with world.connect() as connection:
        pid = connection.status().pid
        assert world.supervisor_pids() == [pid]
        assert Path(f"/proc/{pid}/comm").read_text().strip() == "holdall-supervi"
        assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_a_deleted_run_folder_does_not_keep_it(world: World) -> None:
    import shutil

    with world.connect() as connection:
        pid = connection.status().pid
        shutil.rmtree(world.paths.run_root)
    eventually(lambda: not alive(pid))


def test_sigterm_ends_it_and_leaves_containers_running(world: World) -> None:
    key = world.create("echo one; read x; echo two; exit 5", open_stdin=True)
    with world.connect() as connection:
        started = connection.start(key)
        pid = connection.status().pid
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not alive(pid))
    assert os.path.exists(f"/proc/{started.pid}")
    with world.connect() as connection:
        assert connection.status().pid != pid
        attached = connection.attach(key, stdin=True)
        assert attached.pid == started.pid
        assert attached.stdin is not None
        os.write(attached.stdin, b"\n")
        os.close(attached.stdin)
        assert connection.wait().code == 5


def test_another_release_takes_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that finds a supervisor of another release asks it to go; the containers stay."""
    from holdall.supervisor import line

    key = world.create("sleep", "100")
    with world.connect() as connection:
        connection.start(key)
        old = connection.status().pid
    asked: list[int] = []
    right = line.__version__
    monkeypatch.setattr(line, "__version__", "9.9.9")
    original = line.Line._retire

    def retire(self: line.Line) -> None:
        asked.append(1)
        monkeypatch.setattr(line, "__version__", right)
        original(self)

    monkeypatch.setattr(line.Line, "_retire", retire)
    with world.connect() as connection:
        assert connection.status().pid != old
        assert [one.id for one in connection.containers()] == [key]
    assert asked == [1]


def test_long_paths_of_sockets_work(rootfs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDALL_SUPERVISOR_GRACE", "0.1")
    world = World(str(tmp_path), rootfs, run="long" * 20 + "/" + "path" * 20)
    try:
        assert world.run("exit 3")[0] == 3
        world.close()
    finally:
        world.kill()
