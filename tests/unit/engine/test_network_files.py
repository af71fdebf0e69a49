"""etc/hosts and its like on hosts that lack them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from holdall.engine import network_files

if TYPE_CHECKING:
    from pathlib import Path


def asked(network: str) -> Any:
    options = SimpleNamespace(
        hostname="box",
        domainname="",
        network=network,
        add_hosts=("db:10.0.0.9",),
        dns=(),
        dns_search=(),
        dns_options=(),
    )
    return SimpleNamespace(options=options)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose files are all missing."""
    for name in ("HOSTS", "RESOLV", "SYSTEMD_RESOLV"):
        monkeypatch.setattr(network_files, name, str(tmp_path / name))
    return tmp_path


@pytest.mark.parametrize("network", ["host", "none"])
@pytest.mark.parametrize("present", [False, True])
def test_all_three_files_are_always_there(host: Path, network: str, present: bool) -> None:
    if present:
        (host / "HOSTS").write_text("127.0.0.1 localhost special\n")
    folder = host / "container"
    (folder / "etc").mkdir(parents=True)
    network_files.write_network_files(SimpleNamespace(id="f" * 64), asked(network), str(folder), None)  # type: ignore[arg-type]
    assert sorted(path.name for path in (folder / "etc").iterdir()) == ["hostname", "hosts", "resolv.conf"]
    hosts = (folder / "etc" / "hosts").read_text()
    assert "localhost" in hosts
    assert "10.0.0.9\tdb\n" in hosts
    assert ("special" in hosts) == (present and network == "host")
