"""More processes in a running container. Their stdio is the client's own; we only start and reap them."""

from __future__ import annotations

import os

from holdall.errors import ContainerNotFound, ContainerStateConflict, InvalidInput
from holdall.oci import runtime_spec_json
from holdall.runtime import exec as runtime_exec
from holdall.runtime import status
from holdall.runtime.launch import Join, Stdio
from holdall.supervisor.bundles import read_filter
from holdall.supervisor.launch import read_launch
from holdall.supervisor.loop import IN, close
from holdall.supervisor.ownlog import log
from holdall.supervisor.reaping import reap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.runtime.process import Process
    from holdall.supervisor.container import Container
    from holdall.supervisor.session import Session
    from holdall.supervisor.supervisor import Supervisor

DISCARDED = 65536


class Exec:
    """One such process, from its request to its end. `master` is its terminal or -1."""

    __slots__ = ("_answered", "_detached", "_process", "_session", "_supervisor", "_tag", "master")

    def __init__(
        self, supervisor: Supervisor, session: Session, process: Process, tag: object, *, detached: bool
    ) -> None:
        self._supervisor = supervisor
        self._session = session
        self._process = process
        self._tag = tag
        self._detached = detached
        self._answered = False
        self.master = -1
        supervisor.loop.add(process.status.fileno(), IN, self._told)
        supervisor.loop.add(process.pidfd, IN, self._ended)
        process.proceed()

    def detach(self) -> None:
        """The client lets go of the terminal: read it to nowhere, so that the process can go on writing."""
        self._detached = True
        if self.master >= 0:
            self._supervisor.loop.add(self.master, IN, self._discard)

    def _left(self) -> None:
        """The client is gone: what it held as terminal hangs up."""
        self._supervisor.terminals.pop(self._session, None)
        if not self._detached:
            self._close_master()

    def _told(self, _mask: int) -> None:
        if self._process.status.fileno() < 0:
            return
        for message in status.read(self._process):
            if isinstance(message, status.Terminal):
                self.master = message.fd
            elif isinstance(message, status.Warned):
                log(f"exec: {message.text}")
            else:
                self._supervisor.loop.remove(self._process.status.fileno())
                self._process.close_status()
                self._answer(message.error if isinstance(message, status.Failed) else None)

    def _answer(self, err: BaseException | None) -> None:
        self._answered = True
        if err is not None:
            self._session.fail(err)
            self._process.abort()
            return
        if self._detached:
            self._session.reply(fds=(self._process.pidfd,), pid=self._process.pid)
            self.detach()
            return
        if self.master >= 0:
            os.set_blocking(self.master, False)
            self._supervisor.terminals[self._session] = self.detach
            self._session.leaving.append(self._left)
        fds = (self._process.pidfd, self.master) if self.master >= 0 else (self._process.pidfd,)
        self._session.reply(fds=fds, pid=self._process.pid)
        if not self._session.connected:
            self._left()

    def _ended(self, _mask: int) -> None:
        if self._process.pidfd < 0:
            return
        over, code = reap(self._process.pidfd)
        if not over:
            return
        if not self._answered:
            self._told(0)
        loop = self._supervisor.loop
        loop.remove(self._process.pidfd)
        loop.remove(self._process.status.fileno())
        self._process.close()
        self._close_master()
        if self._supervisor.terminals.get(self._session) == self.detach:
            del self._supervisor.terminals[self._session]
        self._session.event("exit", tag=self._tag, code=code)

    def _discard(self, _mask: int) -> None:
        try:
            if os.read(self.master, DISCARDED):
                return
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the terminal open any more (pty(7))
            pass
        self._close_master()

    def _close_master(self) -> None:
        master, self.master = self.master, -1
        if master >= 0:
            self._supervisor.loop.remove(master)
        close(master)


def execute(supervisor: Supervisor, session: Session, request: dict[str, Any]) -> None:
    """Start one more process in a container; the answer comes when its program runs, then its exit."""
    container = _running(supervisor, request)
    spec = runtime_spec_json.parse_process(request["process"])
    fds = session.take()
    try:
        if len(fds) not in (0, 3) or (spec.terminal and fds):
            raise InvalidInput("an exec needs three descriptors, or none")
        join = Join(
            pid=container.state.pid,
            pidfd=container.pidfd,
            process=spec,
            user=request.get("user") or None,
            seccomp_bpf=read_filter(container.launch.seccomp),
            cgroup_procs=supervisor.surroundings.cgroup_procs(container.launch),
        )
        if not spec.terminal and not fds:
            fds = [os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC) for _ in range(3)]
        process = runtime_exec.spawn_exec(join, None if spec.terminal else Stdio(*fds))
    finally:
        for fd in fds:
            os.close(fd)
    Exec(supervisor, session, process, request.get("tag"), detached=bool(request.get("detach")))


def _running(supervisor: Supervisor, request: dict[str, Any]) -> Container:
    key = str(request["id"])
    container = supervisor.containers.get(key)
    if container is None:
        if not key.isalnum():
            raise ContainerNotFound(f'no such container "{key}"')
        raise ContainerStateConflict(f'container "{read_launch(supervisor.paths, key).name}" is not running')
    container.need_running()
    if container.state.status == "paused":
        raise ContainerStateConflict(f'container "{container.launch.name}" is paused', hint="unpause it first")
    return container


def detach(supervisor: Supervisor, session: Session, _request: dict[str, Any]) -> None:
    """Let go of the terminal of the exec begun on this connection."""
    call = supervisor.terminals.pop(session, None)
    if call is not None:
        call()
    session.reply()
