from __future__ import annotations

import os
import signal

import pytest

from holdall.errors import InvalidOption
from holdall.runtime import kill, state


@pytest.mark.parametrize(
    ("text", "number"),
    [("TERM", 15), ("SIGTERM", 15), ("sigkill", 9), ("15", 15), ("RTMIN", 34), ("RTMIN+3", 37), ("SIGRTMAX-1", 63)],
)
def test_names(text: str, number: int) -> None:
    assert kill.parse_signal(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-1", "NOPE", "RTMIN+", "TERM+1", "_DFL", "RTMAX+1", "SIG", "1.5", "__class__"]
)
def test_bad_names(text: str) -> None:
    with pytest.raises(InvalidOption, match="invalid signal"):
        kill.parse_signal(text)


def test_kill_and_identity() -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    pidfd = os.pidfd_open(pid)
    identity = state.identify(pid)
    assert state.alive(identity)
    assert not state.alive(state.Identity(pid, identity.start_ticks + 1, identity.boot_id))
    assert not state.alive(state.Identity(pid, identity.start_ticks, "another boot"))
    assert kill.kill(pidfd, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not kill.kill(pidfd, signal.SIGKILL)
    assert not state.alive(identity)
    with pytest.raises(ProcessLookupError):
        state.identify(pid)
    os.close(pidfd)
