from __future__ import annotations

import pytest

from holdall.errors import InvalidInput
from holdall.registry.endpoint import Endpoint, is_loopback, mirror, origin, registry_name


def test_docker_hub_lives_elsewhere() -> None:
    hub = origin("docker.io")
    assert (hub.host, hub.schemes, hub.is_origin) == ("registry-1.docker.io", ("https",), True)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("a.localhost", True),
        ("127.0.0.1:80", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("[::2]:5000", False),
        ("[::1", False),
    ],
)
def test_plain_http_only_on_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    assert origin(host).schemes == (("https", "http") if loopback else ("https",))


def test_plain_http_when_the_user_says_so() -> None:
    assert origin("reg.example", insecure=True).schemes == ("https", "http")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("localhost:5000", "localhost:5000"),
        ("https://ghcr.io/", "ghcr.io"),
        ("http://[::1]:5000/v2/", "[::1]:5000"),
    ],
)
def test_registry_names(text: str, wanted: str) -> None:
    assert registry_name(text) == wanted


@pytest.mark.parametrize("text", ["", "a b", "https://", "-x", "user@host", "host:port", "ftp://host/x"])
def test_refuses_what_is_no_registry(text: str) -> None:
    with pytest.raises(InvalidInput):
        registry_name(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("mirror:5000", Endpoint("ghcr.io", "mirror:5000")),
        ("https://m.example/hub/x/", Endpoint("ghcr.io", "m.example", "https", "hub/x")),
        ("http://10.0.0.1:80", Endpoint("ghcr.io", "10.0.0.1:80", "http", "", True)),
    ],
)
def test_mirrors(text: str, wanted: Endpoint) -> None:
    made = mirror("ghcr.io", text, insecure=False)
    assert made == wanted
    assert not made.is_origin


@pytest.mark.parametrize("text", ["", "ftp://x", "http://", "https://u:p@h", "h/UP", "h/../x", "h?x", "file:///etc"])
def test_refuses_what_is_no_mirror(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not an endpoint"):
        mirror("ghcr.io", text, insecure=False)


def test_a_prefix_goes_before_the_repository() -> None:
    assert mirror("docker.io", "m/hub", insecure=False).repository("library/x") == "hub/library/x"
    assert str(mirror("docker.io", "https://m/hub", insecure=False)) == "https://m/hub"
