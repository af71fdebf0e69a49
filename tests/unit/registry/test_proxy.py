from __future__ import annotations

import pytest

from holdall.errors import Unsupported
from holdall.registry.proxy import Proxy, choose


def test_by_scheme_lower_case_first() -> None:
    environ = {"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1", "HTTP_PROXY": "plain:2"}
    assert choose(environ, "https", "r.example") == Proxy("http://lower:1")
    assert choose(environ, "http", "r.example") == Proxy("http://plain:2")
    assert choose({}, "https", "r.example") is None


def test_credentials_leave_the_url() -> None:
    found = choose({"https_proxy": "http://us%40er:p%3Aw@[::2]:3128/"}, "https", "r.example")
    assert found == Proxy("http://[::2]:3128", "us@er", "p:w")


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1", "[::1]:443"])
def test_never_for_loopback(host: str) -> None:
    assert choose({"https_proxy": "http://p:1", "http_proxy": "http://p:1"}, "https", host) is None


@pytest.mark.parametrize(
    ("rules", "host", "direct"),
    [
        ("*", "r.example", True),
        ("r.example", "r.example", True),
        ("example", "r.example", True),
        (".example", "r.example:5000", True),
        ("*.example", "r.example", True),
        ("other, R.EXAMPLE", "r.example", True),
        ("r.example:5000", "r.example:5000", True),
        ("r.example:5000", "r.example", False),
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("fd00::/8", "[fd00::1]:443", True),
        ("ample", "r.example", False),
        ("", "r.example", False),
        (",,", "r.example", False),
    ],
)
def test_no_proxy(rules: str, host: str, direct: bool) -> None:
    assert (choose({"https_proxy": "http://p:1", "NO_PROXY": rules}, "https", host) is None) is direct


@pytest.mark.parametrize("text", ["socks5://p:1", "http://", "http://[::1"])
def test_refuses_other_proxies(text: str) -> None:
    with pytest.raises(Unsupported, match="https_proxy"):
        choose({"https_proxy": text}, "https", "r.example")


def test_a_request_header_of_a_cgi_server_is_no_proxy() -> None:
    assert choose({"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}, "http", "r.example") is None
