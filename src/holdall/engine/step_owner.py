"""Who the container of a RUN step belongs to: whoever has its folder locked. A killed build has none any more.

The supervisor removes the containers of a client that is gone; what it cannot, because it was killed too or had not
heard of the container yet, goes with the next step of any build, or with `system gc`.
"""

from __future__ import annotations

import fcntl
import os

from holdall.engine.remove import make_gone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import ExitStack

    from holdall.engine.engine import Engine

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def own(engine: Engine, container_id: str, stack: ExitStack) -> None:
    """Lock the folder of a container that has no row yet, until the stack is unwound."""
    fd = os.open(engine.paths.container(container_id), _FOLDER)
    stack.callback(os.close, fd)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sweep(engine: Engine, *, dry_run: bool = False) -> list[str]:
    """Remove the containers of steps whose builds are gone; their IDs. Raises what a removal raises."""
    steps = [row.id for row in engine.containers.store.list() if not row.image]
    left = [container_id for container_id in steps if not owned(engine, container_id)]
    for container_id in left if not dry_run else ():
        make_gone(engine, container_id)
    return left


def owned(engine: Engine, container_id: str) -> bool:
    """Whether the build that a step's container is for goes on."""
    try:
        fd = os.open(engine.paths.container(container_id), _FOLDER)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
