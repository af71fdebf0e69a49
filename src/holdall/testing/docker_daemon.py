"""A private dockerd with its own root, socket and containerd: the reference that our archives are tried against."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

START_SECONDS = 30.0
STOP_SECONDS = 20.0


def available() -> bool:
    """Whether this machine can run one."""
    return os.geteuid() == 0 and shutil.which("dockerd") is not None and shutil.which("docker") is not None


class DockerDaemon:
    """The daemon, without networks; a context manager. `folder` must exist and takes everything it writes.

    `options` are more words for dockerd.
    """

    def __init__(self, folder: str, *options: str) -> None:
        self.folder = folder
        self._options = options
        self.socket = f"{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with the end of its log."""
        command = [
            "dockerd", "--host", f"unix://{self.socket}", "--data-root", f"{self.folder}/data",
            "--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid",
            "--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false", *self._options,
        ]  # fmt: skip
        with open(f"{self.folder}/log", "ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            if os.path.exists(self.socket) and self.run("version", check=False).returncode == 0:
                return
            time.sleep(0.05)
        self.stop()
        with open(f"{self.folder}/log", errors="replace") as log_text:
            raise RuntimeError("dockerd did not come up:\n" + log_text.read()[-2000:])

    def run(
        self, *arguments: str, check: bool = True, stdin: bytes | None = None, text: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """The docker client with these arguments, its output caught."""
        command = ["docker", "--host", f"unix://{self.socket}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if check and done.returncode:
            raise RuntimeError(f"docker {' '.join(arguments)}: {err.strip()}")
        return subprocess.CompletedProcess(command, done.returncode, out if text else "", err)

    def stop(self) -> None:
        """End it (its containerd goes with it) and unmount what it left. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with open("/proc/self/mounts") as mounts:
            points = [line.split()[1] for line in mounts]
        for point in reversed(points):
            if point.startswith(self.folder + "/"):
                subprocess.run(["umount", "-l", point], check=False, capture_output=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
