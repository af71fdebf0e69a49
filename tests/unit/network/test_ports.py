"""Docker's `-p` syntax, and the sockets that hold ports on the host."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

import pytest

from holdall.errors import InvalidOption, LimitExceeded, PortInUse, Unsupported
from holdall.network.plan import PortBinding
from holdall.network.ports import exposed, parse, parse_all, reserve


def tcp(host_ip, host_port, container_port, end=0):
    return PortBinding("tcp", host_ip, host_port, container_port, end)


@pytest.mark.parametrize(
    ("text", "bindings"),
    [
        ("80", [tcp("", 0, 80)]),
        ("80/tcp", [tcp("", 0, 80)]),
        ("80/TCP", [tcp("", 0, 80)]),
        ("53/udp", [PortBinding("udp", "", 0, 53)]),
        (":80", [tcp("", 0, 80)]),
        ("0:80", [tcp("", 0, 80)]),
        ("8080:80", [tcp("", 8080, 80)]),
        ("080:80", [tcp("", 80, 80)]),
        ("127.0.0.1:8080:80", [tcp("127.0.0.1", 8080, 80)]),
        ("127.0.0.1::80", [tcp("127.0.0.1", 0, 80)]),
        ("0.0.0.0:8080:80", [tcp("0.0.0.0", 8080, 80)]),
        ("[127.0.0.1]:8080:80", [tcp("127.0.0.1", 8080, 80)]),
        ("7000-7002", [tcp("", 0, 7000), tcp("", 0, 7001), tcp("", 0, 7002)]),
        ("8000-8001:80-81", [tcp("", 8000, 80), tcp("", 8001, 81)]),
        ("8000-8000:80", [tcp("", 8000, 80)]),
        ("8000-8010:80", [tcp("", 8000, 80, 8010)]),
        ("127.0.0.1:5000-5001:53-54/udp", [
            PortBinding("udp", "127.0.0.1", 5000, 53), PortBinding("udp", "127.0.0.1", 5001, 54)]),
        ("65535:65535", [tcp("", 65535, 65535)]),
    ],
)  # fmt: skip
def test_syntax(text, bindings):
    assert list(parse(text)) == bindings


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the container port is missing"),
        ("8080:", "the container port is missing"),
        ("/tcp", "the container port is missing"),
        ("http", '"http" is not a port'),
        ("80:http", '"http" is not a port'),
        ("-1:80", "the container port is missing"),
        ("80-", "the container port is missing"),
        ("+80", '"+80" is not a port'),
        ("٨٠", '"٨٠" is not a port'),
        ("8 0", '"8 0" is not a port'),
        ("65536", "port 65536 is above 65535"),
        ("99999999", '"99999999" is not a port'),
        ("0", "container port 0"),
        ("80:0", "container port 0"),
        ("0-5:80-85", "host port 0 in a range"),
        ("90-80", 'range "90-80" runs backwards'),
        ("8000-8001:80-82", "the ranges differ in length"),
        ("8000:80-82", "the ranges differ in length"),
        ("80/icmp", 'unknown protocol "icmp"'),
        ("80/", 'unknown protocol ""'),
        ("80/tcp/udp", 'unknown protocol "tcp/udp"'),
        ("localhost:80:80", 'invalid address "localhost"'),
        ("127.1:80:80", 'invalid address "127.1"'),
        ("300.0.0.1:80:80", 'invalid address "300.0.0.1"'),
        ("::", "the host address is empty"),
        (":80:80", "the host address is empty"),
        ("[::1:80:80", "a bracket is not closed or not followed by a colon"),
        ("[::1]80", "a bracket is not closed or not followed by a colon"),
        ("[127.0.0.1]:1:2:3", "too many colons"),
        ("[zz:1]:1:2", 'invalid address "zz:1"'),
        ("1.2.3.4:5:6:7", 'invalid address "1.2.3.4:5"'),
    ],
)
def test_malformed(text, reason):
    with pytest.raises(InvalidOption, match=re.escape(f'invalid published port "{text}": {reason}')) as caught:
        parse(text)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["[::1]:8080:80", "[::]:8080:80", "::1:8080:80", "[fe80::1%eth0]:80:80", "80/sctp"])
def test_what_we_do_not_do_yet_is_named(text):
    with pytest.raises(Unsupported, match=re.escape(text)):
        parse(text)


def test_the_same_host_port_twice_is_refused():
    assert len(parse_all(["80:80", "80:80/udp", "127.0.0.1:80:80", "80", "80"])) == 5
    for again in ("80:81", "0.0.0.0:80:82"):
        with pytest.raises(InvalidOption, match="published twice"):
            parse_all(["80:80", again])


def test_the_number_of_ports_is_bounded():
    with pytest.raises(LimitExceeded):
        parse_all(["1-65535:1-65535", "1-65535:1-65535/udp"])


def test_exposed_ports_become_bindings_to_any_port():
    assert exposed(["80/tcp", "53/udp", "70-71"]) == (
        tcp("", 0, 80), PortBinding("udp", "", 0, 53), tcp("", 0, 70), tcp("", 0, 71)
    )  # fmt: skip


@pytest.fixture
def held():
    """Sockets that a test opened, closed after it."""
    sockets: list[socket.socket] = []
    yield sockets
    for made in sockets:
        made.close()


def take(held, bindings):
    settled, sockets = reserve(bindings)
    held += sockets
    return settled


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_for_any_is_settled(held):
    (found,) = take(held, [tcp("127.0.0.1", 0, 80)])
    assert found.host_port > 0
    assert found == tcp("127.0.0.1", found.host_port, 80)
    assert take(held, [tcp("", 0, 80)])[0].host_ip == "0.0.0.0"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_reserved_port_cannot_be_reserved_again(held, protocol):
    (found,) = take(held, [PortBinding(protocol, "127.0.0.1", 0, 80)])
    for address in ("127.0.0.1", ""):
        with pytest.raises(PortInUse, match=f'{found.host_port}/{protocol}" is already in use') as caught:
            reserve([PortBinding(protocol, address, found.host_port, 80)])
        assert caught.value.exit_code == 125
    take(held, [PortBinding(protocol, "127.0.0.2", found.host_port, 80)])


def test_a_listener_is_found_and_named(held):
    listener = socket.create_server(("127.0.0.1", 0))
    held.append(listener)
    with pytest.raises(PortInUse) as caught:
        reserve([tcp("127.0.0.1", listener.getsockname()[1], 80)])
    assert f"(pid {os.getpid()})" in caught.value.hint


def test_a_udp_socket_is_found_and_named(held):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held.append(made)
    made.bind(("127.0.0.1", 0))
    with pytest.raises(PortInUse) as caught:
        reserve([PortBinding("udp", "127.0.0.1", made.getsockname()[1], 80)])
    assert f"(pid {os.getpid()})" in caught.value.hint


def test_a_listener_on_ipv6_wildcard_is_found(held):
    if not socket.has_dualstack_ipv6():
        pytest.skip("no dual-stack sockets")
    listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    held.append(listener)
    with pytest.raises(PortInUse):
        reserve([tcp("", listener.getsockname()[1], 80)])


def test_all_or_nothing(held):
    (busy,) = take(held, [tcp("127.0.0.1", 0, 80)])
    port = free_port()
    with pytest.raises(PortInUse):
        reserve([tcp("127.0.0.1", port, 80), tcp("127.0.0.1", busy.host_port, 81)])
    take(held, [tcp("127.0.0.1", port, 80)])


def test_a_range_gives_its_first_free_port(held):
    (first,) = take(held, [tcp("127.0.0.1", 0, 80)])
    low = first.host_port
    found = take(held, [tcp("127.0.0.1", low, 80, min(low + 50, 65535))])
    assert low < found[0].host_port <= low + 50
    assert found[0].host_port_end == 0
    with pytest.raises(PortInUse, match=f"{low}-{low + 1}|{low}"):
        for _ in range(60):
            take(held, [tcp("127.0.0.1", low, 80, low + 50)])


def test_fixed_ports_come_before_chosen_ones(held):
    port = free_port()
    settled = take(held, [tcp("127.0.0.1", 0, 1), tcp("127.0.0.1", port, 80, port + 1), tcp("127.0.0.1", port, 2)])
    assert [binding.container_port for binding in settled] == [1, 80, 2]
    assert settled[1].host_port == port + 1
    assert settled[2].host_port == port


def test_an_address_the_host_does_not_have(held):
    with pytest.raises(InvalidOption, match=r'"192\.0\.2\.77"'):
        take(held, [tcp("192.0.2.77", 0, 80)])


def leave_time_wait():
    """A port of loopback on which only a connection in TIME_WAIT is left, as after a server that just ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b""
    return port


def test_time_wait_does_not_make_a_port_busy(held):
    port = leave_time_wait()
    with socket.socket() as probe, pytest.raises(OSError, match="in use"):
        probe.bind(("127.0.0.1", port))
    take(held, [tcp("127.0.0.1", port, 80)])
    with pytest.raises(PortInUse):
        reserve([tcp("127.0.0.1", port, 80)])
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_reservation_does_not_answer(held):
    (found,) = take(held, [tcp("127.0.0.1", 0, 80)])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", found.host_port))


def test_too_many_open_files_is_said_plainly():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40));"
        "from holdall.network.ports import *; from holdall.network.plan import PortBinding as B\n"
        "try: reserve([B('tcp', '127.0.0.1', 0, n + 1) for n in range(60)])\n"
        "except LimitExceeded as err: print(err.message)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "too many open files" in done.stdout, done.stderr
