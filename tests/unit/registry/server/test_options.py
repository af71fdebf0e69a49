from __future__ import annotations

from pathlib import Path

import pytest

from holdall.errors import InvalidOption
from holdall.record import replace
from holdall.registry.server.options import ServeOptions, address, check, default_workers, is_loopback


def test_addresses() -> None:
    assert address("127.0.0.1:5000") == ("127.0.0.1", 5000)
    assert address(":0") == ("", 0)
    assert address("[::1]:5000") == ("::1", 5000)
    for text in ("", "5000", "host", "host:", "host:x", "host:70000", "::1:5000", "a:b:1"):
        with pytest.raises(InvalidOption):
            address(text)


def test_loopback() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert is_loopback(host)
    for host in ("", "0.0.0.0", "::", "10.0.0.1", "example.org"):
        assert not is_loopback(host)


def test_without_credentials_only_loopback(tmp_path: Path) -> None:
    options = ServeOptions(str(tmp_path))
    check(options)
    for host in ("", "0.0.0.0", "::", "192.0.2.1"):
        with pytest.raises(InvalidOption, match="without credentials"):
            check(replace(options, host=host))
    users = tmp_path / "users"
    users.write_text("")
    check(replace(options, host="0.0.0.0", htpasswd=str(users)))


def test_contradictions_are_refused(tmp_path: Path) -> None:
    options = ServeOptions(str(tmp_path))
    for change in ({"workers": 0}, {"workers": 65}, {"anonymous_pull": True}, {"tls_key": "x"}):
        with pytest.raises(InvalidOption):
            check(replace(options, **change))
    assert default_workers() >= 1
