"""`holdall registry serve` as a child process on loopback, with all its workers: what peers and kills are tried on."""

from __future__ import annotations

import http.client
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from holdall.testing.started import Started

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = [sys.executable, "-c", "from holdall.cli.entry import run; run()", "registry"]


class HoldallRegistry(Started):
    """The server; a context manager. `folder` takes the storage, unless that is said, and what it writes to standard
    error; `options` are more words for `serve`, `where` those that every command on the storage needs.

    `host` is "127.0.0.1:PORT" and stays the same when it is killed and started again.
    """

    def __init__(self, folder: str, *options: str, storage: str = "", where: Sequence[str] = ()) -> None:
        self.storage = storage or os.path.join(folder, "storage")
        self.log = os.path.join(folder, "stderr")
        self.host = ""
        self._options = (*where, *options)
        self._where = where

    def start(self) -> None:
        """Start it and wait until it serves. Raises RuntimeError with what it said."""
        words = ["serve", "--storage", self.storage, "--addr", self.host or "127.0.0.1:0", *self._options]
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *words], stdin=subprocess.DEVNULL, stderr=log, start_new_session=True
            )
        while " on http" not in (said := self.said()) or "\n" not in said:
            if self._process.poll() is not None:
                self._process = None
                raise RuntimeError(self.said())
            time.sleep(0.01)
        self.host = said.partition(" on http")[2].partition("://")[2].partition("\n")[0]

    def said(self) -> str:
        """What it wrote to standard error since it was started."""
        with open(self.log, errors="replace") as log:
            return log.read()

    def children(self) -> list[int]:
        """A pidfd of each of its children, the caller's to close.

        One becomes readable when the last thread has ended; /proc says "zombie" while other threads still hold files.
        """
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as file:
            return [os.pidfd_open(int(child)) for child in file.read().split()]

    def kill(self) -> None:
        """End all its processes at once, as a power cut would."""
        if self._process is None:
            return
        children = self.children()
        process, self._process = self._process, None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for child in children:
            select.select([child], [], [])
            os.close(child)

    def stop(self) -> int:
        """Ask it to end, wait, and return its exit code."""
        process, self._process = self._process, None
        assert process is not None
        process.terminate()
        process.wait(60)
        return process.returncode

    def run(self, *words: str, limit: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run `holdall registry VERB` on its storage."""
        command = [*COMMAND, words[0], "--storage", self.storage, *self._where, *words[1:]]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=limit)


def ask(
    host: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: status, headers by their names in lower case, body."""
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()
