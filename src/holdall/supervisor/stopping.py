"""Signals to a container, and stopping it: its stop signal, some patience, then SIGKILL."""

from __future__ import annotations

import os
import signal

from holdall.linux import pidfd as _pidfd
from holdall.supervisor.runfolder import HELD_PAUSE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.supervisor.container import Container
    from holdall.supervisor.session import Session
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
        container.freezer = None
        supervisor.surroundings.thaw(container.launch)
        supervisor.save(container, status="running")
        pause_is_over(supervisor, container)


def hold_pause(supervisor: Supervisor, container: Container, session: Session) -> None:
    """Let the pause that begins now end with this client at the latest, and with us if we are killed."""
    container.freezer = session
    os.close(os.open(_mark(supervisor, container), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    session.leaving.append(lambda: _freezer_left(supervisor, container, session))


def _freezer_left(supervisor: Supervisor, container: Container, session: Session) -> None:
    if container.freezer is session:
        thaw(supervisor, container)


def pause_is_over(supervisor: Supervisor, container: Container) -> None:
    """Take back what `hold_pause` noted."""
    try:
        os.unlink(_mark(supervisor, container))
    except FileNotFoundError:
        pass


def thaw_adopted(supervisor: Supervisor, container: Container) -> None:
    """End what a dead supervisor left frozen though nobody asked for a pause that lasts."""
    if container.state.status == "running":
        # it may have been killed between the freezing and the note of it
        supervisor.surroundings.thaw(container.launch)
        pause_is_over(supervisor, container)
    elif os.path.exists(_mark(supervisor, container)):
        thaw(supervisor, container)


def _mark(supervisor: Supervisor, container: Container) -> str:
    return supervisor.paths.container_run(container.id) + HELD_PAUSE


def _deliver(container: Container, number: int) -> None:
    if container.pidfd >= 0:
        try:
            _pidfd.send_signal(container.pidfd, number)
        except ProcessLookupError:
            pass
