"""One stream of a container's output: read, logged, copied to whoever is attached.

An attached pipe that is full stops the reading, and so in the end the container, as Docker does: nothing is dropped
while somebody looks. After the container's end the rest is read without mercy; the pipes get it at their own pace.
"""

from __future__ import annotations

import os

from holdall.supervisor.loop import IN, OUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.supervisor.loop import Loop
    from holdall.supervisor.recorder import Recorder, Unrecorded

MAX_CHUNKS = 4
MAX_LAST_CHUNKS = 64  # far more than a pipe holds: whoever still writes is none of the container's processes


class Sink:
    """The write end of one attached client's pipe. `drained` is called whenever a backlog is gone or the pipe broke."""

    __slots__ = ("_backlog", "_loop", "_watched", "drained", "fd")

    def __init__(self, loop: Loop, fd: int) -> None:
        self.fd = fd
        self._loop = loop
        self._backlog = b""
        self._watched = False
        self.drained: Callable[[], None] | None = None
        os.set_blocking(fd, False)

    @property
    def full(self) -> bool:
        """Whether bytes wait for the reader."""
        return bool(self._backlog)

    @property
    def broken(self) -> bool:
        """Whether the reader has gone (the descriptor is closed then)."""
        return self.fd < 0

    def write(self, data: bytes) -> None:
        """Write now or when there is room."""
        if self.fd < 0:
            return
        if self._backlog:
            self._backlog += data
            return
        self._backlog = data
        self._flush()

    def close(self) -> None:
        """Close the pipe; what waits is dropped."""
        if self.fd >= 0:
            if self._watched:
                self._loop.remove(self.fd)
            os.close(self.fd)
            self.fd = -1
        self._backlog = b""

    def _flush(self) -> None:
        try:
            while self._backlog:
                self._backlog = self._backlog[os.write(self.fd, self._backlog) :]
        except BlockingIOError:
            self._watch()
            return
        except OSError:  # EPIPE: the reader is gone
            self.close()
        self._unwatch()
        if self.drained is not None:
            self.drained()

    def _watch(self) -> None:
        if not self._watched:
            self._loop.add(self.fd, OUT, self._ready)
            self._watched = True

    def _unwatch(self) -> None:
        if self._watched and self.fd >= 0:
            self._loop.remove(self.fd)
        self._watched = False

    def _ready(self, _mask: int) -> None:
        if self.fd >= 0:
            self._flush()


class Output:
    """One stream: the reading end `fd`, its name, and the sinks that get a copy."""

    __slots__ = ("_held", "_loop", "_recorder", "fd", "name", "sinks")

    def __init__(self, loop: Loop, fd: int, name: str, recorder: Recorder | Unrecorded, *, held: bool = False) -> None:
        """With `held` nothing is read before `go_on`."""
        self.fd = fd
        self.name = name
        self.sinks: list[Sink] = []
        self._loop = loop
        self._recorder = recorder
        self._held = held
        if not held:
            loop.add(fd, IN, self._ready)

    def attach(self, sink: Sink) -> None:
        """Copy everything from now on."""
        sink.drained = self.go_on
        self.sinks.append(sink)

    def detach(self, sink: Sink) -> None:
        """Stop copying; the sink stays open."""
        if sink in self.sinks:
            self.sinks.remove(sink)
            sink.drained = None
            self.go_on()

    def drain(self) -> None:
        """Read what is left, the processes being gone, and close."""
        for _ in range(MAX_LAST_CHUNKS if self.fd >= 0 else 0):
            chunk = self._recorder.read(self.fd, self.name)
            if not chunk:
                break
            self._copy(chunk)
        self.close()

    def close(self) -> None:
        """End the log's last entry and close the reading end."""
        if self.fd >= 0:
            self._recorder.end(self.name)
            self._loop.remove(self.fd)
            os.close(self.fd)
            self.fd = -1

    def _ready(self, _mask: int) -> None:
        for _ in range(MAX_CHUNKS):
            chunk = self._recorder.read(self.fd, self.name)
            if chunk is None:
                return
            if not chunk:
                self.close()
                return
            self._copy(chunk)
            if self._hold():
                return

    def _copy(self, chunk: bytes) -> None:
        for sink in self.sinks:
            sink.write(chunk)
        if any(sink.broken for sink in self.sinks):
            self.sinks = [sink for sink in self.sinks if not sink.broken]

    def _hold(self) -> bool:
        if not self._held and any(sink.full for sink in self.sinks):
            self._held = True
            self._loop.remove(self.fd)
        return self._held

    def go_on(self) -> None:
        """Read, if all sinks have room."""
        if self._held and self.fd >= 0 and not any(sink.full for sink in self.sinks):
            self._held = False
            self._loop.add(self.fd, IN, self._ready)
