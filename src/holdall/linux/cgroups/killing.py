"""Ending every process of a group, where the kernel has no single command for it."""

from __future__ import annotations

import errno
import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Group(Protocol):
        """What the loop needs."""

        def processes(self) -> list[int]: ...
        def freeze(self, timeout: float) -> bool: ...
        def thaw(self) -> None: ...


LONGEST_PAUSE = 0.05
FREEZE_SECONDS = 0.5


def kill_all(group: Group, timeout: float) -> bool:
    """SIGKILL to all, frozen so that none can fork away meanwhile, again until none is left.

    False when some remain after `timeout` seconds (in uninterruptible sleep, or out of our pid namespace's sight).
    """
    deadline = time.monotonic() + timeout
    pause = 0.001
    while pids := group.processes():
        frozen = _freeze(group)
        try:
            for pid in set(pids) | set(group.processes()):
                if pid > 0:
                    _kill(pid)
        finally:
            if frozen:
                group.thaw()
        if time.monotonic() >= deadline:
            return not group.processes()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return True


def _freeze(group: Group) -> bool:
    """Freeze if the host can; without a freezer the loop has to be quicker than the forks."""
    try:
        group.freeze(FREEZE_SECONDS)
    except OSError as err:
        if err.errno not in (errno.ENOTSUP, errno.ENOENT, errno.ENODEV):
            raise
        return False
    return True


def wait_empty(group: Group, timeout: float) -> bool:
    """Whether the group is empty before `timeout` seconds are over."""
    deadline = time.monotonic() + timeout
    pause = 0.001
    while group.processes():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return True


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
