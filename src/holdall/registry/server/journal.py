"""Logs as JSON lines: every request (access), and what changed or was refused (audit). Writers of several processes
share a file: a line is one write to a file opened for appending."""

from __future__ import annotations

import asyncio
import os
import time

from holdall.oci.jsonval import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aiohttp import web

    from holdall.registry.server.door import Guest

FLUSH_SECONDS = 0.25
MAX_TEXT = 512
MAX_BUFFERED = 64 << 10
AUDITED = ("POST", "PUT", "PATCH", "DELETE")


class Journal:
    """One file. `path` "-" is standard error, "" is none. `reopen` after it was rotated away."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._buffer: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self.reopen()

    @property
    def on(self) -> bool:
        """Whether lines go anywhere."""
        return self._fd >= 0

    def reopen(self) -> None:
        """Open the file (again). Raises OSError."""
        if not self._path:
            return
        self.flush()
        old = self._fd
        self._fd = 2 if self._path == "-" else os.open(
            self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640
        )  # fmt: skip
        if old > 2:
            os.close(old)

    def write(self, facts: dict[str, object], *, now: bool = False) -> None:
        """Note one line; it is written at once or within a quarter of a second."""
        line = dumps(facts) + b"\n"
        self._buffer.append(line)
        self._size += len(line)
        if now or self._size > MAX_BUFFERED:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what is noted. A full disk loses lines, never requests."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._buffer, self._size = b"".join(self._buffer), [], 0
        if lines and self._fd >= 0:
            try:
                os.write(self._fd, lines)
            except OSError:
                return

    def close(self) -> None:
        """Flush, and close the file."""
        self.flush()
        if self._fd > 2:
            os.close(self._fd)
        self._fd = -1


def facts(
    request: web.BaseRequest, guest: Guest | None, status: int, sizes: tuple[int, int], seconds: float
) -> dict[str, object]:
    """What a line says of a request; `sizes` are bytes in and out. Who was not let in has no `guest`."""
    return {
        "time": round(time.time(), 3),
        "client": (request.remote or "") if guest is None else guest.caller.address,
        "user": "" if guest is None else guest.visitor.user,
        "method": request.method,
        "path": shown(request.path_qs),
        "status": status,
        "in": sizes[0],
        "out": sizes[1],
        "seconds": round(seconds, 4),
        "agent": shown(request.headers.get("User-Agent", "")),
    }


def shown(text: str) -> str:
    """Outside text, printable and not too long."""
    return ascii(text[:MAX_TEXT])[1:-1]
