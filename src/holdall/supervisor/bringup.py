"""Bring a supervisor up: exactly one per store, and no client ever talks to one that is about to go.

The client that finds nobody listening takes the lock file, makes the listening socket itself and hands both to the
new process, so its own connection (and everybody else's) succeeds at once and waits in the socket's queue while Python
starts. The lock belongs to the open file, not to a process: there is no moment without an owner. A supervisor that
goes renames its socket away first and serves whoever came before that; see going.py.
"""

from __future__ import annotations

import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.paths import Paths


def connect(paths: Paths, *, start: bool = True) -> socket.socket:
    """A connected socket whose supervisor has not greeted yet. Raises SupervisorUnavailable."""
    raise NotImplementedError
