"""Exactly once into the log, whatever is killed when."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdall.supervisor import journal as journals
from holdall.supervisor.journal import Journal
from holdall.supervisor.launch import LogLimits
from holdall.supervisor.logfile import LogFile
from holdall.supervisor.recorder import Recorder, Unrecorded, recorder

STREAMS = ("stdout", "stderr")


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the recorder's runs after it."""


class Rig:
    """A recorder that can be killed and succeeded, fed by a pipe."""

    def __init__(self, folder: Path, limits: LogLimits) -> None:
        self.folder = folder
        self.limits = limits
        (folder / "run").mkdir()
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.start()

    def start(self) -> None:
        self.journal = Journal(str(self.folder))
        log = LogFile(str(self.folder), self.limits)
        self.recorder = Recorder("c0", log, str(self.folder / "run"), self.journal)
        self.recorder.resume(STREAMS, self.journal.unfinished())
        self.journal.finish()

    def succeed(self) -> None:
        """The next supervisor."""
        self.recorder.log.close()
        self.start()

    def feed(self, data: bytes, stream: str = "stdout") -> None:
        os.write(self.writer, data)
        self.recorder.read(self.reader, stream)

    def texts(self, stream: str = "stdout") -> bytes:
        path = self.folder / "logs/container.log"
        older = sorted(path.parent.glob("container.log.*"), key=lambda p: -int(p.suffix[1:]))
        lines = b"".join(one.read_bytes() for one in (*older, path)).splitlines()
        found = [json.loads(line) for line in lines]
        return "".join(one["log"] for one in found if one["stream"] == stream).encode("utf-8", "surrogateescape")

    def close(self) -> None:
        self.recorder.log.close()
        self.journal.close()
        os.close(self.reader)
        os.close(self.writer)


def test_begun_lines_of_two_streams_do_not_mix(tmp_path: Path) -> None:
    rig = Rig(tmp_path, LogLimits())
    rig.feed(b"out begun ", "stdout")
    rig.feed(b"err begun ", "stderr")
    rig.feed(b"out ended\n", "stdout")
    rig.feed(b"err ended\n", "stderr")
    assert rig.texts("stdout") == b"out begun out ended\n"
    assert rig.texts("stderr") == b"err begun err ended\n"
    assert os.listdir(tmp_path / "run") == []
    rig.close()


def test_the_last_line_needs_no_newline(tmp_path: Path) -> None:
    rig = Rig(tmp_path, LogLimits())
    rig.feed(b"one\ntwo")
    assert rig.texts() == b"one\n"
    rig.recorder.end("stdout")
    assert rig.texts() == b"one\ntwo"
    rig.close()


def test_a_successor_knows_the_begun_line(tmp_path: Path) -> None:
    rig = Rig(tmp_path, LogLimits())
    rig.feed(b"begun ")
    rig.succeed()
    rig.feed(b"ended\n")
    assert rig.texts() == b"begun ended\n"
    rig.close()


def test_nothing_to_read_and_the_end_differ(tmp_path: Path) -> None:
    rig = Rig(tmp_path, LogLimits())
    assert rig.recorder.read(rig.reader, "stdout") is None
    os.close(rig.writer)
    assert rig.recorder.read(rig.reader, "stdout") == b""
    rig.writer = os.open("/dev/null", os.O_WRONLY)
    rig.close()


POINTS = ("log.write", "log.half", "log.rotate", "log.open", "keep", "finish")


def arm(rig: Rig, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the next passage of a point the last thing that happens."""

    def die(*_args: object, **_kwargs: object) -> None:
        raise Killed

    def half(self: LogFile, data: bytes) -> None:
        os.write(self._fd, data[: len(data) // 2])
        raise Killed

    if point == "log.write":
        monkeypatch.setattr(LogFile, "_write", die)
    elif point == "log.half":
        monkeypatch.setattr(LogFile, "_write", half)
    elif point == "log.rotate":
        monkeypatch.setattr(LogFile, "_rotate", die)
    elif point == "log.open":
        monkeypatch.setattr(LogFile, "_open", die)
    elif point == "keep":
        monkeypatch.setattr(Recorder, "_keep", die)
    else:
        monkeypatch.setattr(journals.Journal, "finish", die)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.binary(max_size=300).map(lambda b: b.replace(b"a", b"\n")), st.sampled_from((*POINTS, "", ""))),
        max_size=12,
    ),
    st.sampled_from((0, 200, 400)),
)
def test_kills_lose_double_and_tear_nothing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bytes, str]], size: int
) -> None:
    rig = Rig(tmp_path_factory.mktemp("rig"), LogLimits(size, 1000))
    written = b""
    for data, point in steps:
        with pytest.MonkeyPatch.context() as patch:
            if point:
                arm(rig, point, patch)
            written += data
            try:
                if data:
                    rig.feed(data)
            except Killed:
                patch.undo()
                rig.succeed()
    rig.succeed()
    rig.recorder.end("stdout")
    assert rig.texts() == written
    rig.close()


def test_output_that_is_not_to_be_logged_touches_no_file(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    found = recorder("c0", str(tmp_path), LogLimits(max_files=0), str(tmp_path), Journal(str(tmp_path)))
    assert isinstance(found, Unrecorded)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found.read(reader, "stdout") is None
    os.write(writer, b"secret" * 1000)
    assert found.read(reader, "stdout") == b"secret" * 1000
    os.close(writer)
    assert found.read(reader, "stdout") == b""
    found.end("stdout")
    found.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    os.close(reader)
