"""Bring a supervisor up: exactly one per store, and no client ever talks to one that is about to go.

The client that finds nobody listening takes the lock file, makes the listening socket itself and hands both to the
new process, so its own connection (and everybody else's) succeeds at once and waits in the socket's queue while Python
starts. The lock belongs to the open file, not to a process: there is no moment without an owner. A supervisor that
goes moves its socket away first and serves whoever came before that; see idle.py.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time

from holdall.errors import NotPermitted, SupervisorUnavailable, SystemFailure
from holdall.paths import Paths

LOCK = "/supervisor.lock"
LOG = "/supervisor.log"
BACKLOG = 512
SECONDS = 20.0
FIRST_PAUSE = 0.0005
LONGEST_PAUSE = 0.02
LISTENER_FD = 3
LOCK_FD = 4
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "TMPDIR")
_BOOT = "import sys;sys.path.insert(0,sys.argv[1]);from holdall.supervisor.main import main;main(sys.argv[2:])"


def connect(paths: Paths, *, start: bool = True) -> socket.socket:
    """A connected socket whose supervisor may not have greeted yet. Raises SupervisorUnavailable, NotPermitted."""
    reap()
    pause = FIRST_PAUSE
    end = time.monotonic() + SECONDS
    while True:
        sock = try_connect(paths.socket)
        if sock is not None:
            return sock
        if not start and not is_owned(paths):
            raise SupervisorUnavailable("no supervisor runs for this store")
        if start and bring_up(paths):
            continue
        if time.monotonic() > end:
            raise SupervisorUnavailable(
                f'cannot reach the supervisor at "{paths.socket}"', hint=f'look at "{paths.run_root}{LOG}"'
            )
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def try_connect(path: str) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with ShortPath(path) as short:
            sock.connect(short)
        return sock
    except (FileNotFoundError, ConnectionRefusedError):
        sock.close()
        return None
    except PermissionError as err:
        sock.close()
        raise NotPermitted(f'cannot connect to "{path}": permission denied', hint="run holdall as the owner") from err
    except BaseException:
        sock.close()
        raise


class ShortPath:
    """A unix socket's path in at most 108 bytes (unix(7)): through the folder's descriptor when it is longer."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._folder = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) < 108:
            return self._path
        folder, name = os.path.split(self._path)
        self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._folder}/{name}"

    def __exit__(self, *_exc: object) -> None:
        if self._folder >= 0:
            os.close(self._folder)


def _open_lock(paths: Paths, flags: int) -> int:
    return os.open(paths.run_root + LOCK, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)


def is_owned(paths: Paths) -> bool:
    """Whether a supervisor runs for the store, or is just coming or going."""
    try:
        lock = _open_lock(paths, 0)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(lock)


def bring_up(paths: Paths) -> bool:
    """Start a supervisor unless somebody owns the store; whether one was started."""
    make_run_root(paths.run_root)
    lock = _open_lock(paths, os.O_CREAT)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        listener = listen(paths.socket)
        try:
            _spawn(paths, listener.fileno(), lock)
        finally:
            listener.close()
        return True
    finally:
        os.close(lock)


def make_run_root(path: str) -> None:
    """Make the run root if it is not there. Raises NotPermitted when it is another user's, OSError."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    owner = os.stat(path).st_uid
    if owner != os.geteuid():
        raise NotPermitted(f'"{path}" belongs to uid {owner}', hint="choose another folder with --run-root")


def listen(path: str) -> socket.socket:
    """A listening socket that replaces whatever is at `path`, only for its owner. The caller holds the lock."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    mask = os.umask(0o177)
    try:
        with ShortPath(path) as short:
            listener.bind(short)
    finally:
        os.umask(mask)
    listener.listen(BACKLOG)
    return listener


def _spawn(paths: Paths, listener: int, lock: int) -> None:
    """Execute the supervisor with the listener and the lock as 3 and 4; it forks itself into the background."""
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    argv = [sys.executable, "-I", "-S", "-c", _BOOT, source, paths.root, paths.run_root]
    environment = {name: value for name, value in os.environ.items() if _wanted(name)}
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (listener, lock)]
    log = _open_log(paths)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, log, 2),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, high[0], LISTENER_FD),
        (os.POSIX_SPAWN_DUP2, high[1], LOCK_FD),
    ]
    ignored = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]
    program = _protected_interpreter()
    path = f"/proc/self/fd/{program}" if program >= 0 else sys.executable
    try:
        pid = os.posix_spawn(
            path, argv, environment, file_actions=actions, setsid=True, setsigmask=[], setsigdef=ignored
        )
    finally:
        for fd in (*high, log, program):
            if fd >= 0:
                os.close(fd)
    _children.add(pid)


def _protected_interpreter() -> int:
    """A descriptor of the interpreter that no container can open for writing (see runtime/interpreter.py), or -1."""
    from holdall.runtime import interpreter

    try:
        fd = interpreter.open_readonly(sys.executable)
    except (SystemFailure, OSError):
        return -1
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    finally:
        os.close(fd)


def _wanted(name: str) -> bool:
    return name in _KEPT_ENVIRONMENT or name.startswith("HOLDALL_")


def _open_log(paths: Paths) -> int:
    """The supervisor's own log (see ownlog.py); above 10 so that no dup2 of the spawn meets it."""
    path = paths.run_root + LOG
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    finally:
        os.close(fd)


_children: set[int] = set()


def reap() -> None:
    """Reap intermediate processes that have ended. Never blocks; any thread may call it."""
    for pid in tuple(_children):
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        except ChildProcessError:
            pass
        _children.discard(pid)
