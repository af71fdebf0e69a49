"""The warm process does what the cold command does, as the caller, and dies with its caller."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.testing.command import COMMAND, CommandStore
from holdall.testing.supervised import eventually

pytestmark = pytest.mark.root


class Warm:
    """`holdall` with its warm process up."""

    def __init__(self, cli) -> None:  # type: ignore[no-untyped-def]
        self.environ = dict(cli.environ, HOLDALL_WARM="1")
        self.cli = cli

    def __call__(self, *words: str, **more: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.cli.argv(*words), env=self.environ, capture_output=True, text=True, timeout=60, **more
        )  # type: ignore[call-overload,no-any-return]

    @property
    def pid(self) -> int:
        """The warm process' pid, 0 when there is none."""
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                line = Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
            if line.startswith(b"holdall-warm --root " + os.fsencode(str(self.cli.root))):
                return int(entry)
        return 0


@pytest.fixture
def warm(cli, name):  # type: ignore[no-untyped-def]
    found = Warm(cli)
    assert found("run", "-d", "--name", name, "--network", "none", "bb", "sleep", "100").returncode == 0
    end = time.monotonic() + 15
    while not found.pid:
        assert time.monotonic() < end, "no warm process came up"
        time.sleep(0.05)
    time.sleep(0.5)
    return found


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_output_codes_folder_and_environment(warm, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("")
    pid = warm.pid
    script = "ls /w; echo $SEEN; exit 6"
    done = warm("run", "--rm", "--network", "none", "-e", "SEEN", "-v", ".:/w", "bb", "sh", "-c", script,
                cwd=tmp_path)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (6, "here\n\n", "")
    warm.environ["SEEN"] = "yes"
    assert "yes" in warm("run", "--rm", "--network", "none", "-e", "SEEN", "bb", "env").stdout
    wrong = warm("run", "--nosuch", "bb")
    assert wrong.returncode == 125
    assert "--nosuch" in wrong.stderr
    assert warm.pid == pid


def test_standard_input(warm) -> None:
    done = warm("run", "--rm", "-i", "--network", "none", "bb", "cat", input="through\n")
    assert done.stdout == "through\n"


def test_a_signal_reaches_the_container(warm) -> None:
    script = "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    words = warm.cli.argv("run", "--rm", "--network", "none", "bb", "sh", "-c", script)
    process = subprocess.Popen(words, env=warm.environ, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == b"got\n"
    assert process.wait(10) == 3
    process.stdout.close()


def test_a_signal_that_ends_the_command_ends_its_caller(warm, name) -> None:
    eventually(lambda: len(children(warm.pid)) == 1)
    process = subprocess.Popen(warm.cli.argv("wait", name), env=warm.environ, stderr=subprocess.PIPE)
    # its handlers are there when it has taken over
    eventually(lambda: len(children(warm.pid)) == 2)
    eventually(lambda: caught(process.pid, signal.SIGTERM))
    # timeout(1) sends both
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=20)[1] == b""
    assert process.returncode == -signal.SIGTERM


def caught(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal: proc(5)."""
    found = re.search(r"^SigCgt:\s+(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)


def test_the_worker_dies_with_its_caller(warm, name) -> None:
    eventually(lambda: len(children(warm.pid)) == 1)
    process = subprocess.Popen(warm.cli.argv("logs", "-f", name), env=warm.environ, stdout=subprocess.DEVNULL)
    # the one that has the command, and the next spare
    eventually(lambda: len(children(warm.pid)) == 2)
    time.sleep(0.2)
    process.kill()
    process.wait()
    eventually(lambda: len(children(warm.pid)) == 1)


def test_a_spare_that_died_is_replaced(warm, name) -> None:
    (spare,) = children(warm.pid)
    os.kill(spare, signal.SIGKILL)
    eventually(lambda: children(warm.pid) not in ([], [spare]))
    before = children(warm.pid)
    assert name in warm("ps").stdout
    eventually(lambda: len(children(warm.pid)) == 1 and children(warm.pid) != before)


def test_many_callers_at_once_are_all_served(warm, name) -> None:
    words = warm.cli.argv("inspect", "--format", "{{.Name}}", name)
    callers = [subprocess.Popen(words, env=warm.environ, stdout=subprocess.PIPE, text=True) for _ in range(20)]
    assert {caller.communicate(timeout=60)[0] for caller in callers} == {f"/{name}\n"}
    eventually(lambda: len(children(warm.pid)) == 1)


def test_the_spare_goes_with_its_warm_process(warm) -> None:
    (spare,) = children(warm.pid)
    os.kill(warm.pid, signal.SIGKILL)
    eventually(
        lambda: not os.path.exists(f"/proc/{spare}") or "\nState:\tZ" in Path(f"/proc/{spare}/status").read_text()
    )


def test_killed_or_not_commands_work(warm) -> None:
    os.kill(warm.pid, signal.SIGKILL)
    assert warm("ps").returncode == 0
    again = warm("run", "--rm", "--network", "none", "bb", "echo", "still")
    assert again.stdout == "still\n"


def test_another_mount_namespace_is_turned_away(warm, tmp_path: Path) -> None:
    script = f'mount -t tmpfs x {tmp_path} && touch {tmp_path}/inside && exec "$@"'
    words = warm.cli.argv("run", "--rm", "--network", "none", "-v", f"{tmp_path}:/w", "bb", "ls", "/w")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *words], env=warm.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # the supervisor mounts in its own namespace: what matters is that the command was not refused or lost


@pytest.mark.parametrize("options", [(), ("-m",), ("-n",), ("-p", "-f"), ("-U", "-r")])
def test_only_callers_in_the_same_namespaces_are_served(warm, options: tuple[str, ...]) -> None:
    code = "import sys; from holdall.cli import entry; print(entry.try_warm(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "ps", "-q"]
    done = subprocess.run(["unshare", *options, *words] if options else words, env=warm.environ, capture_output=True)
    assert done.stdout.splitlines()[-1:] == [b"None" if options else b"0"], done.stderr


def test_it_goes_with_the_supervisor(warm, name) -> None:
    pid = warm.pid
    assert warm("rm", "-f", name).returncode == 0
    end = time.monotonic() + 20
    while os.path.exists(f"/proc/{pid}") and re.search(
        r"^State:\s+[^Z]", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE
    ):
        assert time.monotonic() < end, "the warm process outlived the supervisor"
        time.sleep(0.1)


def test_it_can_be_turned_off(warm) -> None:
    environ = dict(warm.environ, HOLDALL_WARM="0")
    code = "import sys; from holdall.cli import entry; sys.exit(0 if entry.try_warm(['ps']) is None else 1)"
    assert subprocess.run([sys.executable, "-c", code], env=environ).returncode == 0


@pytest.fixture
def short() -> Iterator[str]:
    """A folder whose name is short enough for sockets below it."""
    with tempfile.TemporaryDirectory(prefix="hd-warm-") as path:
        yield path


def test_it_stays_a_while_after_a_build_and_no_longer(tmp_path: Path, short: str) -> None:
    store = CommandStore(short)
    environ = store.environment(more={"HOLDALL_WARM": "1", "HOLDALL_WARM_GRACE": "3"})
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")

    def build() -> str:
        words = [
            "--root",
            store.paths.root,
            "--run-root",
            store.paths.run_root,
            "build",
            "-q",
            str(tmp_path / "context"),
        ]
        return subprocess.run([*COMMAND, *words], env=environ, check=True, capture_output=True, text=True).stdout

    try:
        first = build()
        eventually(lambda: store.processes("warm") != [])
        (pid,) = store.processes("warm")
        assert store.processes("supervisor") == []
        time.sleep(0.5)
        assert build() == first
        assert store.processes("warm") == [pid]
        eventually(lambda: store.processes("warm") == [], 30)
        build()
        eventually(lambda: store.processes("warm") != [])
    finally:
        store.close()
    eventually(lambda: store.processes("warm") == [], 30)
