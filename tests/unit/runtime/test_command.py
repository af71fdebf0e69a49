from __future__ import annotations

import os

import pytest

from holdall.errors import CommandNotFound, StartError
from holdall.runtime import command


def test_candidates_follow_path() -> None:
    assert command.candidates("x", "/a:/b::c") == ("/a/x", "/b/x", "./x", "c/x")
    assert command.candidates("./x", "/a") == ("./x",)
    assert command.candidates("", "/a") == ()


def test_environment_defaults() -> None:
    assert command.environment(("A=b=c",), "/h", terminal=False) == {"A": "b=c", "HOME": "/h"}
    assert command.environment(("HOME=/x", "TERM=vt100"), "/h", terminal=True) == {"HOME": "/x", "TERM": "vt100"}
    assert command.environment(("HOME=",), "/h", terminal=True) == {"HOME": "/h", "TERM": "xterm"}


@pytest.mark.parametrize("entry", ["", "A", "=x", "A=\0"])
def test_bad_environment(entry: str) -> None:
    with pytest.raises(StartError):
        command.environment((entry,), "/", terminal=False)


def test_search_skips_what_cannot_be_executed(tmp_path) -> None:
    for name, mode in (("a", 0o644), ("b", 0o755)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text("#!/bin/sh\n")
        (tmp_path / name / "tool").chmod(mode)
    (tmp_path / "c/tool").mkdir(parents=True)
    path = {"PATH": ":".join(str(tmp_path / name) for name in ("absent", "c", "a", "b"))}
    assert command.find(("tool",), path) == str(tmp_path / "b/tool")
    with pytest.raises(CommandNotFound, match=r"not found in \$PATH"):
        command.find(("tool",), {"PATH": str(tmp_path / "a")})
    with pytest.raises(CommandNotFound):
        command.find(("tool",), {})


def test_argument_with_a_nul_is_a_start_error() -> None:
    assert type(command.execute("/bin/true", ("true", "a\0b"), dict(os.environ))) is StartError
