"""Start the store's warm process (warm_server.py) behind a command that has left a container running, or has built."""

from __future__ import annotations

import os
import sys

from holdall.cli import entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.paths import Paths

BOOT = "import sys;sys.path.insert(0,sys.argv[1]);from holdall.cli.warm_server import main;main(sys.argv[2:])"


def keep_warm(paths: Paths, *, lingering: bool = False) -> None:
    """Start it unless it runs, or nobody could use it. Never fails, never waits.

    It ends with the supervisor; if `lingering`, not before $HOLDALL_WARM_GRACE seconds (60) after the last command.
    """
    grace = os.environ.get("HOLDALL_WARM_GRACE", "60") if lingering else "0"
    if os.environ.get("HOLDALL_WARM") == "0" or not (lingering or os.path.exists(paths.socket)) or _serves(paths):
        return
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # with `site`, unlike the supervisor: commands import what is installed (isal, aiohttp)
    argv = [sys.executable, "-I", "-c", BOOT, source, "--root", paths.root, "--run-root", paths.run_root]
    argv += ["--grace", grace]
    try:
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        os.posix_spawn(
            sys.executable,
            argv,
            {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
            file_actions=[(os.POSIX_SPAWN_DUP2, null, fd) for fd in range(3)],
            setsid=True,
        )
        os.close(null)
    except OSError:
        # the machine is short of something: the commands stay as quick as without
        return


def _serves(paths: Paths) -> bool:
    """Whether somebody listens; a socket alone may be what a killed process left."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        try:
            sock.connect(f"{paths.run_root}/{entry.socket_name()}")
        except OSError:
            return False
    return True
