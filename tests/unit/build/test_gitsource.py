"""Repositories: what is fetched, from whom, and that nothing of the user's or the repository's is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from holdall.build.gitcommand import Git, GitFailed, Ssh, public
from holdall.build.gitsource import Repositories
from holdall.build.stop import Stop
from holdall.errors import IntegrityError, LimitExceeded, PathNotFound, Unsupported
from holdall.testing.git_served import Served, checked_out, git, made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "served").mkdir()
    served = Served(tmp_path / "served")
    yield served
    if served.process.returncode is None:
        served.end()


@pytest.fixture
def repositories(tmp_path: Path) -> Repositories:
    return made(tmp_path)


def test_branches_tags_and_commits(served: Served, repositories: Repositories, tmp_path: Path) -> None:
    first = served.commit({"a": "1", "d/b": "1"})
    git(served.work, "tag", "-a", "v1", "-m", "tag")
    git(served.work, "branch", "old")
    second = served.commit({"a": "2"})
    for number, (ref, text) in enumerate(
        [("", "2"), ("#main", "2"), ("#v1", "1"), ("#old", "1"), (f"#{first}", "1"), ("?tag=v1", "1"),
         ("#heads/old", "1"), (f"?commit={second[:8]}", "2"), ("#refs/heads/main", "2")]
    ):  # fmt: skip
        assert checked_out(repositories, served.url + ref, tmp_path / str(number))["a"] == text
    assert checked_out(repositories, f"{served.url}#v1:d", tmp_path / "sub") == {"b": "1"}
    for ref, word in (("#nothing", "no branch or tag"), (f"#{'0' * 40}", "no commit"), ("#main:nowhere", "no folder"),
                      ("#main:a", "no folder")):  # fmt: skip
        with pytest.raises(PathNotFound, match=word):
            checked_out(repositories, served.url + ref, tmp_path / f"bad{word}{len(ref)}")
    with pytest.raises(IntegrityError, match="has the commit"):
        checked_out(repositories, f"{served.url}?commit={first[:8]}", tmp_path / "wrong")


def test_a_fixed_commit_is_fetched_once_and_alone(served: Served, repositories: Repositories, tmp_path: Path) -> None:
    served.commit({"a": "0"})
    commit = served.commit({"a": "1"})
    served.commit({"a": "2"})
    assert checked_out(repositories, f"{served.url}#{commit}", tmp_path / "one") == {"a": "1"}
    served.end()
    assert checked_out(repositories, f"{served.url}#{commit}", tmp_path / "two") == {"a": "1"}
    with pytest.raises(GitFailed, match=r"cannot get .*: unable to connect"):
        checked_out(repositories, served.url, tmp_path / "three")


def test_what_a_killed_fetch_left_is_made_anew(served: Served, repositories: Repositories, tmp_path: Path) -> None:
    served.commit({"a": "1"})
    checked_out(repositories, served.url, tmp_path / "one")
    (bare,) = (tmp_path / "store/cache/git").iterdir()
    served.commit({"a": "2"})
    (bare / "shallow.lock").touch()
    assert checked_out(repositories, served.url, tmp_path / "two") == {"a": "2"}
    served.commit({"a": "3"})
    shutil.rmtree(bare / "objects")
    assert checked_out(repositories, served.url, tmp_path / "three") == {"a": "3"}
    served.commit({"a": "4"})
    (bare / "used").unlink()
    assert checked_out(repositories, served.url, tmp_path / "four") == {"a": "4"}


def test_modes_links_and_a_kept_folder(served: Served, repositories: Repositories, tmp_path: Path) -> None:
    served.commit({"run": "x"})
    (served.work / "run").chmod(0o775)
    (served.work / "link").symlink_to("/etc/passwd")
    served.commit({"plain": "y"})
    old = os.umask(0o077)
    try:
        checked_out(repositories, served.url, tmp_path / "out", keep=True)
    finally:
        os.umask(old)
    out = tmp_path / "out"
    assert [oct((out / name).stat().st_mode & 0o777) for name in ("run", "plain")] == ["0o755", "0o644"]
    assert os.readlink(out / "link") == "/etc/passwd"
    assert git(out, "status", "--short") == ""
    assert git(out, "log", "--format=%ct") == "1700000000"
    checked_out(repositories, served.url, tmp_path / "again", keep=True)

    def tree(folder: Path) -> dict[str, bytes]:
        return {str(one.relative_to(folder)): one.read_bytes() for one in (folder / ".git").rglob("*") if one.is_file()}

    git(out, "read-tree", "HEAD")
    assert tree(out) == tree(tmp_path / "again")


def test_nothing_of_the_users_is_run(
    served: Served, repositories: Repositories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    home = tmp_path / "user"
    (home / "hooks").mkdir(parents=True)
    script = f"#!/bin/sh\ntouch {mark}\ncat\n"
    for name in ("post-checkout", "reference-transaction", "script"):
        (home / "hooks" / name).write_text(script)
        (home / "hooks" / name).chmod(0o755)
    (home / ".gitconfig").write_text(
        f'[core]\n hooksPath={home}/hooks\n fsmonitor={home}/hooks/script\n gitProxy={home}/hooks/script\n'
        f'[filter "x"]\n smudge={home}/hooks/script\n required=true\n'
        f'[url "ext::{home}/hooks/script "]\n insteadOf=git://\n'
    )  # fmt: skip
    served.commit({"a": "1", ".gitattributes": "* filter=x\n"})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(home))
    monkeypatch.setenv("GIT_PROXY_COMMAND", str(home / "hooks/script"))
    monkeypatch.setenv("GIT_SSH_COMMAND", str(home / "hooks/script"))
    assert checked_out(repositories, served.url, tmp_path / "out")["a"] == "1"
    assert not mark.exists()


def test_trees_within_trees_are_counted_first(
    served: Served, repositories: Repositories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.commit({"f": "x"})
    tree = git(served.work, "rev-parse", "HEAD^{tree}")
    for _ in range(12):
        listing = "".join([f"040000 tree {tree}\td{number}\n" for number in range(8)])
        command = ["git", "-C", str(served.work), "mktree"]
        tree = subprocess.run(command, input=listing, capture_output=True, text=True, check=True).stdout.strip()
    bomb = git(served.work, "commit-tree", tree, "-m", "bomb")
    git(served.work, "update-ref", "refs/heads/bomb", bomb)
    monkeypatch.setattr("holdall.build.gitsource.MAX_FILES", 10_000)
    with pytest.raises(LimitExceeded, match="more than 10000 files"):
        checked_out(repositories, f"{served.url}#bomb", tmp_path / "out")


def test_a_repository_of_sha256(served: Served, repositories: Repositories, tmp_path: Path) -> None:
    shutil.rmtree(served.work / ".git")
    git(served.work, "init", "-q", "-b", "main", "--object-format=sha256")
    served.commit({"a": "1"})
    assert checked_out(repositories, served.url, tmp_path / "out", keep=True) == {"a": "1"}


def test_without_git_it_is_said_so(
    served: Served, repositories: Repositories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="git is not there") as caught:
        checked_out(repositories, served.url, tmp_path / "out")
    assert caught.value.hint is not None


def test_credentials_are_in_the_environment_only(tmp_path: Path) -> None:
    given = Git(lambda name: "hush" if name == "GIT_AUTH_TOKEN" else None, Ssh(), Stop(), str(tmp_path))
    env = given._environment("https://github.com/a/b.git", "https")
    pairs = {env[f"GIT_CONFIG_KEY_{n}"]: env[f"GIT_CONFIG_VALUE_{n}"] for n in range(int(env["GIT_CONFIG_COUNT"]))}
    assert pairs["http.https://github.com/.extraHeader"].startswith("Authorization: Basic ")
    own = Git(lambda _name: None, Ssh(), Stop(), str(tmp_path))._environment("https://u:p@h/x.git", "https")
    assert "Authorization: Basic dTpw" in own.values()
    assert public("https://u:p@h/x.git") == "https://h/x.git"
    assert "SSH_AUTH_SOCK" not in own
    agent = Git(lambda _name: None, Ssh("/run/agent"), Stop(), str(tmp_path))
    assert agent._environment("", "ssh")["SSH_AUTH_SOCK"] == "/run/agent"
