"""kill -9 at any moment leaves a store that opens, keeps its promises, and that gc cleans."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdall.oci.digest import Digest
from holdall.paths import Paths
from holdall.store import gc
from holdall.store.anew import unavailable
from holdall.store.check import check
from holdall.store.content import ContentStore
from holdall.store.database import open_database
from holdall.store.gc import collect
from holdall.store.images import ImageStore
from holdall.store.layout_index import current, render
from holdall.store.snapshots.overlay import OverlaySnapshots

WRITER = str(Path(__file__).with_name("writer.py"))
SOAK = os.environ.get("HOLDALL_SOAK") == "1"
pytestmark = [pytest.mark.root, pytest.mark.soak]


def start(root: str, seed: int, drivers: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, WRITER, root, str(seed), drivers, *arguments], stdout=subprocess.PIPE)


def inspect(paths: Paths, *, whole: bool) -> None:
    """Everything a row promises is there; with `whole` what crashes left is collected and nothing else remains."""
    database = open_database(paths, durable=True)
    try:
        images = ImageStore(database, ContentStore(paths), OverlaySnapshots(paths))
        assert database.one("PRAGMA integrity_check") == ("ok",)
        wrong = [one.message for one in check(database, paths, images.snapshots)]
        assert [one for one in wrong if "left by a crash" not in one and "out of date" not in one] == []
        for record in images.list(intermediate=True):
            assert images.image(record).id == Digest.parse(record.id)
            images.snapshots.lowers(record.layers)
            lost = [str(one) for one in unavailable(images.image(record), images.content)]
            assert [one for one in lost if not database.all("SELECT 1 FROM origins WHERE digest = ?", (one,))] == []
        if whole:
            collect(database, paths, images.snapshots)
            assert check(database, paths, images.snapshots) == ()
            assert collect(database, paths, images.snapshots) == ()
            assert os.listdir(paths.ingest) == []
            assert current(paths) == render(database) or not images.list()
            assert database.all("SELECT * FROM holds") == []
            verify_blobs(paths)
    finally:
        database.close()


def verify_blobs(paths: Paths) -> None:
    for digest in ContentStore(paths).digests():
        data = Path(f"{paths.blobs}/{digest.replace(':', '/')}").read_bytes()
        assert str(Digest.of(data)) == digest


@pytest.mark.parametrize("drivers", ["overlay", "erofs", "erofs,overlay"])
def test_writers_killed_at_random_leave_a_good_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drivers: str
) -> None:
    monkeypatch.setattr(gc, "GRACE_SECONDS", -1.0)
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "store-run"))
    source = random.Random(os.environ.get("HOLDALL_SEED") or time.time_ns())
    for turn in range(100 if SOAK else 3):
        writers = [start(paths.root, source.randrange(1 << 30), drivers) for _ in range(2)]
        try:
            for writer in writers:
                assert writer.stdout is not None
                assert writer.stdout.readline() == b"ready\n"
            time.sleep(source.uniform(0.0, 0.4))
            writers[0].kill()
            writers[0].wait()
            if turn % 3 == 0:
                time.sleep(source.uniform(0.0, 0.2))
            assert writers[1].poll() is None, "the other writer goes on"
        finally:
            for writer in writers:
                writer.kill()
                writer.wait()
                assert writer.stdout is not None
                writer.stdout.close()
        inspect(paths, whole=True)


@pytest.mark.parametrize("drivers", ["overlay", "erofs,overlay"])
def test_writers_side_by_side_disturb_nobody(tmp_path: Path, drivers: str) -> None:
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "store-run"))
    writers = [start(paths.root, seed, drivers, "once") for seed in range(10 if SOAK else 3)]
    for writer in writers:
        writer.communicate(timeout=300)
    assert [writer.returncode for writer in writers] == [0] * len(writers)
    inspect(paths, whole=True)
