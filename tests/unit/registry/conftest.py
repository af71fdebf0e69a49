from __future__ import annotations

from pathlib import Path

import pytest

from holdall.registry.options import Options


@pytest.fixture
def quick(tmp_path: Path) -> Options:
    """Options that know nothing of this machine's files and do not wait long."""
    home = tmp_path / "home"
    home.mkdir()
    environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    return Options(environ=environ, backoff=0.005, retries=3, connect_timeout=5.0, read_timeout=5.0)
