"""Exit codes: of children, and of processes that are not ours (see PIDFD_GET_INFO in linux/pidfd.py)."""

from __future__ import annotations

import os
import select
import time

from holdall.linux import pidfd as _pidfd

SIGNAL_BASE = 128
FOREIGN_SECONDS = 15.0
FOREIGN_PAUSE = 0.005


def exit_code(status: int) -> int:
    """Docker's exit code for a wait status: the program's own, or 128 + signal."""
    if os.WIFSIGNALED(status):
        return SIGNAL_BASE + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def reap(pidfd: int) -> tuple[bool, int | None]:
    """(ended, exit code) of a child, which is reaped. Never blocks. Raises ChildProcessError when it is not ours."""
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    if result is None:
        return False, None
    if result.si_code == os.CLD_EXITED:
        return True, result.si_status
    return True, SIGNAL_BASE + result.si_status


def foreign(pidfd: int) -> int | None:
    """Exit code of somebody else's child once its parent has reaped it; None: not yet. Raises OSError: never."""
    status = _pidfd.exit_status(pidfd)
    return None if status is None else exit_code(status)


def wait_foreign(pidfd: int) -> int | None:
    """Wait for the end of somebody else's child; its exit code, None when the kernel cannot tell."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.poll()
    end = time.monotonic() + FOREIGN_SECONDS
    try:
        while time.monotonic() < end:
            code = foreign(pidfd)
            if code is not None:
                return code
            time.sleep(FOREIGN_PAUSE)
    except OSError:
        pass
    return None
