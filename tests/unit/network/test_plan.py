"""Names and JSON of plans."""

from __future__ import annotations

import pytest

from holdall.network.plan import (
    Attachment,
    NetworkPlan,
    PortBinding,
    bridge_name,
    make_attachment,
    make_plan,
    table_name,
)
from holdall.paths import SYSTEM_ROOT, store_key

SYSTEM = store_key(SYSTEM_ROOT)


def plan():
    return make_plan("bridge", "0badcafe", [], routes=[], mtu=1500)


def attachment():
    return make_attachment(plan(), "0123456789abcdef", "10.210.254.2/24", (PortBinding("tcp", "", 8080, 80),))


def test_the_systems_store_has_the_plain_name_and_the_first_subnet():
    assert bridge_name("bridge", SYSTEM) == "holdall0"
    assert make_plan("bridge", SYSTEM, [], routes=[], mtu=1500).subnet == "10.210.0.0/24"


def test_stores_and_networks_have_names_of_their_own():
    names = {bridge_name(name, key) for name in ("bridge", "a", "b") for key in (SYSTEM, "0badcafe", "feedf00d")}
    assert len(names) == 9
    assert table_name("0badcafe") == "holdall-0badcafe"
    assert make_plan("bridge", "0badcafe", [], routes=[], mtu=1500).subnet != "10.210.0.0/24"


def test_an_attachment_is_derived_from_the_plan():
    made = attachment()
    assert made.host_ifname == "hd0bad012345678"
    assert made.mac == "02:42:0a:d2:fe:02"
    assert (made.ip, made.prefix, made.bridge, made.table) == ("10.210.254.2", 24, "hd-0badcafe", "holdall-0badcafe")
    assert made.describe() == ("eth0 10.210.254.2/24 by hd0bad012345678 on hd-0badcafe: 80/tcp -> 0.0.0.0:8080")
    assert "bridge hd-0badcafe 10.210.254.1/24" in plan().describe()


def test_json_and_back():
    assert NetworkPlan.parse(plan().to_json()) == plan()
    assert Attachment.parse(attachment().to_json()) == attachment()


@pytest.mark.parametrize(
    "change",
    [{"bridge": "a/b"}, {"bridge": ""}, {"bridge": "x" * 16}, {"table": "filter"}, {"subnet": "10.0.0.1/24"},
     {"gateway": "10.9.9.9"}, {"mtu": 1}, {"mtu": "1500"}, {"mtu": 100000}, {"more": 1}, {"subnet": "x"}],
)  # fmt: skip
def test_malformed_plans_are_refused(change):
    with pytest.raises(ValueError):
        NetworkPlan.parse({**plan().to_json(), **change})


@pytest.mark.parametrize(
    "change",
    [{"host_ifname": "x" * 16}, {"ifname": "a b"}, {"address": "10.0.0.300/24"}, {"mac": "02"}, {"mac": "zz"},
     {"ports": 1}, {"ports": [{"protocol": "sctp", "host_ip": "", "host_port": 1, "container_port": 1}]},
     {"ports": [{"protocol": "tcp", "host_ip": "", "host_port": 70000, "container_port": 1}]},
     {"ports": [{"protocol": "tcp", "host_ip": "", "host_port": 1, "container_port": 0}]},
     {"ports": [{"protocol": "tcp", "host_ip": "::1", "host_port": 1, "container_port": 1}]}],
)  # fmt: skip
def test_malformed_attachments_are_refused(change):
    with pytest.raises(ValueError):
        Attachment.parse({**attachment().to_json(), **change})
