"""Firewalls of others whose policy drops forwarded packets: passed where it is iptables', named where it is not."""

from __future__ import annotations

import shutil

import pytest

from holdall.network import bridge
from holdall.network.forward import forward_blocked
from holdall.network.plan import PortBinding

pytestmark = pytest.mark.root
UPLINK, OUTSIDE = "192.0.2.1", "192.0.2.100"
PORTS = (PortBinding("tcp", "", 8080, 80),)


@pytest.fixture(params=["iptables-nft", "iptables-legacy"])
def iptables(request, lab):
    """One of the two, with the policy of FORWARD set to DROP as Docker does."""
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param}")
    lab.host.sh(f"{request.param} -P FORWARD DROP")
    return request.param


def test_containers_pass_a_forward_chain_that_drops(lab, iptables, plan):
    outside = lab.outside()
    one, _ = lab.attach(plan, 2, PORTS)
    there, here = lab.listen(outside, 81), lab.listen(one, 80)
    assert lab.call(one, OUTSIDE, 81, there) == UPLINK
    assert lab.call(outside, UPLINK, 8080, here) == OUTSIDE
    lab.host.sh(f"{iptables} -F FORWARD")
    assert lab.blocked(one, OUTSIDE, 81, there), "the policy did not drop: the test shows nothing"
    assert lab.blocked(outside, UPLINK, 8080, here)
    bridge.ensure(plan)
    assert lab.call(one, OUTSIDE, 81, there) == UPLINK
    assert lab.call(outside, UPLINK, 8080, here) == OUTSIDE


def test_the_rules_are_made_once_and_iptables_reads_them(lab, iptables, plan):
    before = lab.host.sh(f"{iptables} -S FORWARD").splitlines()
    bridge.ensure(plan)
    assert lab.host.sh(f"{iptables} -S FORWARD").splitlines() == before
    assert [line.split("-m")[0].split("-j")[0].strip() for line in before] == [
        "-P FORWARD DROP",
        "-A FORWARD -i hd-0badcafe",
        "-A FORWARD -o hd-0badcafe",
    ]
    assert all(line.endswith("-j ACCEPT") for line in before[1:])
    lab.host.sh(
        f"{iptables} -L -n -v; {iptables} -A FORWARD -i eth7 -j ACCEPT; {iptables} -D FORWARD -i eth7 -j ACCEPT"
    )


def test_removal_takes_the_rules_of_this_network_alone(lab, iptables, plan, plans):
    other = plans(1, name="other")
    bridge.ensure(other)
    bridge.remove(plan)
    lines = lab.host.sh(f"{iptables} -S FORWARD")
    assert "hd-0badcafe" not in lines
    assert lines.count("hd-0bad1") >= 2
    bridge.remove(other)
    assert lab.host.sh(f"{iptables} -S FORWARD") == "-P FORWARD DROP\n"


def test_rules_of_the_administrator_come_first(lab, iptables, plans):
    lab.host.sh(f"{iptables} -N DOCKER-USER; {iptables} -A FORWARD -j DOCKER-USER")
    lab.host.sh(f"{iptables} -A DOCKER-USER -d {OUTSIDE} -j DROP")
    plan = plans()
    bridge.ensure(plan)
    outside = lab.outside()
    one, _ = lab.attach(plan, 2, PORTS)
    there = lab.listen(outside, 81)
    assert lab.blocked(one, OUTSIDE, 81, there)
    lab.host.sh(f"{iptables} -F DOCKER-USER")
    assert lab.call(one, OUTSIDE, 81, there) == UPLINK


def test_a_policy_of_accept_is_left_alone(lab, plan):
    lab.host.sh("iptables-nft -P FORWARD ACCEPT")
    bridge.ensure(plan)
    assert lab.host.sh("iptables-nft -S FORWARD") == "-P FORWARD ACCEPT\n"
    assert forward_blocked() is None


def test_a_blocked_chain_is_named_until_our_rules_are_there(lab, iptables, plans):
    plan = plans()
    assert "FORWARD" in (forward_blocked(plan.bridge) or "")
    bridge.ensure(plan)
    assert forward_blocked(plan.bridge) is None
    assert "FORWARD" in (forward_blocked() or "")


def test_native_tables_are_named_and_left_alone(lab, plan):
    lab.host.sh("nft add table inet mine")
    lab.host.sh("nft 'add chain inet mine passing { type filter hook forward priority 0; policy drop; }'")
    before = lab.host.sh("nft list table inet mine")
    bridge.ensure(plan)
    assert lab.host.sh("nft list table inet mine") == before
    assert forward_blocked(plan.bridge) == (
        'chain "passing" of nft table "inet mine" drops forwarded packets by its policy'
    )
