"""The supervisor's one object: what every part of it shares."""

from __future__ import annotations

import os

from holdall.supervisor.container import Container
from holdall.supervisor.journal import Journal
from holdall.supervisor.kept import Keeper
from holdall.supervisor.loop import Loop
from holdall.supervisor.ownlog import log_failure
from holdall.supervisor.removal import Remover
from holdall.supervisor.state import boot_id, write_state
from holdall.supervisor.surroundings import Surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from holdall.paths import Paths
    from holdall.supervisor.session import Session


class Supervisor:
    """State of the process: the containers under care, the clients, and what they need of the host.

    `removing` maps a container to the session that is deleting it; `undoing` holds what waits until everything that
    lay around an ended container is gone; `begin` is starting.begin, which restarts need;
    `terminals` holds how to detach the exec with a terminal that a session has begun; `rested` is called when
    a need for us may have ended.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.loop = Loop(log_failure)
        self.journal = Journal(paths.run_root)
        self.surroundings = Surroundings(paths)
        self.keeper = Keeper(paths, self.loop)
        self.containers: dict[str, Container] = {}
        self.sessions: set[Session] = set()
        self.removing: dict[str, Session] = {}
        self.undoing: dict[str, list[Callable[[], None]]] = {}
        self.terminals: dict[Session, Callable[[], None]] = {}
        self.boot_id = boot_id()
        self.rested: Callable[[], None] = lambda: None
        self.remover = Remover(paths, self.loop, self._rested)
        self.begin: Callable[[Supervisor, Container, Callable[[BaseException | None], None]], None] = _cannot_begin

    def save(self, container: Container, **changes: Any) -> None:
        """Change a container's state, in memory and on disk.

        No fsync: the file must be right after any death of processes; after a power cut the boot id unmasks it.
        A container whose folder is being deleted has no state any more.
        """
        state = container.set(**changes)
        try:
            write_state(self.paths, container.id, state)
        except FileNotFoundError:
            if os.path.exists(self.paths.container(container.id)):
                raise

    def _rested(self) -> None:
        self.rested()

    @property
    def busy(self) -> bool:
        """Whether any container or client needs us."""
        return bool(self.sessions or self.containers or self.remover.busy)


def _cannot_begin(_supervisor: Supervisor, _container: Container, _done: object) -> None:
    raise RuntimeError("the supervisor has not been wired")
