from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from holdall.errors import IntegrityError, StoreCorrupt
from holdall.events import Event, silent
from holdall.oci.digest import Digest
from holdall.paths import Paths
from holdall.record import replace
from holdall.store.database import open_database
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.testing.images import layer_of, tar_of

TAR = tar_of({"dir": None, "dir/file": b"content", "other": b"x" * 10})


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "run"))
    open_database(paths).close()
    return paths


@pytest.fixture
def snapshots(paths: Paths) -> OverlaySnapshots:
    return OverlaySnapshots(paths)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_layer_is_unpacked_whatever_its_compression(snapshots: OverlaySnapshots, compression: str) -> None:
    layer = layer_of(TAR, compression=compression)
    info = snapshots.ensure(layer)
    assert (info.size, info.entries) == (17, 3)
    (folder,) = snapshots.lowers([str(layer.diff_id)])
    assert Path(folder, "dir/file").read_bytes() == b"content"
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o755
    assert list(snapshots.diff_ids()) == [str(layer.diff_id)]


def test_ensuring_again_does_no_work(snapshots: OverlaySnapshots) -> None:
    layer = layer_of(TAR)
    first = snapshots.ensure(layer)
    before = os.stat(snapshots.folder(str(layer.diff_id))).st_ino
    assert snapshots.ensure(layer) == first
    assert os.stat(snapshots.folder(str(layer.diff_id))).st_ino == before


def test_a_wrong_diff_id_leaves_nothing(snapshots: OverlaySnapshots, paths: Paths) -> None:
    layer = replace(layer_of(TAR), diff_id=Digest.of(b"other"))
    with pytest.raises(IntegrityError, match="diff-id"):
        snapshots.ensure(layer)
    assert os.listdir(f"{paths.layers}/sha256") == []
    assert os.listdir(paths.ingest) == []


def test_progress_tells_of_the_end(snapshots: OverlaySnapshots) -> None:
    events: list[Event] = []
    snapshots.ensure(layer_of(TAR), events.append)
    assert events[-1].done
    assert events[-1].action == "unpacked"


def test_a_reporter_that_raises_stops_the_work(snapshots: OverlaySnapshots, paths: Paths) -> None:
    def stop(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        snapshots.ensure(layer_of(TAR), stop)
    assert os.listdir(f"{paths.layers}/sha256") == []


def test_a_killed_unpackers_remains_are_replaced(snapshots: OverlaySnapshots, paths: Paths) -> None:
    layer = layer_of(TAR)
    remains = f"{paths.layers}/sha256/.tmp-{layer.diff_id.encoded}/fs"
    os.makedirs(remains + "/dir")
    Path(remains, "half").write_text("half")
    snapshots.ensure(layer)
    (folder,) = snapshots.lowers([str(layer.diff_id)])
    assert sorted(os.listdir(folder)) == ["dir", "other"]


def test_threads_that_want_one_layer_do_the_work_once(snapshots: OverlaySnapshots) -> None:
    layer = layer_of(TAR)
    events: list[Event] = []
    threads = [threading.Thread(target=snapshots.ensure, args=(layer, events.append)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(event.done for event in events) == 1


def test_processes_that_want_one_layer_do_the_work_once(snapshots: OverlaySnapshots, paths: Paths) -> None:
    code = (
        "import sys; from holdall.paths import Paths; from holdall.testing.images import layer_of, tar_of\n"
        "from holdall.store.snapshots.overlay import OverlaySnapshots\n"
        "made = []\n"
        "layer = layer_of(tar_of({f'f{n}': b'x' * 1000 for n in range(200)}))\n"
        "OverlaySnapshots(Paths(sys.argv[1], sys.argv[1])).ensure(layer, lambda e: made.append(e.done))\n"
        "print(sum(made))"
    )
    arguments = [sys.executable, "-c", code, paths.root]
    children = [subprocess.Popen(arguments, stdout=subprocess.PIPE) for _ in range(6)]
    assert sorted(int(child.communicate(timeout=60)[0]) for child in children) == [0] * 5 + [1]
    assert os.listdir(paths.ingest) == []


def test_leftovers_are_claimed_unless_their_owner_lives(snapshots: OverlaySnapshots, paths: Paths) -> None:
    from holdall.store import locks

    os.makedirs(f"{paths.layers}/sha256/.tmp-{'1' * 64}/fs")
    os.makedirs(f"{paths.layers}/sha256/.tmp-{'2' * 64}/fs")
    with locks.acquire(f"{paths.ingest}/layer-sha256-{'2' * 64}.lock"):
        for aside in snapshots.leftovers(claim=True):
            aside.remove()
        assert os.listdir(f"{paths.layers}/sha256") == [f".tmp-{'2' * 64}"]


def test_lowers_are_uppermost_first_and_each_folder_once(snapshots: OverlaySnapshots) -> None:
    a, b = layer_of(tar_of({"a": b"1"})), layer_of(tar_of({"b": b"1"}))
    for layer in (a, b):
        snapshots.ensure(layer, silent)
    ids = [str(a.diff_id), str(b.diff_id), str(a.diff_id)]
    assert [os.listdir(path) for path in snapshots.lowers(ids)] == [["a"], ["b"]]
    assert [os.listdir(path) for path in snapshots.lowers(ids[:2])] == [["b"], ["a"]]


def test_a_missing_layer_is_corruption(snapshots: OverlaySnapshots) -> None:
    with pytest.raises(StoreCorrupt, match="missing"):
        snapshots.lowers(["sha256:" + "0" * 64])


def test_prepare_makes_upper_and_work_once(snapshots: OverlaySnapshots, paths: Paths) -> None:
    snapshots.prepare("a" * 64)
    folder = Path(paths.container("a" * 64))
    assert sorted(os.listdir(folder)) == ["upper", "work"]
    upper = folder / "upper"
    (upper / "file").write_bytes(b"x" * 10_000)
    snapshots.prepare("a" * 64)
    assert os.listdir(upper) == ["file"]
    assert snapshots.upper_usage("a" * 64) >= 10_000
    assert stat.S_IMODE(os.stat(upper).st_mode) == 0o755


def test_a_new_upper_looks_like_the_base_layers_root(snapshots: OverlaySnapshots, paths: Paths) -> None:
    layer = layer_of(TAR)
    snapshots.ensure(layer)
    os.chmod(snapshots.folder(str(layer.diff_id)) + "/fs", 0o1777)
    snapshots.prepare("a" * 64, [str(layer.diff_id)])
    upper = paths.container("a" * 64) + "/upper"
    assert stat.S_IMODE(os.stat(upper).st_mode) == 0o1777


def test_setting_aside_makes_a_layer_vanish(snapshots: OverlaySnapshots) -> None:
    layer = layer_of(TAR)
    snapshots.ensure(layer)
    assert snapshots.usage(str(layer.diff_id)) > 0
    aside = snapshots.set_aside(str(layer.diff_id))
    assert aside is not None
    assert not snapshots.has(str(layer.diff_id))
    assert list(snapshots.diff_ids()) == []
    assert aside.remove() > 0
    assert snapshots.set_aside(str(layer.diff_id)) is None
