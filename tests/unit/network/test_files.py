"""/etc/hosts, /etc/resolv.conf, /etc/hostname."""

from __future__ import annotations

import pytest

from holdall.errors import InvalidOption
from holdall.network.files import (
    FALLBACK_SERVERS,
    HostEntry,
    check_search,
    check_server,
    hostname,
    hosts,
    parse_add_host,
    resolv_conf,
)

STUB = "# made by systemd-resolved\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\n"
UPSTREAM = "nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch ignored.example\n"


def test_hosts_of_a_container():
    made = hosts("10.210.0.2/24", ("web", "c0ffee"), [HostEntry("db", "10.0.0.9"), HostEntry("h", "host-gateway")],
                 gateway="10.210.0.1")  # fmt: skip
    assert made.splitlines() == [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::\tip6-localnet",
        "ff00::\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
        "10.0.0.9\tdb",
        "10.210.0.1\th",
        "10.210.0.1\thost.docker.internal host.containers.internal",
        "10.210.0.2\tweb c0ffee",
    ]


def test_hosts_without_a_network():
    assert hosts().splitlines()[-1] == "ff02::2\tip6-allrouters"


def test_an_entry_of_the_user_wins_over_the_hosts_name():
    made = hosts(extra=[HostEntry("host.docker.internal", "10.0.0.9")], gateway="10.210.0.1")
    assert "10.0.0.9\thost.docker.internal\n10.210.0.1\thost.containers.internal\n" in made


def test_host_gateway_needs_one():
    with pytest.raises(InvalidOption, match='"h"'):
        hosts(extra=[HostEntry("h", "host-gateway")])


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("db:10.0.0.9", HostEntry("db", "10.0.0.9")),
        ("db=10.0.0.9", HostEntry("db", "10.0.0.9")),
        ("db:::1", HostEntry("db", "::1")),
        ("db:[fd00::9]", HostEntry("db", "fd00::9")),
        ("db=fd00::9", HostEntry("db", "fd00::9")),
        ("h:host-gateway", HostEntry("h", "host-gateway")),
    ],
)
def test_add_host(text, entry):
    assert parse_add_host(text) == entry


@pytest.mark.parametrize(
    "text", ["", "db", "db:", ":10.0.0.9", "db:10.0.0", "a b:10.0.0.9", "db\n:10.0.0.9", "#:1.2.3.4"]
)
def test_malformed_add_host(text):
    with pytest.raises(InvalidOption):
        parse_add_host(text)


def test_the_hosts_servers_are_taken_over():
    host = "search a b\n; comment\nnameserver 192.0.2.1\nnameserver  192.0.2.2 # x\noptions ndots:2\n"
    assert resolv_conf(host) == "nameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch a b\noptions ndots:2\n"


def test_of_domain_and_search_the_last_counts():
    assert "search c\n" in resolv_conf("search a b\ndomain c\n")
    assert "search a b\n" in resolv_conf("domain c\nsearch a b\n")


def test_loopback_servers_give_way_to_those_behind_them():
    assert resolv_conf(STUB, upstream=UPSTREAM) == (
        "nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch example.org\noptions edns0 trust-ad\n"
    )


def test_with_no_reachable_server_the_fallback_stands_in():
    for text in ("", STUB, "nameserver ::1\nnameserver fd00::53\nnameserver 0.0.0.0\nnameserver\n"):
        assert resolv_conf(text).splitlines()[:2] == [f"nameserver {server}" for server in FALLBACK_SERVERS]


def test_options_replace_the_hosts():
    made = resolv_conf(STUB, servers=["9.9.9.9", "fd00::1"], search=["x.example"], options=["ndots:5"])
    assert made == "nameserver 9.9.9.9\nnameserver fd00::1\nsearch x.example\noptions ndots:5\n"
    assert "search" not in resolv_conf(STUB, search=["."])


def test_the_host_network_keeps_the_hosts_servers():
    assert resolv_conf(STUB, own_network=False).startswith("nameserver 127.0.0.53\n")
    assert resolv_conf("", own_network=False) == ""


def test_option_values_are_checked():
    assert check_server("fd00::1") == "fd00::1"
    assert check_search(".") == "."
    for check, text in ((check_server, "dns.example"), (check_server, ""), (check_search, ""), (check_search, "a b")):
        with pytest.raises(InvalidOption):
            check(text)


def test_hostname():
    assert hostname("web") == "web\n"
