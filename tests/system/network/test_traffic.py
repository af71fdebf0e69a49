"""Who reaches whom, and as whom: neighbours, the world, published ports, and those who must not."""

from __future__ import annotations

import pytest

from holdall.network import bridge, veth
from holdall.network.plan import PortBinding

pytestmark = pytest.mark.root
UPLINK, OUTSIDE = "192.0.2.1", "192.0.2.100"


def tcp(host_port, container_port, host_ip=""):
    return PortBinding("tcp", host_ip, host_port, container_port)


def udp(host_port, container_port, host_ip=""):
    return PortBinding("udp", host_ip, host_port, container_port)


@pytest.fixture(params=["0", "1"], ids=["plain", "br_netfilter"])
def filtered(request, lab):
    """With and without frames on bridges going through the IPv4 hooks."""
    try:
        lab.host.sysctl("bridge/bridge-nf-call-iptables", request.param)
    except FileNotFoundError:
        if request.param == "1":
            pytest.skip("no br_netfilter")


def test_neighbours_reach_each_other_with_their_own_addresses(lab, filtered, plan):
    one, first = lab.attach(plan, 2)
    two, second = lab.attach(plan, 3)
    assert lab.call(one, second.ip, 80, lab.listen(two, 80)) == first.ip
    assert lab.ask(lab.udp(two), first.ip, 53, lab.udp(one, 53)) == second.ip


def test_the_host_and_a_container_reach_each_other(lab, plan):
    one, attachment = lab.attach(plan, 2)
    assert lab.call(lab.host, attachment.ip, 80, lab.listen(one, 80)) == plan.gateway
    assert lab.call(one, plan.gateway, 80, lab.listen(lab.host, 80)) == attachment.ip


def test_loopback_is_up_inside(lab, plan):
    one, _ = lab.attach(plan, 2)
    assert lab.call(one, "127.0.0.1", 80, lab.listen(one, 80)) == "127.0.0.1"


def test_the_world_sees_the_host_in_place_of_the_container(lab, plan):
    outside = lab.outside()
    one, _ = lab.attach(plan, 2)
    assert lab.call(one, OUTSIDE, 80, lab.listen(outside, 80)) == UPLINK
    assert lab.ask(lab.udp(one), OUTSIDE, 53, lab.udp(outside, 53)) == UPLINK


def test_published_ports_are_reached_from_outside_and_see_the_caller(lab, plan):
    outside = lab.outside()
    one, _ = lab.attach(plan, 2, (tcp(8080, 80), udp(5353, 53)))
    assert lab.call(outside, UPLINK, 8080, lab.listen(one, 80)) == OUTSIDE
    assert lab.ask(lab.udp(outside), UPLINK, 5353, lab.udp(one, 53)) == OUTSIDE


def test_a_port_of_one_protocol_is_not_the_others(lab, plan):
    outside = lab.outside()
    one, _ = lab.attach(plan, 2, (tcp(8080, 80),))
    server = lab.udp(one, 80)
    server.settimeout(0.3)
    assert lab.ask(lab.udp(outside), UPLINK, 8080, server) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.2.1", UPLINK, "10.210.0.1"])
def test_published_ports_are_reached_from_the_host_by_each_of_its_addresses(lab, plan, address):
    lab.outside()
    one, _ = lab.attach(plan, 2, (tcp(8080, 80), udp(5353, 53)))
    assert lab.call(lab.host, address, 8080, lab.listen(one, 80)) is not None
    assert lab.ask(lab.udp(lab.host), address, 5353, lab.udp(one, 53)) is not None


@pytest.mark.parametrize("address", [UPLINK, "10.210.0.1"])
def test_published_ports_are_reached_from_the_container_itself_and_its_neighbours(lab, filtered, plan, address):
    lab.outside()
    one, _ = lab.attach(plan, 2, (tcp(8080, 80), udp(5353, 53)))
    two, _ = lab.attach(plan, 3)
    server, answerer = lab.listen(one, 80), lab.udp(one, 53)
    for place in (one, two):
        assert lab.call(place, address, 8080, server) is not None
        assert lab.ask(lab.udp(place), address, 5353, answerer) is not None


def test_a_port_published_on_one_address_answers_there_alone(lab, plan):
    outside = lab.outside()
    lab.host.sh("ip address add 192.0.2.2/24 dev up0")
    one, _ = lab.attach(plan, 2, (tcp(8080, 80, "192.0.2.2"),))
    server = lab.listen(one, 80)
    assert lab.call(outside, "192.0.2.2", 8080, server) == OUTSIDE
    assert lab.blocked(outside, UPLINK, 8080, server)
    assert lab.blocked(lab.host, "127.0.0.1", 8080, server)


def test_one_port_on_two_addresses_leads_to_two_containers(lab, plan):
    outside = lab.outside()
    one, _ = lab.attach(plan, 2, (tcp(8080, 80),))
    two, _ = lab.attach(plan, 3, (tcp(8080, 80, "127.0.0.1"),))
    assert lab.call(outside, UPLINK, 8080, lab.listen(one, 80)) == OUTSIDE
    assert lab.call(lab.host, "127.0.0.1", 8080, lab.listen(two, 80)) == plan.gateway


def _send_loopback_to(place, gateway):
    """Make 127.0.0.0/8 of this namespace go out to the gateway, as an attacker would."""
    device = "eth0"
    place.sysctl(f"ipv4/conf/{device}/route_localnet", "1")
    place.sysctl("ipv4/conf/all/route_localnet", "1")
    place.sh(f"ip link set lo down; ip route flush table local dev lo; ip route add 127.0.0.0/8 via {gateway}")


