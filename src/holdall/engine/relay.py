"""The client's side of an attached container: bytes between this process' stdio and the container's.

One poll loop, no threads. On a terminal the local side is raw, the window size follows, and Docker's detach keys
(Ctrl-P Ctrl-Q unless told otherwise) end the relay and leave the container running.
"""

from __future__ import annotations

import errno
import os
import select

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 65536
DEFAULT_KEYS = "ctrl-p,ctrl-q"


def parse_detach_keys(text: str) -> bytes:
    """Bytes of "ctrl-p,ctrl-q" or "a,ctrl-x". Raises InvalidOption."""
    keys = b""
    for part in text.split(",") if text else []:
        if len(part) == 1:
            keys += part.encode()
        elif part.startswith("ctrl-") and len(part) == 6 and (part[5].isalpha() or part[5] in "@[\\]^_"):
            keys += bytes([ord(part[5].upper()) - 64])
        else:
            raise InvalidOption(f'invalid detach keys "{text}"', hint="write letters or ctrl-X, parted by commas")
    return keys


class DetachKeys:
    """Find the detach sequence in typed bytes, holding back a started one as Docker does."""

    def __init__(self, keys: bytes) -> None:
        self.keys = keys
        self._seen = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what to pass on, and whether the sequence is complete."""
        if not self.keys:
            return data, False
        out = bytearray()
        for byte in data:
            if byte == self.keys[self._seen]:
                self._seen += 1
                if self._seen == len(self.keys):
                    return bytes(out), True
                continue
            out += self.keys[: self._seen]
            self._seen = 1 if byte == self.keys[0] else 0
            if not self._seen:
                out.append(byte)
        return bytes(out), False


class Relay:
    """Copies until every output has ended, or the user detaches. Owns the container-side fds it is given.

    `outputs` maps a readable fd to the local fd it is written to; `stdin` is the container's writable end (or the
    terminal's master, then also `terminal`); `local_stdin` the local fd to read, or None. `watched` is an fd and what
    to call when it is readable, until that says True.
    """

    def __init__(
        self,
        outputs: dict[int, int],
        *,
        stdin: int | None = None,
        terminal: int | None = None,
        local_stdin: int | None = None,
        detach_keys: bytes = b"",
        watched: tuple[int, Callable[[], bool]] | None = None,
    ) -> None:
        self.outputs = dict(outputs)
        self.terminal = terminal
        self.sink = terminal if stdin is None else stdin
        self.local = local_stdin if self.sink is not None else None
        self.watched = watched
        self.keys = DetachKeys(detach_keys if terminal is not None else b"")
        self.detached = False
        self._pending = b""

    def run(self) -> None:
        """Copy until done."""
        if self.sink is not None:
            os.set_blocking(self.sink, False)
        try:
            while self.outputs and not self.detached:
                for fd, event in self._poller().poll():
                    if fd == self.sink and self._pending and event & ~select.POLLIN:
                        self._flush()
                    if fd in self.outputs and event & ~select.POLLOUT:
                        self._output(fd)
                    elif fd == self.local:
                        self._input()
                    elif self.watched is not None and fd == self.watched[0] and self.watched[1]():
                        self.watched = None
        finally:
            self.close()

    def _poller(self) -> select.poll:
        """Built anew each time round: a handful of fds, and no stale interest can be left behind.

        The local side is read only while nothing waits to be written: back-pressure.
        """
        events = dict.fromkeys(self.outputs, select.POLLIN)
        if self._pending and self.sink is not None:
            events[self.sink] = events.get(self.sink, 0) | select.POLLOUT
        elif self.local is not None:
            events[self.local] = select.POLLIN
        if self.watched is not None:
            events[self.watched[0]] = select.POLLIN
        poller = select.poll()
        for fd, event in events.items():
            poller.register(fd, event)
        return poller

    def _output(self, fd: int) -> None:
        try:
            data = os.read(fd, CHUNK)
        except OSError as err:
            if err.errno == errno.EAGAIN:
                return
            if err.errno != errno.EIO:
                raise
            data = b""
        if data:
            write_all(self.outputs[fd], data)
            return
        del self.outputs[fd]
        if fd != self.sink:
            os.close(fd)

    def _input(self) -> None:
        assert self.local is not None
        try:
            data = os.read(self.local, CHUNK)
        except OSError as err:
            if err.errno in (errno.EAGAIN, errno.EINTR):
                return
            data = b""
        if not data:
            self._end_of_input()
            return
        passed, self.detached = self.keys.feed(data)
        self._pending += passed
        self._flush()

    def _end_of_input(self) -> None:
        self.local = None
        self._close_finished_sink()

    def _close_finished_sink(self) -> None:
        """Give the container end of file once our side has ended and all is passed on (a terminal has none)."""
        if self.local is None and self.terminal is None and self.sink is not None and not self._pending:
            os.close(self.sink)
            self.sink = None

    def _flush(self) -> None:
        if self.sink is None or not self._pending:
            return
        try:
            self._pending = self._pending[os.write(self.sink, self._pending) :]
        except BlockingIOError:
            return
        except OSError as err:
            if err.errno not in (errno.EPIPE, errno.EIO):
                raise
            self._pending = b""
            self.local = None
        self._close_finished_sink()

    def close(self) -> None:
        """Close every container-side fd."""
        owned = {*self.outputs, self.sink, self.terminal} - {None}
        self.outputs, self.sink, self.terminal = {}, None, None
        for fd in owned:
            if fd is not None:
                os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """write(2) until all is written; waits where a non-blocking fd is full."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
