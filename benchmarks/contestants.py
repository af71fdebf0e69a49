"""The engines that are compared, each with a store of its own below one folder and a way to take it all away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

IMAGE = "busy"
KEPT = "kept"
LIMITS = '[containers]\ndefault_ulimits = ["nofile=1024:2048", "nproc=1024:2048"]\n'
"""What podman asks for by default is above the hard limits where CAP_SYS_RESOURCE is missing."""
SECONDS = 300.0
PAUSE = 0.15


class CommandFailed(Exception):
    """A command that had to work did not; the text holds its words and what it said."""


class Contestant:
    """An engine behind a docker-compatible command line."""

    name = ""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.prefix: list[str] = []
        self.environment: dict[str, str] = dict(os.environ)
        self.run_options: list[str] = []
        self.remove_options: list[str] = []
        os.makedirs(folder)

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command whose output nobody wants."""
        null = subprocess.DEVNULL
        return subprocess.Popen([*self.prefix, *words], stdin=null, stdout=null, stderr=null, env=self.environment)

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and keep what it said."""
        return subprocess.run(
            [*self.prefix, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=SECONDS,
        )

    def output(self, *words: str) -> str:
        """Standard output of a command that has to work. Raises CommandFailed."""
        done = self.attempt(*words)
        if done.returncode:
            raise CommandFailed(f"{' '.join([*self.prefix, *words])}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def run_words(self, network: str, *options: str) -> tuple[str, ...]:
        """The words of `run` up to the image."""
        return ("run", *options, *self.run_options, "--network", network, IMAGE)

    def open(self, tar: str) -> None:
        """Bring the engine up with the image and one running container."""
        self.output("import", tar, IMAGE)
        self.keep_one()

    def keep_one(self) -> None:
        """Start the container that runs all the time."""
        self.output(*self.run_words("none", "-d", "--name", KEPT), "sleep", "100000")

    def settle(self) -> None:
        """Wait for what goes on behind a command that has ended, so that it does not burden the next contestant."""
        time.sleep(PAUSE)

    def processes(self) -> list[int]:
        """PIDs of the engine's own processes: those whose command line names its folder."""
        return naming(self.folder)

    def facts(self) -> str:
        """Version and drivers, for the report."""
        return ""

    def close(self) -> None:
        """Remove the containers and end the engine's processes."""


class Holdall(Contestant):
    """A store with a running container: its supervisor is up. With `warm` the command line's warm process is too."""

    def __init__(self, folder: str, *, name: str, warm: bool, grace: str = "5") -> None:
        super().__init__(folder)
        self.name = name
        self.warm = warm
        command = os.path.join(os.path.dirname(sys.executable), "holdall")
        self.prefix = [command, "--root", folder + "/root", "--run-root", folder + "/run"]
        self.environment["HOLDALL_SUPERVISOR_GRACE"] = grace
        self.environment.pop("HOLDALL_WARM", None)
        if not warm:
            self.environment["HOLDALL_WARM"] = "0"

    def open(self, tar: str) -> None:
        super().open(tar)
        if self.warm:
            wait_until(lambda: any(title(pid).startswith("holdall-warm") for pid in self.processes()))
            time.sleep(1)  # it imports its modules

    def facts(self) -> str:
        return f"{self.output('--version').strip()}, Python {sys.version.split()[0]}"

    def close(self) -> None:
        self.output("system", "reset", "--force")
        wait_until(lambda: not self.processes())


class ColdHoldall(Holdall):
    """A store of which nothing runs when a command starts."""

    def __init__(self, folder: str, *, name: str) -> None:
        super().__init__(folder, name=name, warm=False, grace="0.1")
        self.environment.pop("HOLDALL_WARM")

    def open(self, tar: str) -> None:
        self.output("import", tar, IMAGE)
        self.settle()

    def settle(self) -> None:
        wait_until(lambda: not self.processes())
        super().settle()


