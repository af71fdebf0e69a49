"""Remove a container: stop it if forced, forget its row, then delete its folder.

Row first: a folder without a row is garbage that `gc` finds, a row without its folder would be a lie.
"""

from __future__ import annotations

import os
import time

from holdall.errors import ContainerNotFound, ContainerStateConflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.engine.container import Container
    from holdall.engine.engine import Engine
    from holdall.supervisor.client import Connection

PATIENCE = 30.0
PAUSE = 0.02


FORCED_TRIES = 3


def remove(engine: Engine, container: Container, *, force: bool, volumes: bool) -> None:
    """Remove it. Raises ContainerStateConflict when it runs and `force` is not given, ContainerNotFound."""
    from holdall.supervisor.client import connect_if_running

    state = container.state
    if state.alive or state.status == "restarting":
        if not force:
            raise ContainerStateConflict(
                f'cannot remove container "{container.name}": it is {state.status}',
                hint="stop it first, or use rm --force",
            )
        with container.connect() as connection:
            _end(engine, container, connection, volumes=volumes)
        return
    found = connect_if_running(engine.paths)
    if found is None:
        if not os.path.exists(engine.paths.container_run(container.id)):
            _delete(engine, container, volumes=volumes)
            return
        found = container.connect()  # its end was not undone: only a supervisor can, as long as the container is known
    with found:
        try:
            forget(engine, container, found, volumes=volumes)
        except ContainerStateConflict:
            if not force:
                raise
            # somebody, or its restart policy, started it just now
            _end(engine, container, found, volumes=volumes)


def _end(engine: Engine, container: Container, connection: Connection, *, volumes: bool) -> None:
    """Kill it and remove it; again when it was started in between. Raises ContainerStateConflict after some tries."""
    for left in reversed(range(FORCED_TRIES)):
        connection.stop(container.id, signal=9, timeout=-1)
        try:
            forget(engine, container, connection, volumes=volumes)
        except ContainerStateConflict:
            if not left:
                raise
        else:
            return


def make_gone(engine: Engine, container_id: str) -> None:
    """Remove it with its anonymous volumes, or wait for whoever is at it: the supervisor, another command.

    Gone already is no error. Raises ContainerStateConflict when that takes more than 30 s, and what a removal raises.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            engine.containers.get(container_id).remove(force=True, volumes=True)
        except ContainerNotFound:
            return
        except ContainerStateConflict:
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE)
        else:
            return


def forget(engine: Engine, container: Container, connection: Connection, *, volumes: bool) -> None:
    """Remove one that has ended, over a connection that keeps everybody from starting it meanwhile."""
    try:
        connection.forget(container.id)
    except ContainerNotFound:
        # never started: the supervisor has not heard of it
        pass
    _delete(engine, container, volumes=volumes)


def _delete(engine: Engine, container: Container, *, volumes: bool) -> None:
    from holdall.engine.volumes import drop_anonymous

    store = engine.containers.store
    names = store.volumes(container.id) if volumes else ()
    store.delete(container.id)
    engine.containers.discard(container.id)
    if names:
        drop_anonymous(engine.volumes.store, names)
