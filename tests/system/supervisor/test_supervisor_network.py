"""Containers on a bridge: address, ports held and given back, also over crashes."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from holdall.errors import CommandNotFound, PortInUse
from holdall.network import bridge
from holdall.network.plan import NetworkPlan, PortBinding, make_attachment, make_plan
from holdall.supervisor.client import Connection
from holdall.supervisor.state import read_state
from holdall.testing.supervised import World, eventually

pytestmark = pytest.mark.root


@pytest.fixture
def plan(world: World) -> Iterator[NetworkPlan]:
    made = make_plan("bridge", world.paths.key, ())
    yield made
    bridge.remove(made)


def create(world: World, plan: NetworkPlan, last: int, *argv: str, ports: tuple[PortBinding, ...] = ()) -> str:
    """A container at address `last` of the subnet."""
    base = plan.subnet.partition("/")[0].rpartition(".")[0]
    key = f"{last:02x}" + os.urandom(8).hex()
    attachment = make_attachment(plan, key, f"{base}.{last}/{plan.prefix}", ports)
    return world.create(*argv, key=key, wishes={"network": ""}, network="bridge", plan=plan, attachment=attachment)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def veths(plan: NetworkPlan) -> list[str]:
    return os.listdir(f"/sys/class/net/{plan.bridge}/brif")


def bound_port(world: World, key: str) -> int:
    (port,) = read_state(world.paths, key).ports
    return port.host_port


def start_with_port(connection: Connection, world: World, plan: NetworkPlan, last: int) -> tuple[str, int]:
    key = create(world, plan, last, "sleep", "100", ports=(PortBinding("tcp", "", 0, 80),))
    connection.start(key)
    return key, bound_port(world, key)


def test_a_container_has_its_address_and_gives_it_back(world: World, plan: NetworkPlan) -> None:
    key = create(world, plan, 7, "cat", "/proc/net/route", "/proc/net/fib_trie")
    with world.connect() as connection:
        connection.start(key)
        assert connection.wait().code == 0
    assert b"eth0" in world.log(key)
    base = plan.subnet.partition("/")[0].rpartition(".")[0]
    assert f"{base}.7".encode() in world.log(key)
    eventually(lambda: veths(plan) == [])


def test_published_ports_are_held_while_it_runs(world: World, plan: NetworkPlan) -> None:
    with world.connect() as connection:
        key, port = start_with_port(connection, world, plan, 2)
        assert read_state(world.paths, key).address.endswith(".2/" + str(plan.prefix))
        assert not is_free(port)
        other = create(world, plan, 3, "true", "x", ports=(PortBinding("tcp", "127.0.0.1", port, 80),))
        with pytest.raises(PortInUse):
            connection.start(other)
        assert len(veths(plan)) == 1
        connection.stop(key, timeout=0)
        assert is_free(port)
        connection.start(other)
        assert connection.wait().code == 0
    eventually(lambda: veths(plan) == [])


def test_a_failed_start_leaves_no_interface_and_no_port(world: World, plan: NetworkPlan) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = create(world, plan, 2, "/no/such", "x", ports=(PortBinding("tcp", "", port, 80),))
    with world.connect() as connection, pytest.raises(CommandNotFound):
        connection.start(key)
    assert is_free(port)
    eventually(lambda: veths(plan) == [])


@pytest.mark.parametrize("both", [False, True])
def test_ports_stay_held_over_a_crash(world: World, plan: NetworkPlan, both: bool) -> None:
    with world.connect() as connection:
        key, port = start_with_port(connection, world, plan, 2)
        supervisor = connection.status().pid
    eventually(lambda: len(world.keeper_pids()) == 1)
    pids = [supervisor, *(world.keeper_pids() if both else ())]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)
    if not both:
        for _ in range(100):
            assert not is_free(port), "the port was free for a moment"
            time.sleep(0.001)
    with world.connect() as connection:
        assert connection.status().pid != supervisor
        assert not is_free(port)
        assert bound_port(world, key) == port
        connection.stop(key, timeout=0)
        assert is_free(port)
    eventually(lambda: veths(plan) == [])


def test_what_died_while_nobody_looked_is_taken_down(world: World, plan: NetworkPlan) -> None:
    with world.connect() as connection:
        key, port = start_with_port(connection, world, plan, 2)
        pid = read_state(world.paths, key).pid
        supervisor = connection.status().pid
    eventually(lambda: len(world.keeper_pids()) == 1)
    for one in (supervisor, *world.keeper_pids()):
        os.kill(one, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    for one in (supervisor, *world.keeper_pids()):
        os.kill(one, signal.SIGKILL)
    with world.connect() as connection:
        eventually(lambda: connection.containers() == ())
        assert is_free(port)
    eventually(lambda: veths(plan) == [])
