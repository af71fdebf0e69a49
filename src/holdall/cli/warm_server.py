"""`holdall-warm`: a process with the engine imported, and a child of it that waits for the next command line.

It is a helper of the command line alone (the library never uses it), started in the background by the first command
that leaves a container running, and gone with the store's supervisor; after a build, some seconds after the last
command. It is single-threaded and holds no database and no lock but its own, so the fork is clean; the child takes
over the caller's descriptors, folder, environment and umask and is killed when the caller dies. Callers of another
user or in another mount, network, pid or user namespace are turned away and do their work themselves.

The child that waits, the spare, rehearses meanwhile (rehearsal.py): what a command touches is its own memory by the
time a caller comes. As soon as it has one, the next spare is forked.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress

from holdall.cli import entry
from holdall.cli.rehearsal import rehearse
from holdall.linux import process
from holdall.paths import Paths
from holdall.supervisor.bringup import make_run_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

BACKLOG = 128
PAUSE = 0.1
"""Seconds before the next spare when one has died without a caller."""
LOOK = 5.0
"""Seconds after which a process without supervisor looks whether the store is still there."""
F_SETSIG = 10
PRELOADED = {
    "build": """
        archives build cache_mounting contents copying giturl limits modes notices options owners parts
        recording stop transfer
    """,
    "cli": """
        arguments build_plain builds each failures main progress rehearsal session state table warm
    """,
    "cli.commands": "build create exec inspect logs ps rm run start stop",
    "cli.format": "rows template",
    "engine": """
        addresses attachment build_history build_outputs build_steps builds container containers create devices
        engine execute filters gitinfo images inspect mounts network_files networks remove rootfs seccomp_cache
        start step_container step_mounts step_owner step_stubs step_times terminal volumes
    """,
    "erofs": "chunks contents directory format node output plan superblock writer xattr",
    "layer": """
        assemble attributes compression confine diff encoders feed fromfs hashing header index_tree index_ways
        indexer limits names overlay pax place pyc scan sparse tar unpack walk writer
    """,
    "linux": "erofs_mount inroot mount namespaces netlink overlay rtnetlink stack writeback",
    "network": "host plan ports",
    "oci": "config manifest",
    "runtime": "layers",
    "store": """
        again budget build_cache build_usage cache_mounts cache_seen compressed content holds image_writer images
        layer_maker layout_index leases members names networks recipes release remake scratch sweep trees volumes
    """,
    "store.snapshots": "choose erofs index_file indexing intake making overlay snapshotter stage views",
    "supervisor": "bundles client state",
}
"""Modules of Holdall by package: what running, looking and building import."""
LIBRARIES = "argparse gettext hashlib isal.igzip_lib isal.isal_zlib locale".split()


def main(argv: list[str]) -> NoReturn:
    """Serve the store given by `--root ROOT --run-root DIR --grace SECONDS` until its supervisor ends."""
    paths = Paths.choose(argv[1], argv[3])
    make_run_root(paths.run_root)
    path = f"{paths.run_root}/{entry.socket_name()}"
    lock = alone(path)
    life = Life(paths, float(argv[5]))
    if lock is None or (not life.watch() and not life.grace):
        os._exit(0)
    process.set_title(f"holdall-warm --root {paths.root}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    preload()
    gc.collect()
    gc.freeze()
    # only now: whoever comes earlier is quicker alone
    serve(listen(path), life, lock, f"holdall-spare --root {paths.root}")


def preload() -> None:
    """Import what commands need, and try it."""
    from importlib import import_module

    for package, names in PRELOADED.items():
        for name in names.split():
            import_module(f"holdall.{package}.{name}")
    for name in LIBRARIES:
        import_module(name)
    rehearse()


def alone(path: str) -> int | None:
    """The lock of the socket at `path`; None when another process has it."""
    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def listen(path: str) -> socket.socket:
    """The warm socket; a dead process's is replaced."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(BACKLOG)
    return listener


def supervisor_pidfd(paths: Paths) -> int | None:
    """A pidfd of the store's supervisor, None when there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        try:
            sock.connect(paths.socket)
            pid, _, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            # the listener was made by whoever brought the supervisor up: the greeting comes from itself
            return os.pidfd_open(greeted_pid(sock) or pid)
        except OSError:
            return None


def greeted_pid(sock: socket.socket) -> int:
    """The pid in the supervisor's greeting, 0 when it has none."""
    from holdall.supervisor.protocol import receive

    message = receive(sock)
    return int(message.body.get("pid", 0)) if message is not None else 0


