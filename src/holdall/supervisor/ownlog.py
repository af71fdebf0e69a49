"""The supervisor's own log: standard error, which is `supervisor.log` in the run folder (see bringup.py)."""

from __future__ import annotations

import os
import time

MAX_LOG_BYTES = 1 << 20


def log(text: str) -> None:
    """A line in the supervisor's own log."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        if os.fstat(2).st_size > MAX_LOG_BYTES:
            os.ftruncate(2, 0)
        os.write(2, f"{stamp} [{os.getpid()}] {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        pass


def log_failure(err: BaseException) -> None:
    """An exception nobody expected, with its traceback, in the supervisor's own log."""
    import traceback

    log("".join(traceback.format_exception(err)).rstrip())
