"""A rebuild without changes: what it must not do, so that it stays quick."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from holdall.testing.building import Workshop
from holdall.testing.command import busybox_available

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]

TEXT = """
FROM bb AS made
RUN echo made > /made
FROM bb
WORKDIR /work
COPY a b/
COPY --from=made /made /made
ENV NAME=value
CMD echo hi
"""
CODE = """
import sys
def hook(event, arguments):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.fork"):
        print("spawned", arguments, file=sys.stderr)
sys.addaudithook(hook)
from holdall.cli.main import main
code = main(sys.argv[1:])
print(" ".join(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""
HEAVY = {
    "asyncio", "aiohttp", "rich", "logging", "concurrent.futures", "subprocess", "tempfile", "http.client", "tomllib",
    "holdall.build.transfer", "holdall.build.copying", "holdall.linux.mount", "holdall.engine.start",
    "holdall.engine.step_container", "holdall.store.image_writer", "holdall.store.layer_maker",
    "holdall.dockerfile.lint.check", "holdall.registry",
}  # fmt: skip


def settled(workshop: Workshop) -> str:
    """A context whose files are older than what the cache is wary of, and a Dockerfile."""
    workshop.fresh({"a/file": "content"})
    path = workshop.write(TEXT)
    time.sleep(2.2)
    return path


def test_nothing_is_imported_mounted_or_spawned_for_it(workshop: Workshop) -> None:
    paths = workshop.store.paths
    words = ["--root", paths.root, "--run-root", paths.run_root, "build", "-t", "rebuilt:1", "-f", settled(workshop)]
    words.append(workshop.context)
    told = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", CODE, *words], capture_output=True, text=True, env=workshop.store.environment()
        )
        assert done.returncode == 0, done.stderr
        told.append(done)
    *lines, modules = told[1].stderr.splitlines()
    assert not HEAVY & set(modules.split())
    assert not [line for line in lines if line.startswith("spawned")]
    assert told[1].stdout == told[0].stdout
    assert told[1].stderr.count("CACHED") == 4
    # the warnings are those of the first time, though nobody has looked for them
    assert [line for line in lines if "JSONArgs" in line] == [
        line for line in told[0].stderr.splitlines() if "JSONArgs" in line
    ]


def test_a_change_of_a_file_with_its_old_size_and_time_is_seen(workshop: Workshop) -> None:
    path = settled(workshop)
    first = workshop.store.run("build", "-q", "-f", path, workshop.context)
    assert workshop.store.run("build", "-q", "-f", path, workshop.context) == first
    name = f"{workshop.context}/a/file"
    before = os.stat(name)
    with open(name, "w") as file:
        file.write("CONTENT")
    os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = workshop.store.run("build", "-q", "-f", path, workshop.context)
    assert second != first
    assert workshop.shown(second, "cat", "/work/b/file") == "CONTENT"


def test_an_image_that_was_removed_is_there_again(workshop: Workshop) -> None:
    path = settled(workshop)
    image = workshop.store.run("build", "-q", "-t", "gone:1", "-f", path, workshop.context)
    workshop.store.run("rmi", "-f", "gone:1")
    assert workshop.store.run("build", "-q", "-t", "gone:1", "-f", path, workshop.context) == image
    assert workshop.shown("gone:1", "cat", "/work/b/file") == "content"
    other = workshop.store.run("build", "-q", "-t", "gone:2", "-f", path, workshop.context)
    assert other == image
    (found,) = json.loads(workshop.store.run("image", "inspect", "gone:2"))
    assert {"gone:1", "gone:2"} <= set(found["RepoTags"])
