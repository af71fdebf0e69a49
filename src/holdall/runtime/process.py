"""The caller's handle on a process the runtime made: its pid, a pidfd, the status socket and its network namespace.

Life: `spawn` → read status (`Terminal`, `Warned`) while the network is attached → `proceed()` → `Started` or `Failed`.
The pid is a direct child: the caller reaps it with waitid(P_PIDFD).
"""

from __future__ import annotations

import os
import signal

from holdall.linux import pidfd as _pidfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

PROCEED = b"P"


class Process:
    """A child on its way into, or in, a container. Owns `pidfd`, `status` and `netns_fd` until `close`.

    `status` is non-blocking and closed by the other end when the command has been executed or the child died.
    `netns_fd` is None unless the runtime made a new network namespace for it.
    """

    __slots__ = ("executing", "netns_fd", "pid", "pidfd", "status")

    def __init__(self, pid: int, pidfd: int, status: socket.socket, netns_fd: int | None = None) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.status = status
        self.netns_fd = netns_fd
        self.executing = False

    def proceed(self) -> None:
        """Let the child execute the command. Harmless when the child has died (its status tells why)."""
        try:
            self.status.send(PROCEED)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def abort(self) -> None:
        """Kill the child with SIGKILL. The caller still reaps it."""
        try:
            _pidfd.send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close_netns(self) -> None:
        """Close the network namespace's descriptor (the attachment has been made)."""
        if self.netns_fd is not None:
            os.close(self.netns_fd)
            self.netns_fd = None

    def close_status(self) -> None:
        """Close the status socket; `pidfd` stays."""
        self.status.close()

    def close(self) -> None:
        """Close every descriptor. Idempotent."""
        self.close_netns()
        self.close_status()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
