"""Signals to a container, and stopping it: its stop signal, some patience, then SIGKILL."""

from __future__ import annotations

import signal

from holdall.linux import pidfd as _pidfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.supervisor.container import Container
    from holdall.supervisor.supervisor import Supervisor


def send(supervisor: Supervisor, container: Container, number: int) -> None:
    """Send a signal to the first process. One that is meant to end it also ends a pause, and suppresses restarts."""
    if number in (signal.SIGKILL, container.launch.stop_signal):
        container.manual = True
        _deliver(container, number)
        thaw(supervisor, container)
    else:
        _deliver(container, number)


def stop(supervisor: Supervisor, container: Container, number: int | None, timeout: float | None) -> None:
    """Stop the container, which lives; the caller has put its answer among `on_exit`."""
    container.manual = True
    patience = container.launch.stop_timeout if timeout is None else timeout
    if container.state.status == "starting":
        _stop_when_running(supervisor, container, number, timeout)
        return
    if patience != 0:
        _deliver(container, container.launch.stop_signal if number is None else number)
        thaw(supervisor, container)
        if patience > 0:
            container.kill_timers.append(supervisor.loop.later(patience, lambda: kill(supervisor, container)))
    else:
        kill(supervisor, container)


def _stop_when_running(supervisor: Supervisor, container: Container, number: int | None, timeout: float | None) -> None:
    """A start is under way: let it succeed (its client waits for the answer), then stop."""
    before = container.starting

    def done(err: BaseException | None) -> None:
        if before is not None:
            before(err)
        if err is None:
            stop(supervisor, container, number, timeout)

    container.starting = done


def kill(supervisor: Supervisor, container: Container) -> None:
    """SIGKILL; the end comes by the pidfd."""
    _deliver(container, signal.SIGKILL)
    thaw(supervisor, container)


def thaw(supervisor: Supervisor, container: Container) -> None:
    """End a pause, if there is one."""
    if container.state.status == "paused":
        supervisor.surroundings.thaw(container.launch)
        supervisor.save(container, status="running")


def _deliver(container: Container, number: int) -> None:
    if container.pidfd >= 0:
        try:
            _pidfd.send_signal(container.pidfd, number)
        except ProcessLookupError:
            pass
