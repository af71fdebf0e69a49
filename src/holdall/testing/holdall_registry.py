"""`holdall registry serve` as a child process on loopback, with all its workers: what peers and kills are tried on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

COMMAND = [sys.executable, "-c", "from holdall.cli.entry import run; run()", "registry"]


class HoldallRegistry:
    """The server; a context manager. `folder` takes the storage; `options` are more words for `serve`.

    `host` is "127.0.0.1:PORT" and stays the same when it is killed and started again.
    """

    def __init__(self, folder: str, *options: str) -> None:
        self.storage = os.path.join(folder, "storage")
        self.host = ""
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The parent process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it serves. Raises RuntimeError with what it said."""
        words = ["serve", "--storage", self.storage, "--addr", self.host or "127.0.0.1:0", *self._options]
        self._process = subprocess.Popen(
            [*COMMAND, *words], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        if "://" not in line:
            rest = self._process.communicate()[1]
            self._process = None
            raise RuntimeError(line + rest)
        self.host = line.rpartition("://")[2].strip()

    def kill(self) -> None:
        """End all its processes at once, as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def stop(self) -> int:
        """Ask it to end, wait, and return its exit code."""
        process, self._process = self._process, None
        assert process is not None
        process.terminate()
        process.communicate(timeout=60)
        return process.returncode

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `holdall registry VERB` on its storage."""
        command = [*COMMAND, words[0], "--storage", self.storage, *words[1:]]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
