"""FROM scratch: what an image starts with that has no base."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from holdall.testing.command import CommandStore

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_path_and_folder_are_set_as_buildkit_sets_them(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text("FROM scratch\nENV PATH=/mine:$PATH\nCOPY Dockerfile /\n")
    store = CommandStore(str(tmp_path / "store"))
    try:
        image = store.run("build", "-q", str(tmp_path / "context"))
        config = json.loads(store.run("image", "inspect", image))[0]["Config"]
    finally:
        store.close()
    assert config["Env"] == ["PATH=/mine:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    assert config["WorkingDir"] == "/"
