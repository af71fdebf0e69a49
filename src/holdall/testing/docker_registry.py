"""Debian's docker-registry as a child process on loopback: the reference our registry client is tried against."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time

from holdall.testing.started import Started

PROGRAM = "/usr/bin/docker-registry"
START_SECONDS = 15.0

CONFIG = """version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {folder}/storage
  delete:
    enabled: true
http:
  addr: {host}
  secret: holdall-test
{extra}"""


class DockerRegistry(Started):
    """The server; a context manager. `folder` must exist and takes configuration, log and storage.

    `tls` is a pair of files (certificate, key), `htpasswd` a file of bcrypt hashes.
    """

    def __init__(self, folder: str, *, tls: tuple[str, str] | None = None, htpasswd: str | None = None) -> None:
        self.folder = folder
        self.host = ""
        self._tls = tls
        self._htpasswd = htpasswd

    def start(self, host: str = "") -> None:
        """Start it on `host`, or on a free port, and wait until it answers."""
        self.host = host or f"127.0.0.1:{free_port()}"
        config = os.path.join(self.folder, "config.yml")
        extra = ""
        if self._tls:
            extra += f"  tls:\n    certificate: {self._tls[0]}\n    key: {self._tls[1]}\n"
        if self._htpasswd:
            extra += f"auth:\n  htpasswd:\n    realm: holdall\n    path: {self._htpasswd}\n"
        with open(config, "w") as stream:
            stream.write(CONFIG.format(folder=self.folder, host=self.host, extra=extra))
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "serve", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
            )
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        address = (self.host.rpartition(":")[0], int(self.host.rpartition(":")[2]))
        while time.monotonic() < until:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(address, timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.kill()
        with open(os.path.join(self.folder, "log"), errors="replace") as stream:
            raise RuntimeError(f"docker-registry did not start: {stream.read()[-2000:]}")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """A TCP port of loopback nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def available() -> bool:
    """Whether the program is installed."""
    return os.access(PROGRAM, os.X_OK)
