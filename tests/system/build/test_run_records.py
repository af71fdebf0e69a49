"""What stays of a build to be looked at: its record, what its steps printed, a shell in their files."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from fcntl import ioctl

import pytest

from holdall.testing.building import Workshop
from holdall.testing.command import COMMAND, busybox_available

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]


def test_the_record_says_what_made_which_layer(workshop: Workshop) -> None:
    workshop.fresh({"file": "x"})
    text = (
        "FROM bb AS made\nARG WHO=me\nWORKDIR /w\nCOPY file /w/\n"
        "RUN --mount=source=file,target=/f echo $WHO; echo error >&2; printf '\\001\\377raw'\nRUN true\n"
    )
    image = workshop.build(text, "-t", "recorded:1", "--target", "made")
    [head, first, *_] = workshop.store.run("builder", "history").splitlines()
    assert head.split()[:3] == ["ID", "STATUS", "CREATED"]
    assert first.split()[1] == "done"
    assert image.removeprefix("sha256:")[:12] in first
    lines = [
        json.loads(line) for line in workshop.store.run("builder", "history", "latest", "--format", "json").split("\n")
    ]
    steps = {line["line"].split()[0]: line for line in lines if line["number"]}
    run = next(line for line in lines if "--mount" in line["line"])
    assert run["inputs"]["env"][-1] == "WHO=me"
    assert run["inputs"]["below"] == run["stack"][:-1]
    assert run["diff_id"] == run["stack"][-1]
    assert run["digest"].startswith("sha256:")
    assert run["status"] == "done"
    assert steps["COPY"]["inputs"]["sources"] == ["file"]
    assert steps["COPY"]["key"]
    config = json.loads(workshop.store.run("image", "inspect", "recorded:1"))[0]
    assert config["RootFS"]["Layers"] == steps["RUN"]["stack"]


def test_every_byte_is_kept_and_shown(workshop: Workshop) -> None:
    workshop.fresh()
    text = "FROM bb\nRUN printf 'one\\r\\ntwo'; printf '\\001\\377raw\\n' >&2\n# {}\nRUN echo second\n"
    workshop.build(text)
    build = workshop.store.begin("build", "logs", "latest")
    out, err = build.communicate(timeout=60)
    assert out == b"one\r\ntwo\x01\xffraw\nsecond\n"
    assert b"RUN printf" in err
    # a step from the cache shows what it printed when it was made
    workshop.build(text)
    assert workshop.store.begin("builder", "logs").communicate(timeout=60)[0] == out
    number = next(
        line.split()[0]
        for line in workshop.store.run("builder", "history", "latest").splitlines()
        if "RUN echo" in line
    )
    assert workshop.store.run("build", "logs", "latest", number) == "second"


def peak_of(pid: int) -> int:
    """The most memory a process has had, in KiB. What wait4(2) says has that of its parent before the exec in it."""
    with open(f"/proc/{pid}/status") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("VmHWM")), 0)


def test_half_a_gigabyte_of_output_is_neither_clipped_nor_kept_in_memory(workshop: Workshop) -> None:
    workshop.fresh()
    megabytes = 500 if os.environ.get("HOLDALL_SOAK") else 60
    text = f"FROM bb\nRUN dd if=/dev/zero bs=1048576 count={megabytes} 2>/dev/null\n"
    build = subprocess.Popen(
        [*COMMAND, "--root", workshop.store.paths.root, "--run-root", workshop.store.paths.run_root, "build", "-q",
         "-f", workshop.write(text), workshop.context],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=workshop.store.environment(),
    )  # fmt: skip
    peak = 0
    while build.poll() is None:
        peak = max(peak, peak_of(build.pid))
        time.sleep(0.01)
    assert build.returncode == 0
    assert 10_000 < peak < 150_000, "KiB of the process that builds"
    record = workshop.store.run("builder", "history", "-q").split("\n")[0]
    [log] = [
        f"{folder}/{name}" for folder, _, names in os.walk(workshop.store.paths.root + "/builds") for name in names
        if record in folder and name.endswith(".log")
    ]  # fmt: skip
    assert os.stat(log).st_size == megabytes << 20


def test_failed_and_killed_builds_are_recorded_as_such(workshop: Workshop) -> None:
    workshop.fresh()
    workshop.fails("FROM bb\nRUN echo before; exit 3\n")
    said = workshop.store.attempt("build", "logs")
    assert said.stdout == "before\n"
    assert "exit code 3" in said.stderr
    build = workshop.begin("FROM bb\nRUN echo up; sleep 1000\n")
    assert build.stderr is not None
    seen = b""
    while b"| up" not in seen:
        seen += os.read(build.stderr.fileno(), 4096)
    assert workshop.store.run("builder", "history", "--format", "{{.Status}}").split("\n")[0] == "running"
    build.kill()
    build.communicate()
    states = workshop.store.run("builder", "history", "--format", "{{.Status}}").split("\n")
    assert states[:2] == ["interrupted", "failed"]
    assert workshop.store.run("build", "logs") == "up"
    workshop.rests()


def test_records_have_a_budget_and_are_pruned(workshop: Workshop) -> None:
    workshop.fresh()
    for number in range(3):
        workshop.build(
            f"FROM bb\nRUN dd if=/dev/zero bs=1048576 count=2 2>/dev/null # {number}\n",
            more={"HOLDALL_BUILD_RECORDS_BUDGET": "5MiB"},
        )
    assert len(workshop.store.run("builder", "history", "-q").split()) == 2
    workshop.store.run("builder", "prune", "-af")
    assert workshop.store.run("builder", "history", "-q") == ""
    assert "no record of a build" in workshop.store.attempt("build", "logs").stderr


def test_a_folder_called_logs_can_still_be_built(workshop: Workshop) -> None:
    workshop.fresh({"logs/Dockerfile": "FROM bb\n"})
    done = subprocess.run(
        [*COMMAND, "--root", workshop.store.paths.root, "--run-root", workshop.store.paths.run_root, "build", "logs"],
        cwd=workshop.context, capture_output=True, text=True, env=workshop.store.environment(), check=True,
    )  # fmt: skip
    assert done.stdout.startswith("sha256:")


class Terminal:
    """A real terminal with `holdall` on it."""

    def __init__(self, workshop: Workshop, *words: str) -> None:
        paths = workshop.store.paths
        self.master, slave = pty.openpty()
        ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
        self.process = subprocess.Popen(
            [*COMMAND, "--root", paths.root, "--run-root", paths.run_root, *words], stdin=slave, stdout=slave,
            stderr=slave, start_new_session=True, env=workshop.store.environment(),
        )  # fmt: skip
        os.close(slave)
        self.seen = b""

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def expect(self, pattern: bytes, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, f"{pattern!r} never came: {self.seen!r}"
            try:
                self.seen += os.read(self.master, 4096)
            except OSError as err:
                raise AssertionError(f"{pattern!r} never came: {self.seen!r}") from err
        self.seen = re.split(pattern, self.seen, maxsplit=1)[1]

    def close(self) -> tuple[int, bytes]:
        """Wait for the end, reading on; the exit code and what was still said."""
        try:
            while data := os.read(self.master, 4096):
                self.seen += data
        except OSError:
            pass
        code = self.process.wait(30)
        os.close(self.master)
        return code, self.seen


FAILING = """
FROM bb
ENV KIND=of
WORKDIR /here
RUN echo before > /here/before
RUN --mount=type=cache,id=shell,target=/c --mount=type=secret,id=s \\
    echo half > /here/half; echo kept > /c/kept; echo fa''iled; exit 9
