"""Compiled Python files in a layer whose times are bounded: the interpreter itself says whether they are right."""

from __future__ import annotations

import io
import os
import py_compile
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from holdall.layer.fromfs import Recorder
from holdall.layer.pyc import HEADER

LATEST = 315_532_800


def recorded(folder: Path, names: list[str], latest: int | None = LATEST) -> bytes:
    out = io.BytesIO()
    recorder = Recorder(out, latest)
    for name in names:
        path = folder / name
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            recorder.add(os.fsencode(name), fd, os.fsencode(path.name), path.lstat())
        finally:
            os.close(fd)
    recorder.close()
    return out.getvalue()


def extracted(tar: bytes, folder: Path) -> Path:
    folder.mkdir()
    subprocess.run(["tar", "-C", str(folder), "-xf", "-"], input=tar, check=True)
    return folder


def taken(folder: Path, module: str) -> bool:
    """Whether the interpreter takes the compiled file, without compiling anew."""
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-v", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); import {module}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return any("matches" in line and str(folder) in line for line in done.stderr.splitlines())


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "before"
    folder.mkdir()
    (folder / "thing.py").write_text("VALUE = 1\n")
    py_compile.compile(str(folder / "thing.py"), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_it_stays_right_when_its_source_gets_another_time(module: Path, tmp_path: Path) -> None:
    after = extracted(recorded(module, names(module)), tmp_path / "after")
    assert (after / "thing.py").stat().st_mtime == LATEST
    assert taken(after, "thing")
    (after / "thing.py").write_text("VALUE = 2\n")
    assert not taken(after, "thing")


def test_the_same_bytes_whenever_it_was_compiled(module: Path) -> None:
    first = recorded(module, names(module))
    os.utime(module / "thing.py", (5e8, 5e8))
    py_compile.compile(str(module / "thing.py"), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    assert recorded(module, names(module)) == first


@pytest.mark.parametrize("mode", ["CHECKED_HASH", "UNCHECKED_HASH"])
def test_what_goes_by_a_hash_is_left_alone(module: Path, mode: str) -> None:
    path = Path(py_compile.compile(str(module / "thing.py"), invalidation_mode=py_compile.PycInvalidationMode[mode]))
    name = str(path.relative_to(module))
    with tarfile.open(fileobj=io.BytesIO(recorded(module, [name]))) as tar:
        assert tar.extractfile(name).read() == path.read_bytes()  # type: ignore[union-attr]


def test_of_a_source_elsewhere_or_without_bound_it_is_left_alone(module: Path) -> None:
    (name,) = [name for name in names(module) if name.endswith(".pyc")]
    data = (module / name).read_bytes()
    for tar in (recorded(module, [name], None), recorded(module, [name], 1 << 33)):
        with tarfile.open(fileobj=io.BytesIO(tar)) as source:
            assert source.extractfile(name).read() == data  # type: ignore[union-attr]
    (module / "thing.py").unlink()
    with tarfile.open(fileobj=io.BytesIO(recorded(module, [name]))) as source:
        assert source.extractfile(name).read() == data  # type: ignore[union-attr]


def test_a_stale_one_stays_stale(module: Path, tmp_path: Path) -> None:
    os.utime(module / "thing.py", (6e8, 6e8))
    assert not taken(extracted(recorded(module, names(module)), tmp_path / "after"), "thing")


@pytest.mark.parametrize("data", [b"", b"x" * 15, b"\x00" * 16, b"\xa7\r\r\n" + b"\xff" * 40])
def test_rubbish_is_left_alone(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.py").write_text("")
    (tmp_path / "x.pyc").write_bytes(data)
    with tarfile.open(fileobj=io.BytesIO(recorded(tmp_path, ["x.pyc"]))) as source:
        assert source.extractfile("x.pyc").read() == data  # type: ignore[union-attr]


def test_one_beside_its_source(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("")
    py_compile.compile(str(tmp_path / "x.py"), str(tmp_path / "x.pyc"),
                       invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(recorded(tmp_path, ["x.pyc"]))) as source:
        head = source.extractfile("x.pyc").read(HEADER.size)  # type: ignore[union-attr]
    assert HEADER.unpack(head)[3] == LATEST