def test_a_port_published_on_loopback_is_out_of_reach_of_neighbours(lab, plan):
    outside = lab.outside()
    one, _ = lab.attach(plan, 2, (udp(9000, 80, "127.0.0.1"),))
    server, client = lab.udp(one, 80), lab.udp(outside, 0, OUTSIDE)
    assert lab.ask(lab.udp(lab.host), "127.0.0.1", 9000, server) == plan.gateway
    server.settimeout(0.3)
    _send_loopback_to(outside, UPLINK)
    client.sendto(b"hello", ("127.0.0.1", 9000))
    with pytest.raises(TimeoutError):
        server.recv(16)
    rule = "dnat ip to ip daddr . meta l4proto . th dport map @published_on"
    lab.host.sh(f"nft flush chain ip {plan.table} prerouting; nft add rule ip {plan.table} prerouting {rule}")
    lab.udp(outside, 0, OUTSIDE).sendto(b"hello", ("127.0.0.1", 9000))
    assert server.recv(16) == b"hello", "the attack itself does not work"


def test_a_container_does_not_reach_the_hosts_loopback(lab, plan):
    one, attachment = lab.attach(plan, 2)
    server = lab.udp(lab.host, 7777, "127.0.0.1")
    server.settimeout(0.3)
    _send_loopback_to(one, plan.gateway)
    client = lab.udp(one, 0, attachment.ip)
    client.sendto(b"hello", ("127.0.0.1", 7777))
    with pytest.raises(TimeoutError):
        server.recv(16)
    lab.host.sh(f"nft flush chain ip {plan.table} guard")
    client.sendto(b"hello", ("127.0.0.1", 7777))
    assert server.recv(16) == b"hello", "the attack itself does not work"


def test_who_knows_a_route_to_the_subnet_reaches_no_unpublished_port(lab, plan):
    outside = lab.outside()
    one, attachment = lab.attach(plan, 2, (tcp(8080, 80), tcp(9000, 81, "127.0.0.1")))
    outside.sh(f"ip route add {plan.subnet} via {UPLINK}")
    hidden, local, public = lab.listen(one, 82), lab.listen(one, 81), lab.listen(one, 80)
    assert lab.blocked(outside, attachment.ip, 82, hidden)
    assert lab.blocked(outside, attachment.ip, 81, local)
    assert lab.call(outside, UPLINK, 8080, public) == OUTSIDE
    lab.host.sh(f"nft flush chain ip {plan.table} forward")
    assert lab.call(outside, attachment.ip, 82, hidden) == OUTSIDE, "the attack itself does not work"


def test_networks_are_apart_but_for_published_ports(lab, plan, plans):
    lab.outside()
    other = plans(1, name="other")
    bridge.ensure(other)
    one, attachment = lab.attach(plan, 2, (tcp(8080, 80),))
    two, _ = lab.attach(other, 2)
    server = lab.listen(one, 80)
    assert lab.blocked(two, attachment.ip, 80, server)
    assert lab.call(two, UPLINK, 8080, server) is not None


def test_stores_live_side_by_side(lab, plan, plans):
    outside = lab.outside()
    other = plans(1, key="feedf00d")
    bridge.ensure(other)
    one, first = lab.attach(plan, 2, (tcp(8080, 80),))
    two, _ = lab.attach(other, 2, (tcp(8081, 80),))
    server, server_two = lab.listen(one, 80), lab.listen(two, 80)
    assert lab.call(outside, UPLINK, 8080, server) == OUTSIDE
    assert lab.call(outside, UPLINK, 8081, server_two) == OUTSIDE
    assert lab.blocked(two, first.ip, 80, server)
    assert lab.call(two, UPLINK, 8080, server) is not None
    bridge.remove(other)
    assert lab.call(outside, UPLINK, 8080, server) == OUTSIDE


def test_a_forged_source_address_goes_nowhere(lab, plan):
    one, attachment = lab.attach(plan, 2)
    server = lab.udp(lab.host, 7777)
    server.settimeout(0.3)
    one.sh("ip address add 198.51.100.7/32 dev lo")
    lab.udp(one, 0, attachment.ip).sendto(b"honest", (plan.gateway, 7777))
    assert server.recv(16) == b"honest"
    client = lab.udp(one, 0, "198.51.100.7")
    client.sendto(b"forged", (plan.gateway, 7777))
    with pytest.raises(TimeoutError):
        server.recv(16)
    lab.host.sysctl(f"ipv4/conf/{plan.bridge}/rp_filter", "0")
    client.sendto(b"forged", (plan.gateway, 7777))
    assert server.recv(16) == b"forged", "the attack itself does not work"


def test_a_udp_flow_follows_the_port_to_its_new_container(lab, plan):
    outside = lab.outside()
    client = lab.udp(outside)
    client.sendto(b"too early", (UPLINK, 5353))
    one, attachment = lab.attach(plan, 2, (udp(5353, 53),))
    assert lab.ask(client, UPLINK, 5353, lab.udp(one, 53)) == OUTSIDE
    veth.detach(attachment)
    two, _ = lab.attach(plan, 3, (udp(5353, 53),))
    assert lab.ask(client, UPLINK, 5353, lab.udp(two, 53)) == OUTSIDE


def test_a_detached_containers_port_is_closed(lab, plan):
    outside = lab.outside()
    one, attachment = lab.attach(plan, 2, (tcp(8080, 80),))
    server = lab.listen(one, 80)
    assert lab.call(outside, UPLINK, 8080, server) == OUTSIDE
    veth.detach(attachment)
    assert lab.blocked(outside, UPLINK, 8080, server)
    assert "8080" not in lab.host.sh("nft list ruleset")
