"""Retention and quotas of a registry that serves: `registry gc --policy`, the janitor, pushes that do not fit."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from holdall.errors import RegistryError
from holdall.oci.reference import Reference
from holdall.registry.options import Options
from holdall.registry.push import push
from holdall.registry.query import list_tags
from holdall.testing.holdall_registry import HoldallRegistry
from holdall.testing.images import random_image

POLICY = """
[[retention]]
repositories = ["team/**"]
keep_last = 2
[[quota]]
name = "small"
repositories = ["little/*"]
bytes = "5k"
"""


@pytest.fixture
def quick(tmp_path: Path) -> Options:
    (tmp_path / "home").mkdir()
    return Options(environ={"HOME": str(tmp_path / "home")}, backoff=0.01, retries=1)


def test_old_tags_go_and_large_pushes_are_refused(tmp_path: Path, quick: Options) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    with HoldallRegistry(str(tmp_path), "--workers", "1", "--policy", str(policy), "--gc-every", "0s") as server:
        name = Reference.parse(f"{server.host}/team/app:1")
        for number in range(4):
            asyncio.run(push(random_image(seed=number), name.with_tag(str(number)), options=quick))
        dry = server.run("gc", "--policy", str(policy), "--dry-run", "--format", "json").stdout.splitlines()
        said = [json.loads(line) for line in dry]
        assert [one["Name"] for one in said] == ["team/app:1", "team/app:0"]
        assert said[0]["Reason"] == 'not among the last 2 ("team/**")'
        done = server.run("gc", "--policy", str(policy))
        assert "tag team/app:0: not among the last 2" in done.stdout
        assert asyncio.run(list_tags(name, options=quick)) == ("2", "3")
        assert server.run("fsck").stdout == "clean\n"
        with pytest.raises(RegistryError, match='quota "small" is 5120 bytes'):
            asyncio.run(
                push(random_image(seed=9, size=9_000), Reference.parse(f"{server.host}/little/a:1"), options=quick)
            )
        asyncio.run(
            push(random_image(seed=9, layers=1, size=400), Reference.parse(f"{server.host}/little/a:1"), options=quick)
        )


def test_the_janitor_applies_what_the_file_says_now(tmp_path: Path, quick: Options) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("")
    with HoldallRegistry(str(tmp_path), "--workers", "1", "--policy", str(policy), "--gc-every", "200ms") as server:
        name = Reference.parse(f"{server.host}/team/app:1")
        for number in range(3):
            asyncio.run(push(random_image(seed=number), name.with_tag(str(number)), options=quick))
        policy.write_text(POLICY)
        deadline = time.monotonic() + 60
        while asyncio.run(list_tags(name, options=quick)) != ("1", "2"):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_mistake_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("[[retention]]\n")
    server = HoldallRegistry(str(tmp_path), "--policy", str(tmp_path / "policy.toml"))
    with pytest.raises(RuntimeError, match="repositories"), server:
        pass
