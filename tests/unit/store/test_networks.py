from __future__ import annotations

import pytest

from holdall.errors import InvalidOption, NameInUse, NetworkInUse, NetworkNotFound
from holdall.store.database import Database
from holdall.store.leases import Leases
from holdall.store.networks import NetworkRow, Networks


@pytest.fixture
def networks(database: Database) -> Networks:
    return Networks(database)


def test_a_network_comes_back_as_made(networks: Networks) -> None:
    made = networks.create("net", "bridge", lambda others: "plan", label={"a": "b"})
    assert networks.get("net") == made
    assert (made.driver, made.plan, made.labels) == ("bridge", "plan", {"a": "b"})
    assert networks.list() == (made,)


def test_the_plan_sees_the_other_networks(networks: Networks) -> None:
    networks.create("a", "bridge", lambda others: "10.0.0.0/24")
    made = networks.create("b", "bridge", lambda others: ",".join(one.plan for one in others) + "+")
    assert made.plan == "10.0.0.0/24+"


def test_a_plan_that_fails_leaves_nothing(networks: Networks) -> None:
    def refuse(others: tuple[NetworkRow, ...]) -> str:
        raise InvalidOption("no subnet is left")

    with pytest.raises(InvalidOption):
        networks.create("net", "bridge", refuse)
    assert networks.list() == ()


def test_names_are_unique_and_checked(networks: Networks) -> None:
    networks.create("net", "bridge", lambda others: "")
    with pytest.raises(NameInUse):
        networks.create("net", "bridge", lambda others: "")
    for name in ("", "a/b", "-x", "x" * 200):
        with pytest.raises(InvalidOption):
            networks.create(name, "bridge", lambda others: "")


def test_ensure_makes_it_once(networks: Networks) -> None:
    first = networks.ensure("net", "bridge", lambda others: "1")
    assert networks.ensure("net", "bridge", lambda others: "2") == first


def test_a_network_with_addresses_cannot_be_removed(networks: Networks, database: Database) -> None:
    networks.create("net", "bridge", lambda others: "")
    leases = Leases(database)
    leases.allocate("net", "c" * 64, lambda taken: "10.0.0.2")
    with pytest.raises(NetworkInUse, match="cccccccccccc"):
        networks.delete("net")
    leases.release("net", "c" * 64)
    networks.delete("net")
    assert networks.find("net") is None


def test_a_missing_network_is_told(networks: Networks) -> None:
    with pytest.raises(NetworkNotFound):
        networks.get("x")
    with pytest.raises(NetworkNotFound):
        networks.delete("x")
    with pytest.raises(NetworkNotFound):
        networks.update_plan("x", "")


def test_a_plan_can_be_replaced(networks: Networks) -> None:
    networks.create("net", "bridge", lambda others: "1")
    networks.update_plan("net", "2")
    assert networks.get("net").plan == "2"