class Podman(Contestant):
    """podman with crun, its default, or with runc where crun does not accept the machine's cgroups."""

    name = "podman"

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        with open(folder + "/containers.conf", "w") as file:
            file.write(LIMITS)
        self.environment["CONTAINERS_CONF"] = folder + "/containers.conf"
        self.prefix = ["podman", "--root", folder + "/root", "--runroot", folder + "/run", "--tmpdir", folder + "/tmp"]
        self.prefix += ["--cgroup-manager=cgroupfs", "--runtime", "crun"]
        self.run_options = ["--cgroup-parent", "/" + cgroup_of(folder)]
        # else it waits ten seconds for a container that ignores SIGTERM; the others kill at once
        self.remove_options = ["-t", "0"]

    def open(self, tar: str) -> None:
        self.output("import", tar, IMAGE)
        if self.attempt(*self.run_words("none", "--rm"), "true").returncode:
            self.prefix[-1] = "/usr/sbin/runc"
        self.keep_one()

    def facts(self) -> str:
        form = "{{.Version.Version}}, {{.Host.OCIRuntime.Name}}, {{.Host.NetworkBackend}}, {{.Store.GraphDriverName}}"
        return "podman " + self.output("info", "--format", form).strip()

    def close(self) -> None:
        # not `podman system reset`: it also deletes what the configuration of the machine's own podman names
        self.output("rm", "-f", "-t", "0", "-a")
        wait_until(lambda: not self.processes())


class Docker(Contestant):
    """docker with a daemon of its own."""

    name = "docker"

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.prefix = ["docker", "-H", f"unix://{folder}/sock"]
        self.daemon: subprocess.Popen[bytes] | None = None

    def open(self, tar: str) -> None:
        words = ["--data-root", self.folder + "/data", "--exec-root", self.folder + "/exec"]
        words += ["--pidfile", self.folder + "/pid", "-H", f"unix://{self.folder}/sock"]
        words += ["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", "/" + cgroup_of(self.folder)]
        with open(self.folder + "/log", "wb") as log:
            self.daemon = subprocess.Popen(["/usr/sbin/dockerd", *words], stdout=log, stderr=log)
        wait_until(lambda: self.attempt("info").returncode == 0, step=0.2)
        super().open(tar)

    def facts(self) -> str:
        form = "{{.ServerVersion}}, {{.DefaultRuntime}}, {{.Driver}}, cgroup v{{.CgroupVersion}}"
        return "docker " + self.output("info", "--format", form).strip()

    def close(self) -> None:
        if self.daemon is None:
            return
        left = self.attempt("ps", "-aq").stdout.split()
        if left:
            self.attempt("rm", "-f", *left)
        self.daemon.terminate()
        self.daemon.wait(60)
        wait_until(lambda: not self.processes())


def cgroup_of(folder: str) -> str:
    """Name of the cgroup, in each hierarchy, below which a peer puts its containers."""
    return folder.strip("/").replace("/", "-")


def title(pid: int) -> str:
    """A process's command line; empty when it has gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def naming(folder: str) -> list[int]:
    """PIDs of the processes whose command line has something below `folder`."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and folder + "/" in title(int(name))]


def wait_until(condition, seconds: float = 60, step: float = 0.01) -> None:
    """Ask until it is so. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not so after {seconds:g} s")
        time.sleep(step)


def is_cgroup(path: str) -> bool:
    """Whether this is a folder of a cgroup hierarchy."""
    return os.path.exists(path + "/cgroup.procs")


def sweep(folder: str) -> list[str]:
    """Take away whatever is left below `folder`: processes, mounts, cgroups, files. Says what had to be forced."""
    forced = []
    for pid in naming(folder):
        forced.append(f"process {pid}: {title(pid)}")
        os.kill(pid, signal.SIGKILL)
    with open("/proc/self/mountinfo") as file:
        places = [line.split(" ")[4] for line in file]
    for place in reversed([place for place in places if place.startswith(folder)]):
        subprocess.run(["umount", "-l", place], stderr=subprocess.DEVNULL)
    top = "/sys/fs/cgroup"
    mine = cgroup_of(folder)
    hierarchies = [path for path in (top, *[f"{top}/{name}" for name in os.listdir(top)]) if is_cgroup(path)]
    for parent in hierarchies:
        for name in [name for name in os.listdir(parent) if name.startswith(mine)]:
            for path, _, _ in os.walk(f"{parent}/{name}", topdown=False):
                try:
                    os.rmdir(path)
                except OSError as error:
                    forced.append(f"cgroup {path}: {error.strerror}")
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.exists(folder):
        forced.append(f"files in {folder}")
    return forced
