"""Contexts and Dockerfiles that are not what they should be, from end to end: an error soon, or a right image."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from holdall.testing.building import Workshop
from holdall.testing.command import COMMAND, busybox_available

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]


def folder(path: str) -> None:
    os.mkdir(path)


def device(path: str) -> None:
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))


def large(path: str) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 40)


def loop(path: str) -> None:
    os.symlink("Dockerfile", path)


@pytest.mark.parametrize(
    ("make", "word"),
    [(os.mkfifo, "fifo"), (device, "larger than"), (folder, "directory"), (large, "larger than"),
     (loop, "symbolic links")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.dockerignore", ".dockerignore"])
def test_a_dockerfile_or_ignore_file_that_is_something_else(
    workshop: Workshop, make: Callable[[str], object], word: str, name: str
) -> None:
    workshop.fresh({} if name == "Dockerfile" else {"Dockerfile": "FROM bb\nCOPY . /all\n"})
    make(f"{workshop.context}/{name}")
    done = workshop.store.attempt("build", workshop.context)
    if name == "Dockerfile":
        assert done.returncode == 1
        assert word in done.stderr.lower()
    else:
        # refused, or of no meaning; never waited for, nor read without end
        assert done.returncode in (0, 1)
        assert "Traceback" not in done.stderr
    assert os.listdir(workshop.store.paths.ingest) == []


def test_a_dockerfile_from_a_process_of_the_shell(workshop: Workshop) -> None:
    workshop.fresh()
    words = [*COMMAND, "--root", workshop.store.paths.root, "--run-root", workshop.store.paths.run_root, "build", "-q"]
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as out:
        threading.Timer(0.5, lambda: (out.write("FROM bb\nENV A=1\n"), out.close())).start()
        done = subprocess.run(
            [*words, "-f", f"/dev/fd/{reader}", workshop.context], env=workshop.store.environment(), pass_fds=(reader,),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    os.close(reader)
    assert done.returncode == 0, done.stderr


def test_a_context_that_is_a_link_and_one_that_is_not_there(workshop: Workshop, tmp_path: Path) -> None:
    workshop.fresh({"Dockerfile": "FROM bb\nCOPY f /f\n", "f": "x\n"})
    (tmp_path / "link").symlink_to(workshop.context)
    image = workshop.store.run("build", "-q", str(tmp_path / "link"))
    assert workshop.shown(image, "cat", "/f") == "x"
    for name in ("gone", "link/f", "link/f/g"):
        assert "is no folder" in workshop.store.attempt("build", str(tmp_path / name)).stderr


def test_files_that_come_and_go_while_it_builds(workshop: Workshop) -> None:
    workshop.fresh({f"d{number % 7}/f{number}": f"{number}\n" for number in range(300)})
    ended = threading.Event()

    def trouble() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            path = f"{workshop.context}/d{number % 7}/f{number % 300}"
            try:
                os.unlink(path)
                if number % 3 == 0:
                    os.symlink("/etc/passwd", path)
                else:
                    with open(path, "w") as file:
                        file.write(f"{number}\n" * (number % 50))
            except FileNotFoundError:
                pass
            except FileExistsError:
                pass

    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        for _ in range(4):
            done = workshop.attempt("FROM bb\nCOPY . /all\n", "--no-cache")
            if done.returncode == 0:
                found = workshop.shown(done.stdout.strip(), "sh", "-c", "busybox grep -rs root: /all; true")
                assert found == "", "a link was followed"
            else:
                assert "went away" in done.stderr or "became something else" in done.stderr, done.stderr
    finally:
        ended.set()
        thread.join()
    assert os.listdir(workshop.store.paths.ingest) == []
