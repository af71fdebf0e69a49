"""A fresh store restored from a registry, one line changed: no package is downloaded, and little time is taken.

The packages are files of a server on loopback, which counts what it sends; "installing" one takes its time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from holdall.testing.building import Workshop
from holdall.testing.command import CommandStore, busybox_available, finish
from holdall.testing.packages import PackageServer
from holdall.testing.registry import RegistryServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]

PACKAGES = 12
SIZE = 200_000
SECONDS = 0.8
"""What installing one package takes."""

SERVICE = """
FROM bb
COPY requirements /requirements
RUN --mount=type=cache,id=packages,target=/cache {install}
COPY app /app
RUN cat /app > /started
"""
INSTALL = (
    "mkdir -p /site; while read name; do "
    "[ -e /cache/$name ] || {{ busybox wget -q -O /cache/$name.part http://{address}/$name && "
    "busybox mv /cache/$name.part /cache/$name; }}; "
    "busybox cp /cache/$name /site/$name && sleep {pause}; done < /requirements"
)


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with Workshop() as made:
        made.store.run("save", "--format", "oci-archive", "-o", made.folder + "/base.tar", "bb")
        yield made


@pytest.fixture(scope="module")
def packages() -> Iterator[PackageServer]:
    with PackageServer(lambda name: name.encode() * (SIZE // len(name))) as made:
        yield made


class Machine:
    """A store of its own, as on another machine."""

    def __init__(self, workshop: Workshop) -> None:
        self._folder = tempfile.mkdtemp(prefix="holdall-machine-")
        self._workshop = workshop
        self.store = CommandStore(self._folder)
        self.store.run("load", "-i", workshop.folder + "/base.tar")

    def build(self, text: str, *options: str) -> tuple[float, str]:
        """Seconds, and what was said."""
        path = self._workshop.write(text)
        words = ("build", "--progress", "plain", "--network", "host", "-f", path, *options, self._workshop.context)
        began = time.monotonic()
        done = finish(self.store.begin(*words))
        assert done.returncode == 0, done.stderr
        return time.monotonic() - began, done.stderr

    def close(self) -> None:
        try:
            self.store.close()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def requirements(count: int = PACKAGES) -> str:
    return "".join([f"package-{number}\n" for number in range(count)])


def test_one_changed_line_downloads_no_package_and_takes_a_fifth_of_the_time(
    workshop: Workshop, packages: PackageServer
) -> None:
    text = SERVICE.format(install=INSTALL.format(address=packages.address, pause=SECONDS))
    workshop.fresh({"requirements": requirements(), "app": "first line\n"})
    with RegistryServer() as server:
        place = f"type=registry,ref={server.host}/service:cache"
        first = Machine(workshop)
        try:
            cold, _ = first.build(text, "--cache-to", place + ",mode=max")
        finally:
            first.close()
        assert packages.sent > 0
        assert len(packages.names) == PACKAGES
        packages.forget()

        # another machine, a line of the service changed: the packages' layer comes from the registry
        workshop.fresh({"requirements": requirements(), "app": "another line\n"})
        second = Machine(workshop)
        try:
            warm, said = second.build(text, "--cache-from", place)
        finally:
            second.close()
        assert packages.sent == 0
        assert "filling" not in said, "the cache mount is not fetched for a step that is not executed"
        assert warm <= 0.2 * cold, f"{warm:.2f} s after {cold:.2f} s"

        # one more requirement: the packages come out of the cache mount, all but the new one
        workshop.fresh({"requirements": requirements(PACKAGES + 1), "app": "first line\n"})
        third = Machine(workshop)
        try:
            _, said = third.build(text.replace(f"sleep {SECONDS}", "true"), "--cache-from", place)
        finally:
            third.close()
        assert packages.names == [f"/package-{PACKAGES}"]
        assert "filling the cache mount packages" in said


def kill_while_it_writes(build: subprocess.Popen[bytes], folder: str) -> None:
    assert build.stderr is not None
    for line in build.stderr:
        if folder.encode() in line:
            break
    build.kill()


def test_two_exporters_at_once_and_a_killed_one_leave_a_whole_cache(
    workshop: Workshop, packages: PackageServer
) -> None:
    text = SERVICE.format(install=INSTALL.format(address=packages.address, pause=0))
    folder = workshop.folder + "/exports"
    options = ("--network", "host", "--cache-to", f"type=local,dest={folder},mode=max")
    try:
        for turn in range(3):
            workshop.fresh({"requirements": requirements(2), "app": f"turn {turn}\n"})
            running = [workshop.begin(text + f"LABEL n={number}\n", *options) for number in range(3)]
            kill_while_it_writes(running[0], folder)
            for one in running:
                one.communicate(timeout=60)
            assert [one.returncode for one in running[1:]] == [0, 0]
        workshop.store.run("builder", "prune", "-af")
        workshop.store.run("image", "prune", "-f")
        packages.forget()
        done = workshop.attempt(text, "--network", "host", "--cache-from", f"type=local,src={folder}")
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("CACHED") == 4
        assert packages.sent == 0
        names = os.listdir(folder + "/blobs/sha256")
        assert all(len(name) == 64 for name in names), "nothing half written is left"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
