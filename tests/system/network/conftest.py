"""A laboratory of network namespaces: the test's own thread stands in a fresh one that plays the host.

Sockets stay in the namespace they were opened in, so clients and servers everywhere are driven by one thread, and
`nft` and `ip` run as independent readers. The machine's own network is never touched.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from holdall.linux.namespaces import CLONE_NEWNET, open_own, setns, unshare
from holdall.network import bridge, veth
from holdall.network.plan import Attachment, NetworkPlan, PortBinding, make_attachment

T = TypeVar("T")
PORTS = (PortBinding("tcp", "", 8080, 80), PortBinding("udp", "127.0.0.1", 5353, 53))
RULES = """table ip holdall-0badcafe {
	set bridges {
		type ifname
		elements = { "hd-0badcafe" }
	}

	set networks {
		type ifname . ifname
		elements = { "hd-0badcafe" . "hd-0badcafe" }
	}

	set subnets {
		type ipv4_addr
		flags interval
		elements = { 10.210.0.0/24 comment "hd-0badcafe" }
	}

	map published_any {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { tcp . 8080 : 10.210.0.2 . 80 }
	}

	map published_on {
		type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
		elements = { 127.0.0.1 . udp . 5353 : 10.210.0.2 . 53 }
	}

	chain guard {
		type filter hook prerouting priority raw; policy accept;
		iifname @bridges ip daddr 127.0.0.0/8 drop
	}

	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr 127.0.0.0/8 return
		dnat ip to ip daddr . meta l4proto . th dport map @published_on
		fib daddr type local dnat ip to meta l4proto . th dport map @published_any
	}

	chain output {
		type nat hook output priority -100; policy accept;
		dnat ip to ip daddr . meta l4proto . th dport map @published_on
		fib daddr type local dnat ip to meta l4proto . th dport map @published_any
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr @subnets oifname != @bridges masquerade
		ip saddr @subnets oifname @bridges ct status dnat masquerade
		ip saddr 127.0.0.0/8 oifname @bridges masquerade
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state established,related accept
		iifname . oifname @networks accept
		oifname @bridges ct status dnat accept
		oifname @bridges drop
	}
}
"""
UPLINK = "192.0.2.1"
OUTSIDE = "192.0.2.100"
TIMEOUT = 3.0
BLOCKED = 0.4


class Place:
    """A network namespace held by its descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def do(self, work: Callable[[], T]) -> T:
        """Run `work` with the calling thread inside the namespace."""
        home = open_own("network")
        try:
            setns(self.fd, CLONE_NEWNET)
            try:
                return work()
            finally:
                setns(home, CLONE_NEWNET)
        finally:
            os.close(home)

    def sh(self, command: str, *, check: bool = True) -> str:
        """Run a shell command inside; its output."""

        def work() -> str:
            done = subprocess.run(["sh", "-ec", command], capture_output=True, text=True)
            assert not check or done.returncode == 0, f"{command}: {done.stderr}"
            return done.stdout

        return self.do(work)

    def links(self) -> set[str]:
        """The names of its interfaces."""
        return {line.split()[1].rstrip(":").partition("@")[0] for line in self.sh("ip -o link").splitlines()}

    def sysctl(self, name: str, text: str) -> None:
        def work() -> None:
            with open(f"/proc/sys/net/{name}", "w") as file:
                file.write(text)

        self.do(work)


