"""The command line of a build: the live view on a terminal, verify, checks, files that tell of the result."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import termios
import time
from typing import TYPE_CHECKING

import pytest

from holdall.testing.building import Workshop
from holdall.testing.command import COMMAND, busybox_available

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]

SECONDS = 60.0
TEXT = """
FROM bb AS first
RUN for i in 1 2 3 4 5 6 7 8 9; do echo "first line $i, which is longer than what a narrow terminal holds"; done; \
    sleep {0}; {1}
FROM bb AS second
RUN echo second is up; sleep {0}; {1}
FROM bb
COPY --from=first / /first
COPY --from=second / /second
CMD echo hi
"""


class Screen:
    """What a terminal shows of what is written to it: the few sequences that the view uses, and scrolling."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.lines = [""]
        self.row = 0
        self.column = 0
        self.cursor = True

    def feed(self, text: str) -> None:
        for token in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|[^\x1b]", text, re.DOTALL):
            self._token(token)

    def _token(self, token: str) -> None:
        if token.startswith("\x1b["):
            body, kind = token[2:-1], token[-1]
            if kind == "A":
                # the screen's upper border stops the cursor
                self.row = max(self.row - int(body or 1), len(self.lines) - self.rows, 0)
            elif kind == "K":
                self.lines[self.row] = self.lines[self.row][: self.column]
            elif kind == "J":
                del self.lines[self.row + 1 :]
                self.lines[self.row] = self.lines[self.row][: self.column]
            elif body == "?25":
                self.cursor = kind == "h"
            else:
                assert kind == "m" or body == "?2026", token
        elif token == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        elif token == "\r":
            self.column = 0
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + token + line[self.column + 1 :]
            self.column += 1
            assert self.column <= self.columns, f"a line is too wide: {self.lines[self.row]!r}"


