from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdall.errors import InvalidOption
from holdall.store import settings
from holdall.store.settings import Budget, budget


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1", 1), ("10GB", 10 * 10**9), ("10 gb", 10 * 10**9), ("512MiB", 512 << 20), ("1.5G", 1_500_000_000),
     ("2kib", 2048), ("7B", 7), ("3T", 3 * 10**12)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert Budget.parse(text).bytes("/") == size


def test_a_share_is_of_the_disk(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    assert Budget.parse("10%").bytes(str(tmp_path)) == int(disk.f_blocks * disk.f_frsize * 0.1)
    assert Budget.parse("0%").bytes(str(tmp_path)) == 0


@pytest.mark.parametrize("text", ["", "many", "-1", "101%", "10XB", "10%%", "1e9", "9" * 16])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="invalid budget"):
        Budget.parse(text)


def write(home: Path, text: str) -> dict[str, str]:
    file = home / ".config/holdall/holdall.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return {"HOME": str(home)}


@pytest.fixture(autouse=True)
def _no_system_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "SYSTEM_FILE", str(tmp_path / "system.toml"))


def test_without_files_it_is_a_tenth_of_the_disk(tmp_path: Path) -> None:
    assert budget({"HOME": str(tmp_path)}) == Budget(None, 0.1)


def test_the_users_file_wins_over_the_systems_and_the_environment_over_both(tmp_path: Path) -> None:
    Path(settings.SYSTEM_FILE).write_text('[store]\nbudget = "1GB"\n')
    home = {"HOME": str(tmp_path)}
    assert budget(home) == Budget(10**9)
    home = write(tmp_path, '[store]\nbudget = "2GB"\n')
    assert budget(home) == Budget(2 * 10**9)
    assert budget({**home, "HOLDALL_STORE_BUDGET": "3GB"}) == Budget(3 * 10**9)
    assert budget({"HOME": "/nowhere", "XDG_CONFIG_HOME": str(tmp_path / ".config")}) == Budget(2 * 10**9)


def test_builds_have_a_budget_of_their_own(tmp_path: Path) -> None:
    home = write(tmp_path, '[store]\nbudget = "1GB"\n[build]\nbudget = "2GB"\n')
    assert budget(home) == Budget(10**9)
    assert budget(home, settings.BUILD) == Budget(2 * 10**9)
    assert budget({**home, "HOLDALL_BUILD_BUDGET": "5%"}, settings.BUILD) == Budget(None, 0.05)
    assert budget({**home, "HOLDALL_STORE_BUDGET": "5%"}, settings.BUILD) == Budget(2 * 10**9)
    assert budget({"HOME": "/nowhere"}, settings.BUILD) == Budget(None, 0.1)


def test_a_number_is_bytes(tmp_path: Path) -> None:
    assert budget(write(tmp_path, "[store]\nbudget = 5000\n")) == Budget(5000)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[store]\nbugdet = 1\n", "store.bugdet"),
        ("[shop]\n", "shop"),
        ("store = 3\n", "store"),
        ("[store]\nbudget = true\n", "must be a text"),
        ("[store]\nbudget = [1]\n", "must be a text"),
        ("[store\n", "no TOML"),
        ("[store]\nbudget = 'lots'\n", "invalid budget"),
    ],
)
def test_a_file_with_mistakes_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InvalidOption, match=complaint):
        budget(write(tmp_path, text))
