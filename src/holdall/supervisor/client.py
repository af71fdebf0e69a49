"""The client's side of the supervisor: blocking, typed, one request at a time on one connection.

`connect` brings a supervisor up when none runs (see bringup.py) and does not wait for it: the first request does, so
its start overlaps the caller's own work. When the supervisor is killed during `wait`, or while output is attached, the
connection moves to its successor, which adopted the container, under the same file descriptor number.
"""

from __future__ import annotations

import os

from holdall.errors import ContainerNotFound, SupervisorUnavailable
from holdall.record import record
from holdall.supervisor import bringup
from holdall.supervisor.line import LOST, Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from holdall.paths import Paths
    from holdall.supervisor.protocol import Message


@record
class Started:
    """A container or an exec runs: `pid` on the host. `stdin` is the write end of its standard input, `terminal` the
    master of its terminal (or None); the caller closes them."""

    pid: int
    stdin: int | None = None
    terminal: int | None = None


@record
class Exit:
    """How something ended. `code` is None when nobody can know (the supervisor was dead when it happened)."""

    code: int | None
    oom_killed: bool = False
    error: str = ""


@record
class Listed:
    """One container the supervisor takes care of."""

    id: str
    name: str
    status: str
    pid: int


@record
class Status:
    """The supervisor itself."""

    pid: int
    version: str
    clients: int
    containers: int


def connect(paths: Paths, *, start: bool = True) -> Connection:
    """Connect to the store's supervisor, bringing it up if need be. Raises SupervisorUnavailable.

    With `start=False` the error also means that none runs.
    """
    return Connection(Line(paths, bringup.connect(paths, start=start)))


def connect_if_running(paths: Paths) -> Connection | None:
    """Connect only if a supervisor runs."""
    try:
        return connect(paths, start=False)
    except SupervisorUnavailable:
        return None


