from __future__ import annotations

import ipaddress

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from holdall.errors import InvalidInput
from holdall.oci.jsonval import JsonObject
from holdall.registry.server import clients
from holdall.registry.server.clients import bucket, caller

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def request(remote: str, *headers: tuple[str, str]) -> web.BaseRequest:
    from multidict import CIMultiDict

    made = make_mocked_request("GET", "/v2/", headers=CIMultiDict([("Host", "registry.example:5000"), *headers]))
    return made.clone(remote=remote)


def forwarded(remote: str, *lines: str) -> str:
    return caller(request(remote, *(("X-Forwarded-For", line) for line in lines)), PROXIES).address


def test_without_a_proxy_the_connection_counts() -> None:
    found = caller(request("192.0.2.1"), ())
    assert (found.address, found.secure, found.url) == ("192.0.2.1", False, "http://registry.example:5000")
    assert caller(request("::ffff:192.0.2.1"), ()).address == "192.0.2.1"
    assert caller(request("fe80::1%eth0"), ()).address == "fe80::1"


def test_what_a_stranger_says_of_others_does_not_count() -> None:
    said = (("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"))
    for trusted in ((), PROXIES):
        found = caller(request("192.0.2.1", *said), trusted)
        assert (found.address, found.secure) == ("192.0.2.1", False)


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # the client wrote the first one itself
        (["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        (["1.1.1.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        (["10.0.0.7, 10.9.9.9"], "10.0.0.7"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["[2001:db8::1]:4711, fd00::1"], "2001:db8::1"),
        (["2001:DB8:0::1"], "2001:db8::1"),
        (["nonsense"], "10.1.2.3"),
        (["203.0.113.9, nonsense"], "10.1.2.3"),
        ([""], "10.1.2.3"),
        ([], "10.1.2.3"),
        ([", ".join(["10.0.0.1"] * 100)], "10.0.0.1"),
    ],
)
def test_behind_trusted_proxies_the_last_stranger_is_the_client(lines: list[str], address: str) -> None:
    assert forwarded("10.1.2.3", *lines) == address


def test_a_trusted_proxy_says_how_it_was_reached() -> None:
    for said, secure in (("https", True), ("http", False), ("http, https", True), ("https,HTTP", False)):
        assert caller(request("10.1.2.3", ("X-Forwarded-Proto", said)), PROXIES).secure is secure


@pytest.mark.parametrize("host", ["", 'a"b', "a b", "a/b", "x" * 300, "a:b", "[::1", "a\r\nb"])
def test_a_host_that_could_break_a_challenge_is_not_used(host: str) -> None:
    made = make_mocked_request("GET", "/", headers={"Host": host} if host else {})
    assert caller(made, ()).host in ("localhost", "127.0.0.1:8080") or ":" in caller(made, ()).host
    assert '"' not in caller(made, ()).host


def test_a_customers_whole_network_is_one_client() -> None:
    assert bucket("192.0.2.1") == "192.0.2.1"
    assert bucket("2001:db8::1") == bucket("2001:db8::ffff") != bucket("2001:db8:0:1::1")
    assert bucket("") == ""


def test_networks_are_parsed_strictly() -> None:
    values: dict[str, object] = {"p": ["10.0.0.0/8", "192.0.2.7", "fd00::/8"]}
    assert [str(one) for one in clients.parse(JsonObject(values, "x", InvalidInput), "p")] == [
        "10.0.0.0/8",
        "192.0.2.7/32",
        "fd00::/8",
    ]
    for wrong in ("10.0.0.1/8", "proxy.example", "", "10.0.0.0/33"):
        with pytest.raises(InvalidInput, match="no address or network"):
            clients.parse(JsonObject({"p": [wrong]}, "x", InvalidInput), "p")