class Life:
    """When to end: with the supervisor, but `grace` seconds after the last command at the earliest."""

    def __init__(self, paths: Paths, grace: float) -> None:
        self.grace = grace
        self._paths = paths
        self._watched: int | None = None
        self._poller = select.poll()
        self._until = time.monotonic() + grace

    def watch(self) -> bool:
        """End with the supervisor that runs now; False when there is none."""
        self._watched = supervisor_pidfd(self._paths)
        if self._watched is not None:
            self._poller.register(self._watched, select.POLLIN)
        return self._watched is not None

    def wait(self, line: socket.socket) -> None:
        """Return when the spare at the end of this line has a caller, or is gone; exit when it is time."""
        self._poller.register(line, select.POLLIN)
        while True:
            left = self._until - time.monotonic()
            ready = self._poller.poll(None if self._watched is not None else 1000 * max(0.0, min(left, LOOK)))
            if any(fd != self._watched for fd, _ in ready):
                self._poller.unregister(line)
                self._until = time.monotonic() + self.grace
                return
            self.leave()
            if (left <= 0 and not self.watch()) or not os.path.exists(self._paths.database):
                os._exit(0)

    def leave(self) -> None:
        """Watch no supervisor."""
        if self._watched is not None:
            self._poller.unregister(self._watched)
            os.close(self._watched)
            self._watched = None


def serve(listener: socket.socket, life: Life, lock: int, title: str) -> NoReturn:
    """Have a spare ready as long as there is reason to."""
    while True:
        line, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            line.close()
            os.close(lock)
            life.leave()
            work(wait(listener, far, title))
        far.close()
        life.wait(line)
        if not line.recv(1):
            time.sleep(PAUSE)
        line.close()


def wait(listener: socket.socket, line: socket.socket, title: str) -> socket.socket:
    """In the child: the next caller. Exits when the warm process is gone."""
    poller = select.poll()
    poller.register(listener, select.POLLIN)
    if not poller.poll(0):
        process.set_title(title)
        rehearse()
    poller.register(line, 0)
    if all(fd != listener.fileno() for fd, _ in poller.poll()):
        os._exit(0)
    caller, _ = listener.accept()
    listener.close()
    # the next one is made while this one works
    with suppress(OSError):
        line.send(b"x")
    line.close()
    return caller


def work(caller: socket.socket) -> NoReturn:
    """In the child: take the caller's place, run its command, send the exit code."""
    code = entry.FAILED
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        argv = take_place(caller)
        if argv is not None:
            from holdall.cli.main import finish
            from holdall.cli.main import main as command

            code = finish(command(argv))
            caller.send(code.to_bytes(4, sys.byteorder))
    except Exception:  # noqa: BLE001  (the end of a process: a bug's traceback, as the interpreter would print it)
        import traceback

        traceback.print_exc()
        caller.send((1).to_bytes(4, sys.byteorder))
    finally:
        os._exit(code)


def take_place(caller: socket.socket) -> list[str] | None:
    """Become like the caller; its words, or None when it has to do the work itself (it is told by closing)."""
    import marshal

    _, uid, gid = struct.unpack("iII", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    order, fds, _, _ = socket.recv_fds(caller, entry.MAX_ORDER, 4, socket.MSG_CMSG_CLOEXEC)
    if (uid, gid) != (os.geteuid(), os.getegid()) or len(fds) != 4:
        return None
    argv, environment, umask, namespaces = marshal.loads(order)  # from a process of the same user, checked above
    if namespaces != entry.namespaces():
        return None
    os.setsid()
    for number in range(3):
        os.dup2(fds[number], number)
    os.fchdir(fds[3])
    os.umask(umask)
    for fd in fds:
        os.close(fd)
    os.environ.clear()
    os.environb.update(environment)
    os.environ["HOLDALL_WARM"] = "0"
    sys.argv[1:] = argv
    for name, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        setattr(sys, name, open_stream(fd, mode))
    caller.send(os.getpid().to_bytes(8, sys.byteorder))
    if not caller.recv(2):
        os._exit(entry.FAILED)
    die_with(caller)
    return list(argv)


def open_stream(fd: int, mode: str) -> object:
    """A text stream as Python makes it at start-up."""
    errors = "backslashreplace" if fd == 2 else "surrogateescape"
    return open(
        fd, mode, encoding="utf-8", errors=errors, buffering=1 if os.isatty(fd) or fd == 2 else -1, closefd=False
    )


def die_with(caller: socket.socket) -> None:
    """Let the kernel kill this process when the caller dies: its end of the socket closes, and that is a signal.

    The caller sends nothing from here on, so nothing but its end can raise it (fcntl(2), F_SETSIG).
    """
    fd = caller.fileno()
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    poller = select.poll()
    poller.register(fd, 0)
    if poller.poll(0):
        os._exit(entry.FAILED)


if __name__ == "__main__":
    main(sys.argv[1:])
