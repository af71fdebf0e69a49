"""Choice of subnets and addresses."""

from __future__ import annotations

import pytest

from holdall.errors import Conflict
from holdall.network import ipam


def test_the_first_free_subnet_of_the_first_pool():
    assert ipam.choose_subnet([], []) == "10.210.0.0/24"
    assert ipam.choose_subnet(["0.0.0.0/0"], ["10.210.0.0/24"]) == "10.210.1.0/24"


def test_the_seed_moves_the_start_and_goes_round():
    assert ipam.choose_subnet([], [], 255) == "10.210.255.0/24"
    assert ipam.choose_subnet([], ["10.210.255.0/24"], 255) == "10.210.0.0/24"


def test_docker_podman_and_lan_routes_are_kept_clear_of():
    routes = ["172.17.0.1/16", "10.88.0.0/16", "10.210.0.0/17", "192.168.1.0/24"]
    assert ipam.choose_subnet(routes, []) == "10.210.128.0/24"
    assert ipam.choose_subnet([*routes, "10.210.0.0/16"], []) == "172.28.0.0/24"
    assert ipam.choose_subnet([*routes, "10.0.0.0/8", "172.16.0.0/12"], []) == "192.168.0.0/24"


def test_routes_over_everything_do_not_block():
    assert ipam.choose_subnet(["0.0.0.0/1", "128.0.0.0/1"], []) == "10.210.0.0/24"
    everything = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
    assert ipam.choose_subnet([*everything, "10.210.0.0/24"], []) == "10.210.1.0/24"


def test_with_nothing_left_there_is_a_conflict():
    with pytest.raises(Conflict, match="no free subnet"):
        ipam.choose_subnet([], list(ipam.POOLS))


def test_addresses_skip_network_gateway_and_broadcast():
    assert ipam.next_address("10.210.0.0/24", []) == "10.210.0.2/24"
    assert ipam.next_address("10.210.0.0/24", ["10.210.0.2/24", "10.210.0.254"]) == "10.210.0.3/24"
    assert ipam.next_address("10.210.0.0/30", []) == "10.210.0.2/30"
    with pytest.raises(Conflict, match="no free address"):
        ipam.next_address("10.210.0.0/30", ["10.210.0.2"])
    with pytest.raises(Conflict):
        ipam.next_address("10.210.0.0/31", [])


def test_the_search_starts_behind_the_last_one_given():
    assert ipam.next_address("10.210.0.0/24", [], "10.210.0.2/24") == "10.210.0.3/24"
    assert ipam.next_address("10.210.0.0/24", [], "10.210.0.254/24") == "10.210.0.2/24"
    assert ipam.next_address("10.210.0.0/24", [], "10.99.0.1").startswith("10.210.0.")


def test_a_hardware_address_belongs_to_the_address():
    assert ipam.mac_address("10.210.0.2/24") == ipam.mac_address("10.210.0.2") == "02:42:0a:d2:00:02"


def test_a_clash_is_a_route_as_narrow_or_narrower():
    assert ipam.clash("10.210.0.0/24", ["0.0.0.0/0", "10.0.0.0/8", "10.210.1.0/24"]) is None
    assert ipam.clash("10.210.0.0/24", ["10.210.0.0/24"]) == "10.210.0.0/24"
    assert ipam.clash("10.210.0.0/24", ["10.210.0.128/25"]) == "10.210.0.128/25"
