"""One fork into other namespaces, and back: the maker itself enters the new pid and network namespaces for a moment.

unshare(CLONE_NEWPID) and setns on a pid namespace only concern children, so the maker changes both, forks once, and
returns with setns on descriptors of its own. It needs no intermediate process, and holds the new network namespace's
descriptor before the child has made its first mount. The maker must be single-threaded and must not be interrupted
between: nothing here waits.
"""

from __future__ import annotations

import fcntl
import os
import socket

from holdall.linux import namespaces, process
from holdall.runtime import child as child_steps
from holdall.runtime.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from holdall.runtime.child import Child

HIGH_FD = child_steps.HIGH_FD
STDERR = 2


class Detour:
    """The calling process's way into namespaces and back; a context manager."""

    def __init__(self, unshare: int = 0, join: tuple[tuple[int, int], ...] = ()) -> None:
        """`unshare` flags of new namespaces; `join` pairs of (descriptor, flag). Only pid and network are meant."""
        self.flags = unshare
        self.join = join
        self.netns_fd: int | None = None
        self._own: list[tuple[int, int]] = []

    def __enter__(self) -> Self:
        touched = self.flags
        for _fd, flag in self.join:
            touched |= flag
        try:
            for kind in ("pid", "network"):
                flag = namespaces.FLAGS[kind]
                if touched & flag:
                    self._own.append((namespaces.open_own(kind), flag))
            if self.flags:
                namespaces.unshare(self.flags)
            for fd, flag in self.join:
                namespaces.setns(fd, flag)
            if self.flags & namespaces.CLONE_NEWNET:
                self.netns_fd = namespaces.open_own("network")
        except BaseException:
            self._return()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self._return()

    def _return(self) -> None:
        for fd, flag in self._own:
            namespaces.setns(fd, flag)
            os.close(fd)
        self._own = []


def fork(detour: Detour, make: Callable[[socket.socket], Child], body: Callable[[Child], None]) -> Process:
    """Fork by way of `detour`; the child runs `make`, then `body`, and never returns. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        if theirs.fileno() <= STDERR:  # the maker has closed standard streams, and the child's go there
            theirs, low = socket.socket(fileno=fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, HIGH_FD)), theirs
            low.close()
        ours.setblocking(False)
        dumpable = process.prctl(process.PR_GET_DUMPABLE)
        with detour:
            process.set_dumpable(dumpable=False)  # inherited: the child is never dumpable, not even at first
            try:
                pid = os.fork()
                if pid == 0:
                    child_steps.run(theirs, lambda: make(theirs), body)
            finally:
                process.set_dumpable(dumpable=dumpable == 1)
        return Process(pid, os.pidfd_open(pid), ours, detour.netns_fd)
    except BaseException:
        ours.close()
        if detour.netns_fd is not None:
            os.close(detour.netns_fd)
        raise
    finally:
        theirs.close()