class Connection:
    """One connection. Requests raise what the supervisor answered, rebuilt as a class of `holdall.errors`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._watch: dict[str, Any] = {}
        self._tag = 0
        self._kept: list[int] = []
        self._pidfd = -1
        self._exit: Exit | None = None

    def __enter__(self) -> Connection:  # noqa: PYI034 (Self would import typing)
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection: an attached client detaches, a foreground one leaves its container running."""
        self._release()
        self._line.close()

    def fileno(self) -> int:
        """The descriptor to poll(2) for reading beside attached output; then call `poll_exit`.

        The number never changes, but what it refers to may: do not use it with epoll(7).
        """
        return self._line.fileno()

    # -- containers ---------------------------------------------------------------------------------------------

    def start(
        self, container_id: str, *, stdout: int | None = None, stderr: int | None = None, stdin: bool = False
    ) -> Started:
        """Start a container; returns when its program runs. `wait` then waits for its end.

        `stdout` and `stderr` are write ends of pipes that get a copy of the output (with a terminal only `stdout`);
        the caller may close its own copies after the call, reads the other ends, and must poll the connection too:
        the pipes end only after the exit is read from it. With `stdin` the answer carries the way in.
        Raises ContainerNotFound, ContainerStateConflict, PortInUse, StartError (126, 127), SystemFailure.
        """
        body = {"op": "start", "id": container_id, "stdin": stdin}
        return self._watching(body, stdout, stderr)

    def attach(
        self, container_id: str, *, stdout: int | None = None, stderr: int | None = None, stdin: bool = False
    ) -> Started:
        """Attach to a running container as `start` does. Raises ContainerNotFound, ContainerStateConflict."""
        body = {"op": "attach", "id": container_id, "stdin": stdin}
        return self._watching(body, stdout, stderr)

    def wait(self, container_id: str | None = None) -> Exit:
        """Wait for the end of what `start`, `attach` or `execute` began here, or of the named container.

        Returns at once with the last exit code when that container does not run. Raises ContainerNotFound.
        """
        if container_id is not None:
            self._begin({"op": "wait", "id": container_id}, [])
        while self._exit is None:
            self._take(block=True)
        return self._exit

    def poll_exit(self) -> Exit | None:
        """The end of what is watched, or None if it has not come. Never blocks; call when `fileno()` is readable."""
        if self._exit is None:
            self._take(block=False)
        return self._exit

    def signal(self, container_id: str, number: int) -> None:
        """Send a signal to the container's first process. Raises ContainerNotFound, ContainerStateConflict."""
        self._ok({"op": "signal", "id": container_id, "signal": number})

    def stop(self, container_id: str, *, signal: int | None = None, timeout: float | None = None) -> Exit:
        """Stop a container for good: its stop signal, `timeout` seconds (negative: for ever), then SIGKILL.

        Returns when it has ended; at once when it does not run. No restart policy starts it again.
        Raises ContainerNotFound.
        """
        return _exit(self._ok({"op": "stop", "id": container_id, "signal": signal, "timeout": timeout}))

    def pause(self, container_id: str, *, held: bool = False) -> None:
        """Freeze all processes of the container; a `held` pause ends with this connection at the latest.

        Raises ContainerNotFound, ContainerStateConflict.
        """
        self._ok({"op": "pause", "id": container_id, "held": held})

    def unpause(self, container_id: str) -> None:
        """Thaw the container. Raises ContainerNotFound, ContainerStateConflict."""
        self._ok({"op": "unpause", "id": container_id})

    def update(self, container_id: str, resources: Mapping[str, Any]) -> None:
        """Apply new limits (`linux.resources` of the runtime specification) if the container runs, and read its
        launch.json again, which the caller has written before. Raises ContainerNotFound, SystemFailure."""
        self._ok({"op": "update", "id": container_id, "resources": dict(resources)})

    def rename(self, container_id: str, name: str) -> None:
        """Tell the new name; the caller has written launch.json before."""
        self._ok({"op": "rename", "id": container_id, "name": name})

    def forget(self, container_id: str) -> None:
        """Say that the caller now removes the container; nobody can start it until this connection closes.

        Raises ContainerStateConflict while it runs. If the caller dies before launch.json is gone and the container
        is `auto_remove`, the supervisor runs its `remove` argv.
        """
        self._ok({"op": "forget", "id": container_id})

    def containers(self) -> tuple[Listed, ...]:
        """The containers that run, start, pause or wait for a restart."""
        found = self._ok({"op": "list"})["containers"]
        return tuple([Listed(**entry) for entry in found])

    def status(self) -> Status:
        """The supervisor's own figures."""
        return Status(**self._ok({"op": "status"}))

    # -- exec ---------------------------------------------------------------------------------------------------

    def execute(
        self,
        container_id: str,
        process: Mapping[str, Any],
        *,
        user: str = "",
        stdio: tuple[int, int, int] | None = None,
        detach: bool = False,
    ) -> Started:
        """Run another process (`process` of the runtime specification) in a running container; `wait` gives its end.

        `user` is looked up in the container like `Launch.user`, "" meaning the one in `process`.
        Without a terminal `stdio` are its three descriptors, None meaning /dev/null; with `process.terminal` the
        answer carries the master. With `detach` the process outlives this connection's terminal.
        Raises ContainerNotFound, ContainerStateConflict, StartError (126, 127).
        """
        body = {"op": "exec", "id": container_id, "process": dict(process), "user": user, "detach": detach}
        self._release()
        self._tag += 1
        body["tag"] = self._tag
        reply = self._line.request(body, list(stdio or ()))
        self._watch = {"op": "exec"}
        self._exit = None
        answer = reply.body["ok"]
        fds = list(reply.fds)
        self._pidfd = fds.pop(0)
        return Started(int(answer["pid"]), None, fds.pop(0) if fds else None)

    def detach(self) -> None:
        """Let go of the exec with a terminal on this connection: it runs on, its output goes nowhere."""
        self._ok({"op": "detach"})

    # -- underneath ---------------------------------------------------------------------------------------------

    def _watching(self, body: dict[str, Any], stdout: int | None, stderr: int | None) -> Started:
        body["streams"] = [name for name, fd in (("stdout", stdout), ("stderr", stderr)) if fd is not None]
        reply = self._begin(body, [fd for fd in (stdout, stderr) if fd is not None])
        fds = list(reply.fds)
        answer = reply.body["ok"]
        stdin = fds.pop(0) if answer["stdin"] else None
        return Started(int(answer["pid"]), stdin, fds.pop(0) if answer["terminal"] else None)

    def _begin(self, body: dict[str, Any], fds: list[int]) -> Message:
        self._release()
        self._exit = None
        self._tag += 1
        body["tag"] = self._tag
        reply = self._line.request(body, fds)
        self._kept = [os.dup(fd) for fd in fds]
        self._watch = {"op": "wait", "id": body["id"], "run": reply.body["ok"]["run"], "tag": self._tag}
        if fds:
            self._watch.update(op="attach", streams=body["streams"], stdin=False)
        return reply

    def _release(self) -> None:
        for fd in self._kept:
            os.close(fd)
        self._kept = []
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _ok(self, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._line.request(body, []).body["ok"]
        return answer

    def _take(self, *, block: bool) -> None:
        event = self._line.event(block=block)
        if event is LOST:
            self._resume()
        elif event is not None and event.get("event") == "exit" and event.get("tag") == self._tag:
            self._release()
            self._exit = _exit(event)

    def _resume(self) -> None:
        if self._watch.get("op") == "exec":
            from holdall.supervisor.reaping import wait_foreign

            self._exit = Exit(wait_foreign(self._pidfd))
            self._release()
            return
        self._line.reconnect()
        try:
            self._line.request(self._watch, self._kept)
        except ContainerNotFound:
            self._release()
            self._exit = Exit(None, error="the container was removed")


def _exit(value: dict[str, Any]) -> Exit:
    return Exit(value["code"], bool(value.get("oom_killed")), str(value.get("error") or ""))
