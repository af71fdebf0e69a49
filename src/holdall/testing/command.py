"""A store driven by the command line alone, each command a process of its own: for tests of the whole."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zlib

from holdall.paths import Paths
from holdall.testing.supervised import titled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

BUSYBOX = "/bin/busybox"
APPLETS = ("sh", "sleep", "echo", "cat", "true", "date", "printf", "httpd", "nc", "touch", "dd")
SECONDS = 60.0
COMMAND = (sys.executable, "-c", "from holdall.cli.entry import run; run()")


def busybox_available() -> bool:
    """Whether the host has a static busybox (busybox-static)."""
    return os.path.exists(BUSYBOX) and os.geteuid() == 0


def busybox_tar(path: str) -> str:
    """Write the tar of a root file system with nothing but busybox; returns `path`."""
    with tempfile.TemporaryDirectory(prefix="holdall-busybox-") as folder:
        os.makedirs(folder + "/bin")
        os.mkdir(folder + "/www")
        shutil.copy(BUSYBOX, folder + "/bin/busybox")
        for name in APPLETS:
            os.symlink("busybox", f"{folder}/bin/{name}")
        subprocess.run(["tar", "-C", folder, "-cf", path, "."], check=True)
    return path


class CommandStore:
    """One store in a folder of its own. `close` ends everything in it, with `system reset` and then by force."""

    def __init__(self, folder: str, *, warm: bool = False, driver: str = "") -> None:
        self.folder = folder
        self._driver = {"HOLDALL_DRIVER": driver} if driver else {}
        self.paths = Paths(folder + "/root", folder + "/run")
        self._warm = warm

    def environment(self, *, warm: bool | None = None, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a command gets."""
        return {
            **os.environ,
            "HOLDALL_WARM": "1" if (self._warm if warm is None else warm) else "0",
            "HOLDALL_SUPERVISOR_GRACE": "2",
            "COLUMNS": "200",
            **self._driver,
            **(more or {}),
        }

    def begin(
        self,
        *words: str,
        warm: bool | None = None,
        stdin: BinaryIO | None = None,
        more: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command with pipes for its output; `more` is for its environment."""
        return subprocess.Popen(
            [*COMMAND, "--root", self.paths.root, "--run-root", self.paths.run_root, *words],
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(warm=warm, more=more),
        )

    def attempt(self, *words: str, warm: bool | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever that is."""
        return finish(self.begin(*words, warm=warm))

    def run(self, *words: str, warm: bool | None = None) -> str:
        """Run a command that must succeed; its standard output without the last newline."""
        done = self.attempt(*words, warm=warm)
        assert done.returncode == 0, f"{words}: exit {done.returncode}: {done.stderr}"
        return done.stdout.removesuffix("\n")

    def processes(self, kind: str) -> list[int]:
        """PIDs of this store's processes: `kind` is "supervisor", "keeper" or "warm"."""
        return titled(f"holdall-{kind} --root {self.paths.root}")

    def log_of_supervisor(self) -> str:
        """What the supervisors said."""
        try:
            with open(self.paths.run_root + "/supervisor.log") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def debris(self, running: Sequence[str] = ()) -> list[str]:
        """What of this store is on the host beyond what the containers with these IDs need: mounts, cgroups, links.

        Mounts of layers are the supervisor's as long as there is one.
        """
        layers = self.paths.layer_mounts + "/" if self.processes("supervisor") else "\n"
        with open("/proc/self/mountinfo", errors="surrogateescape") as file:
            places = [line.split(" ")[4] for line in file if self.folder in line]
        found = [f"mount {place}" for place in places if not place.startswith(layers)]
        for top in ("", *os.listdir("/sys/fs/cgroup")):
            place = f"/sys/fs/cgroup/{top}/{self.paths.cgroup}"
            if os.path.isdir(place):
                names = [entry.name for entry in os.scandir(place) if entry.is_dir()]
                found += [f"cgroup {top}/{name}" for name in names if name not in running]
        return found

    def links(self) -> list[str]:
        """Names of the store's network interfaces on the host: its bridge and the host ends of pairs."""
        prefixes = (f"hd-{self.paths.key}", f"hd{self.paths.key[:4]}")
        return [name for name in os.listdir("/sys/class/net") if name.startswith(prefixes)]

    def close(self) -> None:
        """End and remove everything. Raises AssertionError when the store itself could not."""
        try:
            done = self.attempt("system", "reset", "--force")
        finally:
            self._kill()
        assert done.returncode == 0, done.stderr
        left = [*self.debris(), *self.links()]
        assert left == []

    def _kill(self) -> None:
        from holdall.linux import cgroups
        from holdall.runtime import layers

        for kind in ("keeper", "supervisor", "warm"):
            for pid in self.processes(kind):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        layers.clear(self.paths.layer_mounts)
        driver = cgroups.driver()
        for name in driver.leftovers(self.paths.cgroup, ()):
            group = driver.open(self.paths.cgroup, name)
            group.kill()
            group.remove()


def finish(process: subprocess.Popen[bytes], seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
    """Wait for a command and collect what it said. Raises TimeoutExpired after killing it."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out.decode(), err.decode())


def identifiers(text: str) -> list[str]:
    """The full container IDs that stand alone on whole lines of a command's output."""
    return re.findall(r"^([0-9a-f]{64})\n", text, re.MULTILINE)


def seed(text: str) -> int:
    """A number for random.Random from a name."""
    return zlib.crc32(text.encode())
