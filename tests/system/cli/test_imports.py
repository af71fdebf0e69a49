"""The path of `run` imports nothing heavy: importing is most of what a cold command costs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.root

HEAVY = {
    "dataclasses", "inspect", "typing", "pathlib", "subprocess", "asyncio", "aiohttp", "rich", "tarfile", "logging",
    "tempfile", "shutil", "uuid", "urllib", "random", "hashlib", "isal", "zstandard", "email", "http",
}  # fmt: skip
MOST = 115


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_run_imports_nothing_heavy(cli, network) -> None:
    cli.ok("run", "--rm", "--network", network, "bb", "true")
    words = ["run", "--rm", "--network", network, "bb", "true"]
    command = [sys.executable, "-X", "importtime", "-c", "from holdall.cli.entry import run; run()", *words]
    done = subprocess.run(command, env=cli.environ, capture_output=True, text=True)
    assert done.returncode == 0
    names = re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE)
    assert "holdall.engine.start" in names
    assert {name for name in names if name.partition(".")[0] in HEAVY} == set()
    assert len([name for name in names if name.startswith("holdall")]) < MOST
