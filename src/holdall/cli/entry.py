"""The console script's first step: hand the command line to the store's warm process if there is one.

Importing the engine is most of what a short command costs. While containers run, `holdall-warm` (warm_server.py) has
it imported already; this client sends it the words, the environment and the standard descriptors and waits for the
exit code. Whatever does not fit falls through to the ordinary way, so nothing depends on it. HOLDALL_WARM=0 turns it
off. Nothing but built-in modules is imported here: see docs/decisions/0008.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

MAX_ORDER = 120 << 10
AF_UNIX, SEQPACKET, CLOEXEC = 1, 5, 0o2000000
SOL_SOCKET, SCM_RIGHTS = 1, 1
FORWARDED = (1, 2, 3, 10, 12, 15, 18, 28)
"""SIGHUP INT QUIT USR1 USR2 TERM CONT WINCH."""
SYSTEM_RUN_ROOT = "/run/holdall"
FAILED = 125


def run() -> None:
    """Entry point of the console script; never returns."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        stand_in()
    code = try_warm(sys.argv[1:])
    if code is None:
        from holdall.cli.main import run as cold

        cold()
    os._exit(code or 0)


def stand_in() -> None:
    """Let standard descriptors that the caller has closed be /dev/null: files opened next would take their numbers."""
    while (fd := os.open("/dev/null", os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))


def socket_name() -> str:
    """The warm socket's file name: another interpreter or version of Holdall never finds this one's."""
    from holdall import __version__

    stamp = os.stat(os.path.dirname(os.path.abspath(__file__))).st_mtime_ns
    return f"warm-{sys.implementation.cache_tag}-{__version__}-{stamp:x}.sock"


def namespaces() -> list[str]:
    """Where this process is: whose files, network and processes a command means."""
    return [os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "net", "pid", "user")]


def try_warm(argv: list[str]) -> int | None:
    """Exit code of the command done by the warm process, None when it has to be done here."""
    if os.environ.get("HOLDALL_WARM") == "0" or not argv:
        return None
    run_root = _run_root(argv)
    if run_root is None:
        return None
    path = f"{run_root}/{socket_name()}"
    try:
        import marshal
        from _socket import socket

        order = marshal.dumps((argv, dict(os.environb), _umask(), namespaces()))
        if len(order) > MAX_ORDER:
            return None
        sock = socket(AF_UNIX, SEQPACKET | CLOEXEC, 0)
        sock.connect(path)
    except (ImportError, OSError, ValueError):
        return None
    return _hand_over(sock, order)


def _hand_over(sock: _socket.socket, order: bytes) -> int | None:
    try:
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        fds = b"".join([fd.to_bytes(4, sys.byteorder) for fd in (0, 1, 2, here)])
        sock.sendmsg([order], [(SOL_SOCKET, SCM_RIGHTS, fds)])
        answer = sock.recv(16)
    except OSError:
        return None
    if len(answer) != 8:
        # refused, or gone before it began: nothing has been done
        return None
    received: list[int] = []
    before = _forward(int.from_bytes(answer, sys.byteorder), received)
    try:
        sock.send(b"go")
    except OSError:
        # it died waiting for this word: still nothing has been done
        sock.close()
        _restore(before)
        return None
    while True:
        try:
            end = sock.recv(16)
        except InterruptedError:
            continue
        except OSError:
            end = b""
        if len(end) == 4:
            return int.from_bytes(end, sys.byteorder)
        for number in received:
            _die_of(number)
        sys.stderr.write("holdall: the process that ran the command was killed\n")
        return FAILED


def _forward(worker: int, received: list[int]) -> dict[int, object]:
    """Pass signals on and note them, as if the command ran in this process; the handlers there were."""
    from _signal import SIG_IGN, getsignal, signal  # type: ignore[import-not-found]  # CPython's own

    def send(number: int, _frame: object) -> None:
        received.append(number)
        try:
            os.kill(worker, number)
        except ProcessLookupError:
            pass

    return {number: signal(number, send) for number in FORWARDED if getsignal(number) != SIG_IGN}


def _die_of(number: int) -> None:
    """End as the worker did, by the signal that we passed on; return if that one ends nobody."""
    from _signal import SIG_DFL, signal

    signal(number, SIG_DFL)
    os.kill(os.getpid(), number)


def _restore(handlers: dict[int, object]) -> None:
    from _signal import signal

    for number, handler in handlers.items():
        signal(number, handler)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _run_root(argv: list[str]) -> str | None:
    """The run root these words choose, by the rules of holdall.paths without importing it for the usual case."""
    environ = os.environ
    root, run_root = environ.get("HOLDALL_ROOT", ""), environ.get("HOLDALL_RUN_ROOT", "")
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name == "--storage-driver":
            if not equals:
                next(words, "")
            continue
        if name not in ("--root", "--run-root"):
            if word.startswith("-"):
                return None
            break
        value = value if equals else next(words, "")
        if name == "--root":
            root = value
        else:
            run_root = value
    if run_root:
        return os.path.abspath(run_root)
    if not root and not os.geteuid():
        return SYSTEM_RUN_ROOT
    from holdall.paths import Paths

    return Paths.choose(root or None, None).run_root
