"""What `attach` sets, what it replaces, what it leaves when it fails; and `detach`."""

from __future__ import annotations

import os
import socket
import time

import pytest

from holdall.linux import nftables
from holdall.linux.nftables import IPV4, Batch
from holdall.network import bridge, veth
from holdall.network.plan import PortBinding, make_attachment
from holdall.record import replace

pytestmark = pytest.mark.root
PORTS = (PortBinding("tcp", "", 8080, 80), PortBinding("udp", "127.0.0.1", 5353, 53))


def test_the_container_has_address_route_names_and_no_ipv6(lab, plan):
    one, attachment = lab.attach(plan, 2)
    assert one.sh("ip -o -4 address show eth0").split()[3] == attachment.address
    assert one.sh("ip route").splitlines()[0].startswith("default via 10.210.0.1 dev eth0")
    assert "link/ether 02:42:0a:d2:00:02" in one.sh("ip link show eth0")
    assert one.sh("ip -o -6 address show dev eth0") == ""
    assert "::1/128" in one.sh("ip -o -6 address show dev lo")
    assert (
        lab.host.sh(f"ip -o -6 address show dev {attachment.host_ifname}; ip -o -6 address show dev {plan.bridge}")
        == ""
    )
    assert one.links() == {"lo", "eth0"}


def test_the_mtu_of_the_plan_is_everywhere(lab, plans):
    plan = replace(plans(), mtu=1400)
    bridge.ensure(plan)
    one, attachment = lab.attach(plan, 2)
    assert "mtu 1400" in one.sh("ip link show eth0")
    assert "mtu 1400" in lab.host.sh(f"ip link show {attachment.host_ifname}")
    assert "mtu 1400" in lab.host.sh(f"ip link show {plan.bridge}")


def test_packets_pass_the_moment_attach_returns(lab, plan):
    server = lab.listen(lab.host, 80)
    for number in range(2, 22):
        place, _ = lab.attach(plan, number)
        start = time.monotonic()
        assert lab.call(place, plan.gateway, 80, server)
        assert time.monotonic() - start < 0.5, "the first packet was lost"


def test_attach_replaces_what_a_killed_attempt_left(lab, plan, rules):
    _, attachment = lab.attach(plan, 2, PORTS)
    again = lab.place()
    veth.attach(attachment, again.fd)
    assert lab.call(again, plan.gateway, 80, lab.listen(lab.host, 80)) == attachment.ip
    assert lab.host.sh("nft list ruleset") == rules


def test_attach_replaces_a_half_made_pair(lab, plan):
    attachment = make_attachment(plan, "abcdefabcdef", "10.210.0.2/24", PORTS)
    lab.host.sh(f"ip link add {attachment.host_ifname} type veth peer name other")
    place = lab.place()
    veth.attach(attachment, place.fd)
    assert lab.call(place, plan.gateway, 80, lab.listen(lab.host, 80)) == attachment.ip
    assert "other" not in lab.host.links()


def test_ports_of_an_earlier_start_are_withdrawn(lab, plan, rules):
    _, attachment = lab.attach(plan, 2, (PortBinding("tcp", "", 40000, 80), PortBinding("tcp", "127.0.0.1", 40001, 80)))
    place = lab.place()
    veth.attach(replace(attachment, ports=PORTS), place.fd)
    assert lab.host.sh("nft list ruleset") == rules


def test_a_port_moves_from_a_dead_container_to_the_next(lab, plan, rules):
    _, first = lab.attach(plan, 3, PORTS)
    lab.attach(plan, 2, PORTS)
    assert lab.host.sh("nft list ruleset") == rules
    veth.detach(first)
    assert lab.host.sh("nft list ruleset") == rules, "the late detach took the ports of the new container"


def test_a_failed_attach_leaves_nothing(lab, plan):
    place = lab.place()
    attachment = make_attachment(plan, "abcdefabcdef", "10.210.0.2/24", PORTS)
    with pytest.raises(OSError, match=r"10\.77\.0\.1"):
        veth.attach(replace(attachment, gateway="10.77.0.1"), place.fd)
    with pytest.raises(OSError, match="holdall-gone"):
        veth.attach(replace(attachment, table="holdall-gone"), place.fd)
    with pytest.raises(OSError, match="hd-gone"):
        veth.attach(replace(attachment, bridge="hd-gone"), place.fd)
    with pytest.raises(OSError, match="Invalid argument"), open(os.devnull) as file:
        veth.attach(attachment, file.fileno())
    assert lab.host.links() == {"lo", plan.bridge}
    assert place.links() == {"lo"}
    assert "8080" not in lab.host.sh("nft list ruleset")


def test_attach_comes_home(lab, plan):
    before = os.stat("/proc/thread-self/ns/net").st_ino
    lab.attach(plan, 2)
    assert os.stat("/proc/thread-self/ns/net").st_ino == before


def test_attach_and_detach_open_nothing_for_good(lab, plan):
    place, attachment = lab.attach(plan, 2, PORTS)
    before = os.listdir("/proc/self/fd")
    veth.detach(attachment)
    veth.attach(attachment, place.fd)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_dying_namespace_takes_its_pair_along(lab, plan):
    place, attachment = lab.attach(plan, 2, PORTS)
    lab.fds.remove(place.fd)
    os.close(place.fd)
    veth.detach(attachment, dying=True)
    assert "8080" not in lab.host.sh("nft list ruleset")
    deadline = time.monotonic() + 5
    while attachment.host_ifname in lab.host.links():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_new_container_gets_what_is_sent_to_its_address_though_an_old_one_lingers(lab, plan):
    old, attachment = lab.attach(plan, 2)
    assert lab.call(old, plan.gateway, 80, lab.listen(lab.host, 80)) == attachment.ip
    veth.detach(attachment, dying=True)
    new, _ = lab.attach(plan, 2)
    start = time.monotonic()
    assert lab.call(lab.host, attachment.ip, 81, lab.listen(new, 81)) == plan.gateway
    assert time.monotonic() - start < 0.5


def test_a_container_restarts_while_its_old_namespace_dies(lab, plan):
    server = lab.listen(lab.host, 80)
    attachment = make_attachment(plan, "abcdefabcdef", "10.210.0.2/24", PORTS)
    for _ in range(8):
        place = lab.place()
        veth.attach(attachment, place.fd)
        assert lab.call(place, plan.gateway, 80, server) == attachment.ip
        lab.fds.remove(place.fd)
        os.close(place.fd)
        veth.detach(attachment, dying=True)


def test_thousands_of_ports_are_published_and_withdrawn(lab, plan):
    ports = tuple([PortBinding("tcp", "", 10000 + number, 1 + number) for number in range(3000)])
    place, attachment = lab.attach(plan, 2, ports)
    assert lab.call(lab.host, "127.0.0.1", 12999, lab.listen(place, 3000)) == plan.gateway
    veth.detach(attachment)
    assert ": 10.210" not in lab.host.sh("nft list ruleset")


def test_an_error_names_the_object_and_the_kernels_reason(lab, plan):
    batch = Batch(IPV4)
    batch.add_table(plan.table)
    with pytest.raises(FileExistsError, match=plan.table):
        batch.run(nftables.shared())
    with pytest.raises(OSError) as caught:
        veth.attach(make_attachment(plan, "x" * 20, "10.210.0.2/24"), socket.socket().detach())
    assert caught.value.errno