class Lab:
    """The host, and whatever namespaces, sockets and stores a test adds; all is gone after the test."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.fds: list[int] = []
        self.host = self._hold()
        self.host.sh("ip link set lo up")
        self.made = 0

    def _hold(self) -> Place:
        fd = open_own("network")
        self.fds.append(fd)
        return Place(fd)

    def place(self) -> Place:
        """A new, empty namespace."""
        home = open_own("network")
        try:
            unshare(CLONE_NEWNET)
            made = self._hold()
            setns(home, CLONE_NEWNET)
        finally:
            os.close(home)
        return made

    def outside(self) -> Place:
        """A machine beyond the host's uplink `up0`; it has no route to any container."""
        made = self.place()
        made.sh("ip link set lo up")
        self.host.sh(
            f"ip link add up0 type veth peer name eth0 netns /proc/{os.getpid()}/fd/{made.fd};"
            f"ip address add {UPLINK}/24 dev up0; ip link set up0 up"
        )
        made.sh(f"ip address add {OUTSIDE}/24 dev eth0; ip link set eth0 up")
        self.host.sh(f"ip route add default via {OUTSIDE}")
        return made

    def attach(self, plan: NetworkPlan, number: int, ports: tuple[PortBinding, ...] = ()) -> tuple[Place, Attachment]:
        """A container with the address `number` in the plan's subnet."""
        made = self.place()
        self.made += 1
        address = f"{plan.subnet.rpartition('.')[0]}.{number}/{plan.prefix}"
        attachment = make_attachment(plan, f"{self.made:03x}456789abcdef", address, ports)
        veth.attach(attachment, made.fd)
        return made, attachment

    def _socket(self, place: Place, kind: socket.SocketKind) -> socket.socket:
        made = place.do(lambda: socket.socket(socket.AF_INET, kind))
        made.settimeout(TIMEOUT)
        self.sockets.append(made)
        return made

    def listen(self, place: Place, port: int, address: str = "0.0.0.0") -> socket.socket:
        made = self._socket(place, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen()
        return made

    def udp(self, place: Place, port: int = 0, address: str = "0.0.0.0") -> socket.socket:
        made = self._socket(place, socket.SOCK_DGRAM)
        made.bind((address, port))
        return made

    def blocked(self, place: Place, address: str, port: int, server: socket.socket) -> bool:
        """Whether nothing comes of an attempt to connect from `place`."""
        return self.call(place, address, port, server, timeout=BLOCKED) is None

    def call(
        self, place: Place, address: str, port: int, server: socket.socket, timeout: float = TIMEOUT
    ) -> str | None:
        """Connect from `place` and accept at `server`: the client's address as the server sees it, None if it fails."""
        client = self._socket(place, socket.SOCK_STREAM)
        client.settimeout(timeout)
        try:
            client.connect((address, port))
        except OSError:
            return None
        accepted, (peer, _) = server.accept()
        with accepted:
            accepted.settimeout(TIMEOUT)
            client.sendall(b"ping")
            assert accepted.recv(4) == b"ping"
            accepted.sendall(b"pong")
            assert client.recv(4) == b"pong"
        client.close()
        return str(peer)

    def ask(self, client: socket.socket, address: str, port: int, server: socket.socket) -> str | None:
        """Send a datagram and its answer: the client's address as the server sees it, None when either is lost."""
        try:
            client.sendto(b"ping", (address, port))
            data, peer = server.recvfrom(16)
            while data != b"ping":
                # an earlier datagram that waited for ARP comes late
                data, peer = server.recvfrom(16)
            server.sendto(b"pong", peer)
            assert client.recvfrom(16) == (b"pong", (address, port))
        except (TimeoutError, ConnectionRefusedError):
            return None
        return str(peer[0])

    def close(self) -> None:
        for made in self.sockets:
            made.close()
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def lab() -> Iterator[Lab]:
    home = open_own("network")
    try:
        unshare(CLONE_NEWNET)
        made = Lab()
        try:
            yield made
        finally:
            setns(home, CLONE_NEWNET)
            made.close()
    finally:
        os.close(home)


def network(number: int = 0, key: str = "0badcafe", name: str = "bridge") -> NetworkPlan:
    bridge_name = f"hd-{key}" if number == 0 else f"hd-{key[:4]}{number}"
    return NetworkPlan(name, bridge_name, f"10.210.{number}.0/24", f"10.210.{number}.1", f"holdall-{key}")


@pytest.fixture
def plan(lab: Lab) -> NetworkPlan:
    """A network that is up on the host."""
    made = network()
    bridge.ensure(made)
    return made


@pytest.fixture
def plans() -> Callable[..., NetworkPlan]:
    return network


@pytest.fixture
def rules() -> str:
    """What `nft list ruleset` says of `network()` with a container at 10.210.0.2 that publishes PORTS."""
    return RULES
