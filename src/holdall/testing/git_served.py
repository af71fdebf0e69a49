"""Repositories served on loopback by `git daemon`, and what a build makes of them. Needs git."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

from holdall.build import giturl
from holdall.build.gitcommand import Git, Ssh
from holdall.build.gitsource import Repositories
from holdall.build.stop import Stop
from holdall.paths import Paths
from holdall.testing.supervised import eventually

IDENTITY = {
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000", "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}  # fmt: skip


def git(folder: Path, *words: str) -> str:
    """What git says."""
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, env={**os.environ, **IDENTITY}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Served:
    """A repository behind `git daemon` on loopback."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "project"
        self.work.mkdir()
        git(self.work, "init", "-q", "-b", "main")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            ["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={self.port}",
             f"--base-path={folder}", str(folder)],
            start_new_session=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.url = f"git://127.0.0.1:{self.port}/project"
        eventually(self.answers)

    def answers(self) -> bool:
        """Whether it is served by now."""
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def commit(self, files: dict[str, str]) -> str:
        """A commit with these files and those before."""
        for name, text in files.items():
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            (self.work / name).write_text(text)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "--allow-empty", "-m", "x")
        return git(self.work, "rev-parse", "HEAD")

    def end(self) -> None:
        """Stop serving."""
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()


def made(folder: Path, secrets: dict[str, str] | None = None) -> Repositories:
    """The repositories of a build with a store in the folder."""
    paths = Paths(str(folder / "store"), str(folder / "run"))
    os.makedirs(paths.ingest, exist_ok=True)
    (folder / "home").mkdir(exist_ok=True)
    stop = Stop()
    return Repositories(Git((secrets or {}).get, Ssh(), stop, str(folder / "home")), paths, stop)


def checked_out(repositories: Repositories, url: str, folder: Path, *, keep: bool = False) -> dict[str, str]:
    """Files and their contents."""
    address = giturl.parse(url)
    assert address is not None
    folder.mkdir()
    repositories.checkout(address, repositories.commit(address), str(folder), keep_git_dir=keep)
    return {
        str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git/" not in str(path)
    }  # fmt: skip
