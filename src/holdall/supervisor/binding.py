"""Containers that end with the client that started them (`Launch.bound`): the steps of builds."""

from __future__ import annotations

import signal

from holdall.supervisor import stopping
from holdall.supervisor.ownlog import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.supervisor.container import Container
    from holdall.supervisor.session import Session
    from holdall.supervisor.supervisor import Supervisor

REUNION = 3.0
"""Seconds a client has after a supervisor's death to come back to the next one."""


def bind(supervisor: Supervisor, container: Container, session: Session) -> None:
    """This client has started the container."""
    container.starter = session
    if container.launch.bound:
        session.leaving.append(lambda: _left(supervisor, container, session))


def adopted(supervisor: Supervisor, container: Container) -> None:
    """A container that ran when a supervisor died: its client may have died, too."""
    if container.launch.bound:
        supervisor.loop.later(REUNION, lambda: _left(supervisor, container, None))


def _left(supervisor: Supervisor, container: Container, session: Session | None) -> None:
    if container.starter is session and container.alive and supervisor.containers.get(container.id) is container:
        log(f"{container.id}: its client is gone")
        stopping.stop(supervisor, container, signal.SIGKILL, 0)