class Terminal:
    """A build on a terminal of its own."""

    def __init__(self, workshop: Workshop, text: str, *options: str, columns: int = 80, rows: int = 24) -> None:
        path = workshop.write(text, f"Dockerfile-{os.urandom(4).hex()}")
        paths = workshop.store.paths
        argv = [*COMMAND, "--root", paths.root, "--run-root", paths.run_root, "build", "-f", path, *options]
        environment = {**workshop.store.environment(), "TERM": "xterm-256color", "PYTHONUTF8": "1"}
        environment.pop("NO_COLOR", None)
        environment.pop("BUILDKIT_PROGRESS", None)
        self.screen = Screen(columns, rows)
        self.raw = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], [*argv, workshop.context], environment)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, word: str | None) -> str:
        """Read until the screen has had this word, None: until the end; all that is on it and above."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if word is not None and word in "\n".join(self.screen.lines):
                break
            if not select.select([self.fd], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                break
            self.raw += data
            # what the command prints after the view may be wider
            self.screen.feed(data.decode(errors="replace"))
        return "\n".join(self.screen.lines)

    def finish(self) -> tuple[str, int]:
        """All that is on the screen in the end, and the exit code."""
        self.screen.columns = 10_000
        shown = self.until(None)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return shown, os.waitstatus_to_exitcode(status)


def own(seconds: float = 1.0) -> str:
    return TEXT.format(seconds, f"echo {time.monotonic_ns()} > /x")


def test_the_view_shows_stages_side_by_side_and_ends_with_what_happened(workshop: Workshop) -> None:
    text = own()
    terminal = Terminal(workshop, text)
    terminal.until("│ second is up")
    during = terminal.until("first line 9")
    assert "● [first 1/1] RUN for i in" in during
    assert "● [second 1/1] RUN echo second is up" in during
    assert "first line 9" in during
    assert "2 running" in during
    shown, code = terminal.finish()
    assert code == 0
    lines = shown.split("\n")
    assert [line[0] for line in lines if "1/1]" in line or "/2]" in line] == ["✓"] * 4
    assert not [line for line in lines if "│" in line or line.startswith("building ")]
    assert "JSONArgsRecommended" in shown
    assert re.search(r"built in \d+\.\d s: 4 steps, 0 from the cache", shown)
    assert terminal.screen.cursor
    again, _ = Terminal(workshop, text).finish()
    assert again.count("CACHED") == 4


def test_a_narrow_and_low_terminal_gets_no_line_that_is_too_wide(workshop: Workshop) -> None:
    terminal = Terminal(workshop, own(), columns=30, rows=5)
    terminal.until("● [second")
    # the screen itself asserts widths while the view is drawn
    shown, code = terminal.finish()
    assert code == 0
    assert shown.count("✓ [first 1/1") == 1
    assert not re.search(r"^building ", shown, re.MULTILINE)


def test_ctrl_c_takes_the_view_away_and_leaves_nothing(workshop: Workshop) -> None:
    terminal = Terminal(workshop, own(600))
    terminal.until("│ second is up")
    os.write(terminal.fd, b"\x03")
    shown, code = terminal.finish()
    assert code == 130
    assert shown.count("stopped") == 2
    assert "building " not in shown
    assert terminal.screen.cursor
    workshop.rests()


def test_a_failure_ends_the_view_before_it_is_told(workshop: Workshop) -> None:
    terminal = Terminal(workshop, "FROM bb\nRUN echo the last words; exit 3\n")
    shown, code = terminal.finish()
    assert code == 1
    assert "✗ [stage-0 1/1] RUN echo the last words; exit 3" in shown
    assert "exit code 3" in shown
    assert "  | the last words" in shown
    assert "│" not in shown


def test_no_colour_when_it_is_not_wanted(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(workshop, "FROM bb\nRUN true\n", "--progress=plain")
    shown, _ = terminal.finish()
    assert "#" in shown
    assert b"\x1b[" not in terminal.raw


def test_raw_json_is_one_object_a_line_and_quiet_says_only_the_id(workshop: Workshop) -> None:
    done = workshop.attempt("FROM bb\nRUN echo out\nCMD true\n", "--progress", "rawjson")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"planned", "started", "output", "done", "warning"} <= {one["action"] for one in events} | {"started"}
    assert all({"time", "action", "step"} <= one.keys() for one in events)
    done = workshop.attempt("FROM bb\nRUN echo out\nCMD true\n", "--progress", "quiet")
    assert done.stderr == ""
    assert done.stdout.startswith("sha256:")


def test_verify_finds_what_two_builds_differ_in(workshop: Workshop) -> None:
    same = workshop.attempt("FROM bb\nRUN echo same > /x\n", "--verify")
    assert same.returncode == 0
    assert same.stdout.startswith("same: sha256:")
    text = "FROM bb\nRUN echo > /a; busybox od -An -N16 -tx1 /dev/urandom > /r; busybox chmod 640 /r\n"
    before = workshop.store.run("images", "-aq", "--no-trunc").split()
    other = workshop.attempt(text, "--verify", "-t", "verified")
    assert other.returncode == 1
    assert re.match(r'different: layer 2 \(RUN echo > /a; .*\): "/r": content: \w+ at byte \d+ against', other.stdout)
    after = workshop.store.run("images", "-aq", "--no-trunc").split()
    assert len(set(after) - set(before)) == 1


def test_checks_say_what_they_find_and_build_nothing(workshop: Workshop) -> None:
    text = "FROM bb\nRUN echo never > /never\nCMD echo hi\n"
    done = workshop.attempt(text, "--check")
    assert done.returncode == 1
    assert "Check complete, 1 warning found:" in done.stdout
    assert "WARNING: JSONArgsRecommended - https://docs.docker.com/" in done.stdout
    assert "   3 | >>> CMD echo hi" in done.stdout
    found = json.loads(workshop.attempt(text, "--call", "check,format=json").stdout)
    assert found["warnings"][0]["location"]["ranges"] == [{"start": {"line": 3}, "end": {"line": 3}}]
    assert workshop.attempt("FROM bb\nRUN true\n", "--check").stdout == "Check complete, no warnings found.\n"
    assert "RUN echo never" not in workshop.store.run("builder", "du", "--verbose")


def test_warnings_fail_a_build_that_wants_it_before_anything_is_made(workshop: Workshop) -> None:
    text = "# check=error=true\nFROM bb\nRUN echo ran\nCMD echo hi\n"
    done = workshop.attempt(text)
    assert done.returncode == 1
    assert "JSONArgsRecommended" in done.stderr
    assert "| ran" not in done.stderr
    assert workshop.build("# check=error=true;skip=JSONArgsRecommended\nFROM bb\nCMD echo hi\n")


def test_files_tell_of_the_result_and_a_failed_build_leaves_no_old_ones(workshop: Workshop, tmp_path: Path) -> None:
    iid, facts = tmp_path / "iid", tmp_path / "facts.json"
    words = ("--iidfile", str(iid), "--metadata-file", str(facts), "-t", "told:1")
    image = workshop.build("FROM bb\nRUN true\n", *words)
    told = json.loads(facts.read_text())
    assert iid.read_text() == image == told["containerimage.config.digest"]
    assert told["containerimage.digest"] == told["containerimage.descriptor"]["digest"]
    assert told["image.name"] == "docker.io/library/told:1"
    workshop.fails("FROM bb\nRUN exit 1\n", *words)
    assert not iid.exists()
    assert not facts.exists()


def test_a_build_argument_that_nothing_takes_is_told(workshop: Workshop) -> None:
    done = workshop.attempt("FROM bb\nARG USED\nRUN true\n", "--build-arg", "USED=1", "--build-arg", "NOBODY=1")
    assert "no ARG takes the build arguments NOBODY" in done.stderr
    assert done.stderr == done.stderr.replace("USED=", "")


def test_limits_reach_the_commands(workshop: Workshop) -> None:
    text = "FROM bb\nRUN ulimit -n > /n; cat /etc/hosts > /hosts; busybox df /dev/shm > /shm\n"
    limits = ("--ulimit", "nofile=77:88", "--add-host", "there:10.1.2.3", "--shm-size", "3m", "-m", "64m")
    image = workshop.build(text, *limits)
    assert workshop.shown(image, "cat", "/n") == "77"
    assert "10.1.2.3\tthere" in workshop.shown(image, "cat", "/hosts")
    assert " 3072 " in workshop.shown(image, "cat", "/shm")
