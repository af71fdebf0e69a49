"""Addresses, subnets, ports and netlink attributes, for all values."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from holdall.errors import Conflict, InvalidOption, LimitExceeded, Unsupported
from holdall.linux import netlink
from holdall.network import files, ipam
from holdall.network.address import Subnet, format_address, parse_address
from holdall.network.plan import Attachment, NetworkPlan, PortBinding, make_attachment, make_plan, veth_prefix
from holdall.network.ports import parse, parse_all

NUMBERS = st.integers(0, 0xFFFFFFFF)
PREFIXES = st.integers(0, 32)
CIDR = st.builds(lambda value, prefix: f"{format_address(value)}/{prefix}", NUMBERS, PREFIXES)
PORTS = st.integers(1, 65535)


@given(NUMBERS, PREFIXES)
def test_subnets_agree_with_the_standard_library(value, prefix):
    text = f"{format_address(value)}/{prefix}"
    theirs = ipaddress.ip_network(text, strict=False)
    ours = Subnet.parse(text, strict=False)
    assert str(ours) == str(theirs)
    assert ours.last == int(theirs.broadcast_address)
    assert parse_address(str(ipaddress.ip_address(value))) == value


@given(CIDR, CIDR)
def test_overlap_agrees_with_the_standard_library(one, other):
    a, b = Subnet.parse(one, strict=False), Subnet.parse(other, strict=False)
    assert a.overlaps(b) == ipaddress.ip_network(str(a)).overlaps(ipaddress.ip_network(str(b)))


@given(st.text(max_size=24))
def test_addresses_are_what_the_standard_library_takes(text):
    try:
        theirs = int(ipaddress.IPv4Address(text))
    except ValueError:
        theirs = None
    try:
        ours = parse_address(text)
    except ValueError:
        ours = None
    assert ours == theirs


@given(st.lists(CIDR, max_size=12), st.lists(CIDR, max_size=6), st.integers(0, 1 << 16))
def test_a_chosen_subnet_is_free(routes, taken, seed):
    try:
        chosen = ipaddress.ip_network(ipam.choose_subnet(routes, taken, seed))
    except Conflict:
        return
    assert chosen.prefixlen == 24
    assert any(chosen.subnet_of(ipaddress.ip_network(pool)) for pool in ipam.POOLS)
    for other in taken:
        assert not chosen.overlaps(ipaddress.ip_network(other, strict=False))
    for route in routes:
        network = ipaddress.ip_network(route, strict=False)
        assert network.prefixlen < 17 or not chosen.overlaps(network)


@given(st.integers(24, 30), st.data())
def test_addresses_are_given_once_each_until_none_is_left(prefix, data):
    subnet = f"10.210.0.0/{prefix}"
    network = ipaddress.ip_network(subnet)
    usable = {str(host) for host in network.hosts()} - {ipam.gateway_of(subnet)}
    taken: list[str] = []
    while len(taken) < len(usable):
        last = data.draw(st.sampled_from(["", *taken[-1:]])) if len(taken) < 4 else ""
        made = ipam.next_address(subnet, taken, last)
        assert made not in taken
        assert made.partition("/")[0] in usable
        taken.append(made)
    try:
        ipam.next_address(subnet, taken)
    except Conflict:
        return
    raise AssertionError("an address came out of a full subnet")


@given(st.sets(st.integers(2, 254), max_size=200), st.integers(2, 254))
def test_an_address_given_back_rests(taken, last):
    used = [f"10.210.0.{number}" for number in taken]
    made = ipam.next_address("10.210.0.0/24", used, f"10.210.0.{last}/24")
    order = [number for number in [*range(last + 1, 255), *range(2, last + 1)] if number not in taken]
    assert made == f"10.210.0.{order[0]}/24"


@given(PORTS, PORTS, st.integers(0, 40), st.sampled_from(["tcp", "udp"]), st.sampled_from(["", "127.0.0.1"]))
def test_ranges_pair_up(host, container, length, protocol, address):
    host, container = min(host, 65535 - length), min(container, 65535 - length)
    if min(host, container) < 1:
        return
    prefix = f"{address}:" if address else ""
    found = parse(f"{prefix}{host}-{host + length}:{container}-{container + length}/{protocol}")
    assert found == tuple(PortBinding(protocol, address, host + n, container + n) for n in range(length + 1))
    assert tuple(PortBinding.parse(binding.to_json()) for binding in found) == found


@given(st.text(alphabet="0123456789:-./[]abctupd%", max_size=24))
def test_any_text_is_ports_or_a_clear_error(text):
    try:
        found = parse_all([text])
    except (InvalidOption, Unsupported, LimitExceeded) as err:
        message = err.message
    else:
        message = text
        for binding in found:
            assert PortBinding.parse(binding.to_json()) == binding
    assert text in message or "published ports" in message


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), st.text("0123456789abcdef", min_size=8))
def test_plans_survive_json_and_fit_the_kernels_names(name, key):
    plan = make_plan(name, key[:8], [], routes=[], mtu=1500)
    assert NetworkPlan.parse(plan.to_json()) == plan
    assert len(plan.bridge) <= 15
    attachment = make_attachment(plan, "f" * 64, ipam.next_address(plan.subnet, []), (PortBinding("tcp", "", 1, 2),))
    assert len(attachment.host_ifname) == 15
    assert attachment.host_ifname.startswith(veth_prefix(plan.table))
    assert Attachment.parse(attachment.to_json()) == attachment


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=8))
def test_attributes_come_back(items):
    data = b"".join(netlink.attribute(kind, value) for kind, value in items)
    assert netlink.pairs(data) == items


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_an_error(data):
    for work in (netlink.pairs, lambda raw: list(netlink.split(raw))):
        try:
            work(data)
        except ValueError:
            pass


@given(st.text(max_size=200))
def test_any_resolv_conf_gives_one_with_servers(text):
    made = files.resolv_conf(text, upstream=text)
    servers = [line.split()[1] for line in made.splitlines() if line.startswith("nameserver ")]
    assert servers
    assert all(ipaddress.IPv4Address(server) for server in servers)
