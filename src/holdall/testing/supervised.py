"""A store with hand-made containers and a supervisor of its own, for tests of the supervisor without an engine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time

from holdall.oci import runtime_spec_json
from holdall.paths import Paths
from holdall.runtime.bundle import Wishes, build
from holdall.runtime.launch import Overlay
from holdall.supervisor import client
from holdall.supervisor.launch import Launch, write_launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.supervisor.client import Connection

PROGRAMS = ("sh", "cat", "sleep", "true", "false", "echo", "env", "id", "seq", "head", "dd", "stty", "ls", "mknod")
SECONDS = 15.0


def make_rootfs(target: str) -> str:
    """A small root file system with a shell and some programs of this host; returns `target`."""
    for program in PROGRAMS:
        found = shutil.which(program)
        assert found is not None, program
        _copy(found, f"{target}/bin/{program}")
        listed = subprocess.run(["ldd", found], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            _copy(library, target + library)
    for folder in ("proc", "sys", "dev", "tmp", "etc"):
        os.makedirs(f"{target}/{folder}", exist_ok=True)
    with open(f"{target}/etc/passwd", "w") as file:
        file.write("root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")
    return target


def _copy(source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.exists(target):
        shutil.copy(os.path.realpath(source), target)


class World:
    """One store. `close` kills whatever of it still runs and removes what it left on the host."""

    def __init__(self, folder: str, rootfs: str, run: str = "run") -> None:
        self.paths = Paths(folder + "/root", f"{folder}/{run}")
        self.folder = folder
        self.rootfs = rootfs
        self._count = 0
        os.makedirs(self.paths.containers)

    def connect(self) -> Connection:
        """A new connection."""
        return client.connect(self.paths)

    def create(self, *argv: str, key: str = "", wishes: dict[str, Any] | None = None, **changes: Any) -> str:
        """Make a container that runs `argv` (through `sh -c` when it is one string); returns its ID."""
        self._count += 1
        key = key or f"{self._count:04d}" + os.urandom(6).hex()
        folder = self.paths.container(key)
        for name in (folder, folder + "/upper", folder + "/work"):
            os.mkdir(name)
        args = argv if len(argv) > 1 else ("/bin/sh", "-c", argv[0])
        terminal = bool(changes.get("terminal"))
        spec = build(Wishes(args=args, terminal=terminal, **{"network": "host", **(wishes or {})}))
        with open(folder + "/config.json", "wb") as file:
            file.write(runtime_spec_json.serialise(spec))
        launch: dict[str, Any] = {
            "name": "c" + key,
            "rootfs": Overlay((self.rootfs,), folder + "/upper", folder + "/work"),
            "cgroup": f"{self.paths.cgroup}/{key}",
            **changes,
        }
        write_launch(self.paths, Launch(id=key, **launch))
        return key

    def run(self, *argv: str, **changes: Any) -> tuple[int | None, bytes, bytes]:
        """Create, start, collect the output and the exit code."""
        key = self.create(*argv, **changes)
        with self.connect() as connection:
            return Streams(connection, key).finish()

    def log(self, key: str) -> bytes:
        """The supervisor's own record of a container's output, rotated files first."""
        path = self.paths.container(key) + "/logs/container.log"
        names = [f"{path}.{number}" for number in range(20, 0, -1)] + [path]
        found = b""
        for name in names:
            if os.path.exists(name):
                with open(name, "rb") as file:
                    found += file.read()
        return found

    def supervisor_pid(self) -> int:
        """PID of the running supervisor."""
        with self.connect() as connection:
            return connection.status().pid

    def keeper_pids(self) -> list[int]:
        """PIDs of keepers of this store."""
        return titled(f"holdall-keeper --root {self.paths.root}")

    def supervisor_pids(self) -> list[int]:
        """PIDs of supervisors of this store."""
        return titled(f"holdall-supervisor --root {self.paths.root}")

    def wait_gone(self) -> None:
        """Wait until neither supervisor nor keeper runs."""
        eventually(lambda: not self.supervisor_pids() and not self.keeper_pids())

    def close(self) -> None:
        """Stop every container and wait until nothing runs."""
        with self.connect() as connection:
            for one in connection.containers():
                connection.stop(one.id, timeout=0)
        self.wait_gone()

    def kill(self) -> None:
        """Kill what a failed test left running, and remove the store's cgroup."""
        from holdall.linux import cgroups
        from holdall.runtime import layers

        for pid in (*self.keeper_pids(), *self.supervisor_pids()):
            os.kill(pid, signal.SIGKILL)
        layers.clear(self.paths.layer_mounts)
        driver = cgroups.driver()
        for name in driver.leftovers(self.paths.cgroup, ()):
            group = driver.open(self.paths.cgroup, name)
            group.kill()
            group.remove()
        driver.remove_parent(self.paths.cgroup)


class Streams:
    """A container started (or attached to) with pipes for its output."""

    def __init__(self, connection: Connection, key: str, *, start: bool = True, stdin: bool = False) -> None:
        self.connection = connection
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        call = connection.start if start else connection.attach
        try:
            self.started = call(key, stdout=out_end, stderr=err_end, stdin=stdin)
        except BaseException:
            os.close(out)
            os.close(err)
            raise
        finally:
            os.close(out_end)
            os.close(err_end)
        self.fds = {out: b"", err: b""}
        self._out, self._err = out, err

    def finish(self) -> tuple[int | None, bytes, bytes]:
        """(exit code, stdout, stderr) once all has ended."""
        import select

        open_fds = set(self.fds)
        ended = None
        while open_fds or ended is None:
            watched = [*open_fds] + ([self.connection.fileno()] if ended is None else [])
            poller = select.poll()
            for fd in watched:
                poller.register(fd, select.POLLIN)
            events = poller.poll(SECONDS * 1000)
            assert events, "nothing happened"
            for fd, _mask in events:
                if fd == self.connection.fileno():
                    ended = self.connection.poll_exit()
                elif data := os.read(fd, 65536):
                    self.fds[fd] += data
                else:
                    open_fds.discard(fd)
        for fd in self.fds:
            os.close(fd)
        return ended.code, self.fds[self._out], self.fds[self._err]


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie that a slow init has not reaped yet."""
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return bool(file.read())
    except OSError:
        return False


def titled(title: str) -> list[int]:
    """PIDs of processes whose command line is exactly `title`, without children of such.

    A child bears its parent's title until it executes a container's program: whoever kills by title must not kill that.
    """
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    line = file.read().rstrip(b"\0").decode()
                if line == title:
                    with open(f"/proc/{name}/stat", "rb") as file:
                        parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
    return [pid for pid, parent in parents.items() if parent not in parents]


def eventually(condition: Any, seconds: float = SECONDS) -> None:
    """Wait for a condition. Raises AssertionError when it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)
