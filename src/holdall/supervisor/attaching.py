"""Attach a client to a running container: pipes for its output, a descriptor for its input, and word of its end."""

from __future__ import annotations

import os

from holdall.errors import InvalidInput
from holdall.supervisor import fifos
from holdall.supervisor.container import Watcher
from holdall.supervisor.output import Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.supervisor.container import Container
    from holdall.supervisor.session import Session
    from holdall.supervisor.supervisor import Supervisor


def attach(
    supervisor: Supervisor, session: Session, container: Container, request: dict[str, Any], fds: list[int]
) -> None:
    """Attach and answer. `fds` are the writing ends of the pipes named by `request["streams"]`; they are ours now."""
    names = request.get("streams") or []
    fits = len(names) == len(fds) and set(names) <= set(fifos.STREAMS)
    if not fits or not session.connected:
        for fd in fds:
            os.close(fd)
        if fits:
            return
        raise InvalidInput("streams and descriptors do not match")
    sinks = {name: Sink(supervisor.loop, fd) for name, fd in zip(names, fds, strict=True)}
    pipes = list(sinks.values())
    container.watchers.append(Watcher(session, request.get("tag"), pipes, lambda watcher: _left(container, watcher)))
    for output in container.outputs:
        if output.name in sinks:
            output.attach(sinks[output.name])
    inputs, writer = _input(container, supervisor.paths.container_run(container.id), wanted=bool(request.get("stdin")))
    session.reply(
        fds=tuple(inputs),
        pid=container.state.pid,
        run=container.state.started_at,
        stdin=bool(inputs) and not container.launch.terminal,
        terminal=container.launch.terminal and bool(inputs),
    )
    if writer >= 0:
        os.close(writer)
        supervisor.keeper.refresh(container)


def _input(container: Container, run: str, *, wanted: bool) -> tuple[list[int], int]:
    """(descriptors for the client, the one to close after they are sent).

    A terminal's master goes to everybody, since it also carries the window size. The writing end of an input that
    ends with its client is handed over, not shared: then nobody else holds it open.
    """
    if container.launch.terminal:
        return ([container.terminal] if container.terminal >= 0 else []), -1
    if not wanted or not container.launch.open_stdin:
        return [], -1
    writer, container.stdin_writer = container.stdin_writer, -1
    if writer < 0:
        try:
            writer = fifos.open_writer(run)
        except OSError:
            return [], -1
    return [writer], writer


def _left(container: Container, watcher: Watcher) -> None:
    """The client has gone: its pipes hold nobody up any more."""
    if watcher in container.watchers:
        container.watchers.remove(watcher)
    for sink in watcher.sinks:
        for output in container.outputs:
            output.detach(sink)
        sink.close()
