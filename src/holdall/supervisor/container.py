"""A container in the supervisor's memory: what it is made of while it starts, runs, or waits for a restart."""

from __future__ import annotations

import os

from holdall.errors import ContainerStateConflict
from holdall.record import replace
from holdall.supervisor.loop import close

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from holdall.runtime.process import Process
    from holdall.supervisor.launch import Launch
    from holdall.supervisor.loop import Loop, Timer
    from holdall.supervisor.output import Output, Sink
    from holdall.supervisor.recorder import Recorder, Unrecorded
    from holdall.supervisor.session import Session
    from holdall.supervisor.state import State


class Watcher:
    """A session that is told of the exit, and its pipes. `leave` is called if the client goes before that.

    `tag` is the client's own mark of its request: on one connection there may be several, one after the other.
    """

    __slots__ = ("leave", "session", "sinks", "tag")

    def __init__(self, session: Session, tag: object, sinks: list[Sink], leave: Callable[[Watcher], None]) -> None:
        self.session = session
        self.tag = tag
        self.sinks = sinks
        self.leave = lambda: leave(self)
        session.leaving.append(self.leave)

    def finish(self, event: dict[str, Any]) -> None:
        """Send the exit as soon as the pipes have taken everything (or broke), and close them."""
        waiting = [sink for sink in self.sinks if sink.full]
        if waiting:
            for sink in waiting:
                sink.drained = lambda: self.finish(event)
            return
        if self.leave in self.session.leaving:
            self.session.leaving.remove(self.leave)
        sinks, self.sinks = self.sinks, []
        for sink in sinks:
            sink.drained = None
            sink.close()
        self.session.event("exit", tag=self.tag, **event)


def end_of(state: State) -> dict[str, Any]:
    """What clients are told of an end."""
    return {"code": state.exit_code, "oom_killed": state.oom_killed, "error": state.error}


class Container:
    """One container under care. `failure` is why its start is being undone; `manual` suppresses restarts; `freezer`
    is the client that holds a pause which ends with it."""

    __slots__ = (
        "begun", "failure", "freezer", "id", "kill_timers", "launch", "manual", "on_exit", "outputs", "pidfd",
        "process", "recorder", "reservations", "restart_delay", "restart_timer", "starter", "starting", "state",
        "stdin_writer", "watchers",
    )  # fmt: skip

    def __init__(self, launch: Launch, state: State) -> None:
        self.id = launch.id
        self.launch = launch
        self.state = state
        self.process: Process | None = None
        self.pidfd = -1
        self.outputs: list[Output] = []
        self.recorder: Recorder | Unrecorded | None = None
        self.reservations: list[socket.socket] = []
        self.stdin_writer = -1
        self.watchers: list[Watcher] = []
        self.starter: Session | None = None
        self.freezer: Session | None = None
        self.starting: Callable[[BaseException | None], None] | None = None
        self.on_exit: list[Callable[[], None]] = []
        self.kill_timers: list[Timer] = []
        self.restart_timer: Timer | None = None
        self.restart_delay = 0.0
        self.begun = 0.0
        self.failure: BaseException | None = None
        self.manual = False

    @property
    def terminal(self) -> int:
        """The master of its terminal, non-blocking, or -1."""
        return self.outputs[0].fd if self.launch.terminal and self.outputs else -1

    @property
    def alive(self) -> bool:
        """Whether it has a process (or is getting one)."""
        return self.state.alive

    def need_running(self) -> None:
        """Raise ContainerStateConflict unless its program runs or is paused."""
        if self.state.status not in ("running", "paused"):
            raise ContainerStateConflict(f'container "{self.launch.name}" is not running')

    def set(self, **changes: Any) -> State:
        """Change the state in memory and return it."""
        self.state = replace(self.state, **changes)
        return self.state

    def exit_event(self) -> dict[str, Any]:
        """What clients are told of the end of the present (or last) run."""
        return end_of(self.state)

    def release(self, loop: Loop) -> None:
        """Close every descriptor; the outputs have been drained before."""
        for output in self.outputs:
            output.close()
        self.outputs = []
        if self.recorder is not None:
            self.recorder.close()
            self.recorder = None
        for reservation in self.reservations:
            reservation.close()
        self.reservations = []
        for timer in self.kill_timers:
            timer.cancel()
        self.kill_timers = []
        close(self.stdin_writer)
        self.stdin_writer = -1
        if self.process is not None:
            loop.remove(self.process.status.fileno())
            loop.remove(self.process.pidfd)
            self.process.close()
            self.process = None
        elif self.pidfd >= 0:
            loop.remove(self.pidfd)
            os.close(self.pidfd)
        self.pidfd = -1
