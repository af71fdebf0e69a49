"""Starting the courier (see `courier.py`), without what the rest of the client imports: it begins while that loads."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

BOOT = (
    "import sys;sys.path.insert(0,sys.argv[1]);from holdall.registry.courier_process import main;main(int(sys.argv[2]))"
)


def start() -> socket.socket:
    """Start the process; its control socket, with whose end it ends. Raises OSError."""
    ours, theirs = socket.socketpair()
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with theirs:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", BOOT, source, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
    threading.Thread(target=process.wait, name="holdall-courier", daemon=True).start()
    return ours
