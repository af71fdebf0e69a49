from __future__ import annotations

from pathlib import Path

import pytest

from holdall.errors import InvalidInput, PathNotFound
from holdall.pack.lookup import STANDARD_PATH, find_program, search_path


def test_names_are_looked_up_and_links_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").write_text("#!/bin/sh\n")
    (tmp_path / "real").chmod(0o755)
    (tmp_path / "prog").symlink_to("real")
    (tmp_path / "plain").write_text("x")
    assert find_program("prog", ("/nowhere", str(tmp_path))) == str(tmp_path / "prog")
    monkeypatch.chdir(tmp_path)
    assert find_program("./prog", ()) == str(tmp_path / "prog")
    with pytest.raises(PathNotFound, match='"plain" not found in PATH'):
        find_program("plain", (str(tmp_path),))
    with pytest.raises(InvalidInput, match="not executable"):
        find_program("./plain", ())
    with pytest.raises(PathNotFound, match="no such file"):
        find_program("./none", ())
    with pytest.raises(InvalidInput, match="is a folder"):
        find_program(str(tmp_path), ())
    with pytest.raises(InvalidInput, match="empty"):
        find_program("", ())


def test_search_path() -> None:
    assert search_path({"PATH": "/opt/bin::relative:/usr/bin"})[:2] == ("/opt/bin", "/usr/bin")
    assert search_path({}) == STANDARD_PATH
