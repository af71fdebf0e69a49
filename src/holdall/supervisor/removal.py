"""Remove containers that were started with `--rm` and whose client is gone: by running the command they came with."""

from __future__ import annotations

import os
import signal

from holdall.supervisor.launch import launch_path
from holdall.supervisor.loop import IN
from holdall.supervisor.ownlog import log
from holdall.supervisor.reaping import reap
from holdall.supervisor.runfolder import remove_run_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.paths import Paths
    from holdall.supervisor.container import Container
    from holdall.supervisor.launch import Launch
    from holdall.supervisor.loop import Loop

MAX_TRIES = 3


class Remover:
    """Runs the `remove` argv of containers, one process each, a few times if need be."""

    def __init__(self, paths: Paths, loop: Loop, rested: Callable[[], None]) -> None:
        self._paths = paths
        self._loop = loop
        self._rested = rested
        self._running: set[str] = set()
        self._tries: dict[str, int] = {}

    @property
    def busy(self) -> bool:
        """Whether a removal is under way."""
        return bool(self._running)

    def ended(self, container: Container) -> None:
        """An `auto_remove` container has ended: the client that started it removes it, if it is still there."""
        starter = container.starter
        launch = container.launch
        if starter is not None and starter.connected:
            starter.leaving.append(lambda: self.remove(launch))
        else:
            self.remove(launch)

    def remove(self, launch: Launch) -> None:
        """Run the removal; when the container is gone already, whoever removed it may have left its run folder."""
        tries = self._tries.get(launch.id, 0)
        if launch.id in self._running:
            return
        if not os.path.exists(launch_path(self._paths, launch.id)):
            remove_run_folder(self._paths.container_run(launch.id))
            self._tries.pop(launch.id, None)
            return
        if not launch.remove:
            return
        if tries >= MAX_TRIES:
            log(f"{launch.id}: gave up removing it")
            return
        self._tries[launch.id] = tries + 1
        try:
            pid = os.posix_spawn(launch.remove[0], launch.remove, os.environ, setsid=True, setsigdef=[signal.SIGPIPE])
        except OSError as err:
            log(f"{launch.id}: cannot remove it: {err}")
            return
        self._running.add(launch.id)
        pidfd = os.pidfd_open(pid)
        self._loop.add(pidfd, IN, lambda _mask: self._ended(launch, pidfd))

    def _ended(self, launch: Launch, pidfd: int) -> None:
        over, code = reap(pidfd)
        if not over:
            return
        self._loop.remove(pidfd)
        os.close(pidfd)
        self._running.discard(launch.id)
        if code != 0:
            log(f"{launch.id}: removing it ended with {code}")
        self.remove(launch)
        self._rested()
