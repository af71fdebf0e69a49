"""A supervisor of one's own in a store of one's own, and the proof that nothing stays behind on the host."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.testing.supervised import World, make_rootfs


@pytest.fixture(scope="session")
def rootfs() -> Iterator[str]:
    """A small root file system, shared read-only."""
    with tempfile.TemporaryDirectory(prefix="holdall-rootfs-") as folder:
        yield make_rootfs(folder)


@pytest.fixture
def world(rootfs: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A store whose supervisor goes after 0.05 s; checked for leftovers at the end."""
    monkeypatch.setenv("HOLDALL_SUPERVISOR_GRACE", "0.05")
    folder = tempfile.mkdtemp(prefix="holdall-supervised-")
    world = World(folder, rootfs)
    try:
        yield world
        world.close()
        assert leftovers(world) == []
    finally:
        world.kill()
        shutil.rmtree(folder)


def leftovers(world: World) -> list[str]:
    """Everything a store must not leave on the host once no container runs."""
    found = [line.strip() for line in Path("/proc/self/mountinfo").read_text().splitlines() if world.folder in line]
    run = Path(world.paths.run_root)
    found += [
        str(path)
        for path in run.rglob("*")
        if path.name not in ("journal", "supervisor.log", "supervisor.lock", "booted", "containers")
    ]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{world.paths.cgroup}")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(world.paths.cgroup)]
    return found