"""


@pytest.mark.parametrize("progress", ["plain", "tty"])
def test_a_shell_in_the_files_of_a_failed_step(workshop: Workshop, progress: str) -> None:
    workshop.fresh({"secret": "very-secret-value\n"})
    secret = f"id=s,src={workshop.context}/secret"
    words = ("build", "--progress", progress, "--on-fail", "shell", "--secret", secret, "-f", workshop.write(FAILING))
    terminal = Terminal(workshop, *words, workshop.context)
    terminal.expect(rb"this shell:\r\n")
    begun = time.monotonic()
    terminal.type(b"cat before half /c/kept; pwd; echo kind-$KIND; stty size; cat /run/secrets/s | busybox wc -c\n")
    terminal.expect(rb"before\r\nhalf\r\nkept\r\n/here\r\nkind-of\r\n31 97\r\n18\r\n")
    # the goal is a second; the machine may be busy
    assert time.monotonic() - begun < 5
    terminal.type(b"echo more > /c/more; exit\n")
    code, said = terminal.close()
    assert code == 1
    assert b"exit code 9" in said
    assert b">>> RUN --mount" in said
    workshop.rests()
    kept = workshop.build(
        "FROM bb\nRUN --mount=type=cache,id=shell,target=/c cat /c/kept /c/more > /kept\n", "--no-cache"
    )
    assert workshop.shown(kept, "cat", "/kept").split() == ["kept", "more"]


def test_no_shell_where_there_is_none(workshop: Workshop) -> None:
    workshop.fresh({"file": "x"})
    text = 'FROM scratch\nCOPY file /\nRUN ["/no"]\n'
    terminal = Terminal(workshop, "build", "--on-fail", "shell", "-f", workshop.write(text), workshop.context)
    terminal.expect(rb"cannot open a shell: there is no shell in these files: no /bin/sh")
    code, said = terminal.close()
    assert code == 1
    assert b"/no" in said
    workshop.rests()


def test_without_a_terminal_no_shell_is_waited_for(workshop: Workshop) -> None:
    workshop.fresh()
    said = workshop.fails("FROM bb\nRUN exit 9\n", "--on-fail", "shell")
    assert "no shell will be opened" in said
    assert "exit code 9" in said
    assert "invalid value" in workshop.fails("FROM bb\n", "--on-fail", "what")


def test_any_step_can_be_entered(workshop: Workshop) -> None:
    workshop.fresh({"file": "x\n"})
    text = "FROM bb\nENV A=b\nWORKDIR /w\nCOPY file /w/\nRUN echo one > one\nRUN echo two > two\n"
    workshop.build(text)
    lines = [
        json.loads(line) for line in workshop.store.run("builder", "history", "latest", "--format", "json").split("\n")
    ]
    run = next(line for line in lines if "echo one" in line["line"])
    copy = next(line for line in lines if "COPY" in line["line"])
    shown = workshop.store.run("builder", "shell", str(run["id"]), "sh", "-c", "echo *; pwd; echo $A; echo lost > x")
    assert shown.split("\n") == ["file one", "/w", "b"]
    assert workshop.store.run("builder", "shell", copy["key"][:10], "sh", "-c", "echo *") == "file"
    assert workshop.store.attempt("builder", "shell", copy["key"], "sh", "-c", "exit 4").returncode == 4
    said = workshop.store.attempt("builder", "shell", str(run["id"])).stderr
    assert "needs a terminal" in said
    terminal = Terminal(workshop, "builder", "shell", str(run["id"]))
    terminal.type(b"echo is-$(cat one); exit 5\n")
    terminal.expect(rb"is-one\r\n")
    assert terminal.close()[0] == 5
    assert "no step" in workshop.store.attempt("builder", "shell", "999").stderr
    workshop.rests()
