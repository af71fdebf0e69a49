"""Making, mending and removing: idempotent, safe against crashes and concurrent callers, leaving nothing."""

from __future__ import annotations

import os
import time

import pytest

from holdall.errors import Conflict
from holdall.linux import nftables
from holdall.linux.nftables import IPV4, Batch
from holdall.network import bridge, nat, published, veth
from holdall.network.leaks import leftovers
from holdall.network.plan import PortBinding, make_attachment, make_plan
from holdall.record import replace

pytestmark = pytest.mark.root

PORTS = (PortBinding("tcp", "", 8080, 80), PortBinding("udp", "127.0.0.1", 5353, 53))


def test_nft_reads_the_table_as_it_is_meant(lab, plan, rules):
    lab.attach(plan, 2, PORTS)
    assert lab.host.sh("nft list ruleset") == rules


def test_ensure_again_changes_nothing(lab, plan):
    lab.attach(plan, 2, PORTS)
    before = lab.host.sh("ip address; nft -a list ruleset")
    assert bridge.ensure(plan) is False
    assert lab.host.sh("ip address; nft -a list ruleset").split() == before.split()


def test_removal_leaves_nothing(lab, plan):
    _, attachment = lab.attach(plan, 2, PORTS)
    veth.detach(attachment)
    bridge.remove(plan)
    assert lab.host.links() == {"lo"}
    assert lab.host.sh("nft list ruleset") == ""
    bridge.remove(plan)
    veth.detach(attachment)


def test_removal_of_one_network_keeps_the_other(lab, plan, plans, rules):
    other = plans(1, name="other")
    bridge.ensure(other)
    lab.attach(plan, 2, PORTS)
    lab.attach(other, 2, (PortBinding("tcp", "", 9090, 80),))
    bridge.remove(other)
    assert lab.host.sh("nft list ruleset") == rules


@pytest.mark.parametrize(
    "damage",
    ["nft flush ruleset", "ip link delete hd-0badcafe", "ip link set hd-0badcafe down", "ip address flush hd-0badcafe",
     "nft delete element ip holdall-0badcafe subnets '{ 10.210.0.0/24 }'",
     "ip address add 10.9.9.9/24 dev hd-0badcafe"],
)  # fmt: skip
def test_ensure_mends_what_others_broke(lab, plan, damage, rules):
    lab.host.sh(damage)
    made = bridge.ensure(plan)
    assert made == (damage == "nft flush ruleset")
    one, attachment = lab.attach(plan, 2, PORTS)
    assert lab.host.sh("nft list ruleset") == rules
    assert lab.call(one, plan.gateway, 80, lab.listen(lab.host, 80)) == attachment.ip
    assert lab.host.sh("ip -o -4 address show hd-0badcafe").count("inet ") == 1


def test_ports_are_published_again_after_a_flush(lab, plan, rules):
    _, attachment = lab.attach(plan, 2, PORTS)
    lab.host.sh("nft flush ruleset")
    assert bridge.ensure(plan) is True
    published.publish(nftables.shared(), attachment)
    assert lab.host.sh("nft list ruleset") == rules


def test_a_plan_with_another_subnet_replaces_the_old_one(lab, plan):
    moved = replace(plan, subnet="10.210.7.0/24", gateway="10.210.7.1")
    bridge.ensure(moved)
    listed = lab.host.sh("nft list ruleset; ip -o -4 address")
    assert "10.210.7.0/24" in listed
    assert "10.210.7.1/24" in listed
    assert "10.210.0." not in listed


def test_a_table_of_another_version_is_rebuilt_with_its_contents(lab, plan, monkeypatch, rules):
    lab.attach(plan, 2, PORTS)
    batch = Batch(IPV4)
    batch.delete_table(plan.table)
    with monkeypatch.context() as patch:
        patch.setattr(nat, "VERSION", b"holdall 0")
        patch.setattr(nat, "_rules", list)
        batch.run(nftables.shared())
        bridge.ensure(plan)
        for attachment in [make_attachment(plan, "x", "10.210.0.2/24", PORTS)]:
            published.publish(nftables.shared(), attachment)
    assert "masquerade" not in lab.host.sh("nft list ruleset")
    bridge.ensure(plan)
    assert lab.host.sh("nft list ruleset") == rules


def test_many_may_ensure_at_once(lab, plans):
    plan = plans()
    children = []
    for number in range(8):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                bridge.ensure(plan)
                bridge.ensure(plans(number % 3 + 1, name=f"n{number % 3}"))
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 8
    listed = lab.host.sh("nft list ruleset")
    assert listed.count("masquerade") == 3
    assert listed.count("drop") == 2
    for number in range(4):
        assert f"10.210.{number}.0/24" in listed
        bridge.remove(plans(number))
    assert lab.host.sh("nft list ruleset") == ""


def test_leftovers_are_named(lab, plan, plans):
    _, kept = lab.attach(plan, 2, PORTS)
    _, lost = lab.attach(plan, 3, (PortBinding("tcp", "", 9090, 80),))
    other = plans(1, key="feedf00d")
    bridge.ensure(other)
    lab.attach(other, 2, (PortBinding("tcp", "", 9091, 80),))
    assert leftovers(plan.table, plan.bridge, {kept.host_ifname, lost.host_ifname}, {kept.address, lost.address}) == []
    found = leftovers(plan.table, plan.bridge, {kept.host_ifname}, {kept.address})
    assert found == [
        f'interface "{lost.host_ifname}" belongs to no container',
        'a published port points to "10.210.0.3", which no container has',
    ]
    veth.detach(lost)
    assert leftovers(plan.table, plan.bridge, {kept.host_ifname}, {kept.address}) == []


def test_a_subnet_that_was_taken_meanwhile_is_refused(lab, plans):
    lab.host.sh("ip link add vpn type bridge; ip address add 10.210.0.77/25 dev vpn; ip link set vpn up")
    with pytest.raises(Conflict, match=r'subnet "10\.210\.0\.0/24".*"10\.210\.0\.0/25"'):
        bridge.ensure(plans())
    assert lab.host.links() == {"lo", "vpn"}


def test_a_bridge_name_that_is_taken_is_refused(lab, plans):
    lab.host.sh("ip link add hd-0badcafe type veth peer name other")
    with pytest.raises(Conflict, match="hd-0badcafe"):
        bridge.ensure(plans())


def test_a_new_plan_keeps_clear_of_the_hosts_routes(lab):
    lab.host.sh(
        "ip link add vpn mtu 1380 type bridge; ip link set vpn up; ip route add 10.210.0.0/16 dev vpn;"
        "ip address add 172.28.0.1/15 dev vpn; ip route add default dev vpn"
    )
    plan = make_plan("bridge", "00000000", [])
    assert plan.subnet == "172.30.0.0/24"
    assert plan.mtu == 1380


def test_forwarding_is_on_and_stays_on(lab, plan):
    bridge.remove(plan)
    with open("/proc/sys/net/ipv4/ip_forward") as file:
        assert file.read() == "1\n"


def test_ensure_takes_little_when_all_is_there(lab, plan):
    bridge.ensure(plan)
    best = min(_duration(plan) for _ in range(20))
    assert best < 0.005


def _duration(plan):
    start = time.perf_counter()
    bridge.ensure(plan)
    return time.perf_counter() - start
