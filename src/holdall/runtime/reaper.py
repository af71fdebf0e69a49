"""`--init`: a PID 1 that starts the command, forwards signals to it, reaps orphans and ends as the command ended.

It runs as the container's user under the container's capabilities and filter. The command gets a process group of its
own (in the terminal's foreground), so a Ctrl-C reaches it once and not twice.
"""

from __future__ import annotations

import os
import signal

from holdall.linux import capabilities, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

SIGNALLED = 128
TITLE = "holdall-init"
_OWN = frozenset({
    signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
    signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS,
})  # fmt: skip
"""Signals about ourselves: never forwarded. All but SIGCHLD and the terminal's stay unblocked."""


def fork(sock: socket.socket, args: tuple[str, ...], *, terminal: bool) -> None:
    """Return in the command's process; the calling process becomes the reaper and never returns."""
    forwarded = {int(number) for number in signal.valid_signals()} - _OWN
    blocked = forwarded | {signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU}
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)  # end of file: PID 1 has shed everything
        os.close(reading)
        os.setpgid(0, 0)
        if terminal:
            os.tcsetpgrp(0, os.getpgrp())
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return
    try:
        sock.close()
        process.set_title(" ".join([TITLE, "--", *args]))
        _keep_only_kill()
        process.close_range(0)
        _serve(pid, blocked)
    finally:
        os._exit(SIGNALLED - 1)


def _keep_only_kill() -> None:
    """Only execve(2) takes the capabilities of a user that is not root, and we never execute anything."""
    kill = capabilities.mask(("CAP_KILL",)) if os.geteuid() == 0 else 0
    try:
        capabilities.set(capabilities.get()[0] & kill, capabilities.get()[1] & kill, 0)
    except PermissionError:
        pass  # a filter without capset(2): the command cannot use it either


def _serve(command: int, blocked: set[int]) -> None:
    while True:
        info = signal.sigwaitinfo(blocked)
        if info.si_signo == signal.SIGCHLD:
            _reap(command)
        elif info.si_signo not in (signal.SIGTTIN, signal.SIGTTOU):
            try:
                os.kill(command, info.si_signo)
            except (ProcessLookupError, PermissionError):
                pass


def _reap(command: int) -> None:
    """Reap all that have ended; end ourselves when the command is among them."""
    while True:
        try:
            pid, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            os._exit(0)
        if pid == 0:
            return
        if pid == command:
            os._exit(SIGNALLED + os.WTERMSIG(code) if os.WIFSIGNALED(code) else os.WEXITSTATUS(code))
