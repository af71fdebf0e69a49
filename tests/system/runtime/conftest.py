"""A rig that runs real containers over a small root: the host's /usr bound read-only, everything else from a layer."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdall.errors import HoldallError
from holdall.oci.runtime_spec import Mount, ProcessSpec
from holdall.runtime import bundle, create, status
from holdall.runtime import exec as runtime_exec
from holdall.runtime.launch import Directory, Join, Launch, Overlay, Stdio
from holdall.runtime.process import Process

PASSWD = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
GROUP = "root:x:0:\ntty:x:5:\nstaff:x:50:alice\nalice:x:1000:\nextra:x:77:\n"
USR = Mount("/usr", "bind", "/usr", ("rbind", "ro"))
DEADLINE = 20.0


class Result:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str, messages: list[Any]) -> None:
        self.code, self.out, self.err, self.messages = code, out, err, messages

    @property
    def error(self) -> HoldallError:
        (failed,) = [message for message in self.messages if isinstance(message, status.Failed)]
        return failed.error

    @property
    def warnings(self) -> list[str]:
        return [message.text for message in self.messages if isinstance(message, status.Warned)]


class Running:
    """A process under way, with pipes or a terminal at its streams."""

    def __init__(self, process: Process, fds: dict[str, int]) -> None:
        self.process = process
        self.fds = fds
        self.data: dict[str, bytes] = {"out": b"", "err": b"", "tty": b""}
        self.messages: list[Any] = []
        self.ended: int | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    def started(self) -> bool:
        return any(isinstance(message, status.Started) for message in self.messages)

    def write(self, text: str) -> None:
        os.write(self.fds["tty"] if "tty" in self.fds else self.fds["in"], text.encode())

    def close_stdin(self) -> None:
        os.close(self.fds.pop("in"))

    def kill(self, number: int) -> None:
        signal.pidfd_send_signal(self.process.pidfd, number)

    def pump(self, seconds: float) -> None:
        """Read what there is; returns after something happened or the time is over."""
        poll = select.poll()
        for name in ("out", "err", "tty"):
            if name in self.fds:
                poll.register(self.fds[name], select.POLLIN)
        if self.process.status.fileno() >= 0:
            poll.register(self.process.status, select.POLLIN)
        if self.ended is None:
            poll.register(self.process.pidfd, select.POLLIN)
        ready = {fd for fd, _events in poll.poll(seconds * 1000)}
        for name in ("out", "err", "tty"):
            if self.fds.get(name) in ready:
                self._read(name)
        if self.process.status.fileno() in ready:
            self._status()
        if self.ended is None and self.process.pidfd in ready:
            info = os.waitid(os.P_PIDFD, self.process.pidfd, os.WEXITED)
            assert info is not None
            self.ended = info.si_status if info.si_code == os.CLD_EXITED else 128 + info.si_status

    def _read(self, name: str) -> None:
        try:
            piece = os.read(self.fds[name], 65536)
        except OSError:
            piece = b""
        self.data[name] += piece
        if not piece:
            os.close(self.fds.pop(name))

    def _status(self) -> None:
        for message in status.read(self.process):
            if isinstance(message, status.Terminal):
                self.fds["tty"] = message.fd
            else:
                self.messages.append(message)
            if isinstance(message, (status.Started, status.Failed)):
                self.process.close_status()

    def until(self, condition: Any) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, (self.data, self.messages, self.ended)
            self.pump(0.5)

    def until_output(self, text: str, name: str = "out") -> None:
        self.until(lambda: text.encode() in self.data[name])

    def wait(self) -> Result:
        self.until(lambda: self.ended is not None and not {"out", "err", "tty"} & self.fds.keys()
                   and self.process.status.fileno() < 0)  # fmt: skip
        assert self.ended is not None
        out = self.data["out"] + self.data["tty"].replace(b"\r\n", b"\n")
        return Result(self.ended, out.decode(), self.data["err"].decode(), self.messages)

    def close(self) -> None:
        if self.ended is None:
            self.process.abort()
            os.waitid(os.P_PIDFD, self.process.pidfd, os.WEXITED)
        self.process.close()
        for fd in self.fds.values():
            os.close(fd)


class Rig:
    """Makes containers in a temporary folder."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.lower = base / "lower"
        self.upper = base / "upper"
        self.bundle = base / "bundle"
        for folder in (self.lower, self.upper, self.bundle, base / "work"):
            folder.mkdir()
        for name in ("usr", "etc", "proc", "sys", "dev", "root", "home/alice"):
            (self.lower / name).mkdir(parents=True)
        (self.lower / "tmp").mkdir()
        (self.lower / "tmp").chmod(0o1777)
        for name in ("bin", "lib", "lib64", "sbin"):
            (self.lower / name).symlink_to(f"usr/{name}")
        (self.lower / "etc/passwd").write_text(PASSWD)
        (self.lower / "etc/group").write_text(GROUP)
        self.open: list[Running] = []

    @property
    def overlay(self) -> Overlay:
        return Overlay((str(self.lower),), str(self.upper), str(self.base / "work"))

    def launch(self, args: tuple[str, ...], launch: dict[str, Any], **wishes: Any) -> Launch:
        mounts = (USR, *wishes.pop("mounts", ()))
        spec = bundle.build(bundle.Wishes(args=args, mounts=mounts, **wishes))
        return Launch(**{"bundle": str(self.bundle), "spec": spec, "rootfs": self.overlay, **launch})

    def start(self, *args: str, launch: dict[str, Any] | None = None, proceed: bool = True, **wishes: Any) -> Running:
        return self.start_launch(self.launch(args, launch or {}, **wishes), proceed=proceed)

    def start_launch(self, launch: Launch, *, proceed: bool = True) -> Running:
        return self._started(lambda stdio: create.spawn(launch, stdio), launch.spec.process.terminal, proceed)

    def exec(self, target: Running, spec: ProcessSpec, *, proceed: bool = True, **join: Any) -> Running:
        def spawn(stdio: Stdio | None) -> Process:
            return runtime_exec.spawn_exec(Join(target.pid, target.process.pidfd, spec, **join), stdio)

        return self._started(spawn, spec.terminal, proceed)

    def _started(self, spawn: Any, terminal: bool, proceed: bool) -> Running:
        if terminal:
            running = Running(spawn(None), {})
        else:
            (in_r, in_w), (out_r, out_w), (err_r, err_w) = os.pipe(), os.pipe(), os.pipe()
            try:
                running = Running(spawn(Stdio(in_r, out_w, err_w)), {"in": in_w, "out": out_r, "err": err_r})
            except BaseException:
                for fd in (in_w, out_r, err_r):
                    os.close(fd)
                raise
            finally:
                for fd in (in_r, out_w, err_w):
                    os.close(fd)
        self.open.append(running)
        if proceed:
            running.process.proceed()
        return running

    def run(self, *args: str, launch: dict[str, Any] | None = None, **wishes: Any) -> Result:
        """Start and wait."""
        return self.start(*args, launch=launch, **wishes).wait()

    def sh(self, script: str, **wishes: Any) -> str:
        """Standard output of a shell script that must succeed."""
        result = self.run("sh", "-ec", script, **wishes)
        assert result.code == 0, (result.code, result.err, result.messages)
        return result.out

    def close(self) -> None:
        for running in reversed(self.open):  # PID 1 cannot end before the processes that joined it are reaped
            running.close()


def descriptors() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
    return {entry for entry in found if "/proc/" not in entry}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """The rig; afterwards no mount, process or descriptor may be left."""
    before = descriptors()
    names = {
        kind: os.readlink(f"/proc/thread-self/ns/{kind}") for kind in ("pid", "net", "mnt", "uts", "ipc", "cgroup")
    }
    children = os.readlink("/proc/thread-self/ns/pid_for_children")
    made = Rig(tmp_path)
    yield made
    made.close()
    left = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(tmp_path) in line]
    assert not left
    assert descriptors() <= before
    assert {kind: os.readlink(f"/proc/thread-self/ns/{kind}") for kind in names} == names
    assert os.readlink("/proc/thread-self/ns/pid_for_children") == children


@pytest.fixture
def directory_root(rig: Rig) -> Directory:
    return Directory(str(rig.lower))
