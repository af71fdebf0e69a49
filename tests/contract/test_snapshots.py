"""What every snapshot driver promises. Root, because layers carry devices and the roots are real mounts."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdall.errors import IntegrityError, InvalidArchive, NoSpace, StoreCorrupt
from holdall.events import Event
from holdall.linux import stack
from holdall.oci.digest import Digest
from holdall.paths import Paths
from holdall.runtime import layers as mounted
from holdall.runtime.launch import Directory
from holdall.store.content import ContentStore
from holdall.store.database import open_database
from holdall.store.snapshots import choose, probe
from holdall.store.snapshots.copy import CopySnapshots
from holdall.store.snapshots.erofs import ErofsSnapshots
from holdall.store.snapshots.layers import Layers
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.testing.images import layer_of, tar_of
from holdall.testing.trees import differences, survey

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

DRIVERS: dict[str, type[Layers]] = {"erofs": ErofsSnapshots, "overlay": OverlaySnapshots, "copy": CopySnapshots}
KEY = "c" * 64


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "run"))
    open_database(paths, durable=True).close()
    yield paths
    mounted.clear(paths.layer_mounts)
    with open("/proc/self/mountinfo") as file:
        assert str(tmp_path) not in file.read()


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest, paths: Paths) -> Layers:
    if request.param == "erofs" and probe.complaint(paths, "erofs"):
        pytest.skip("this kernel mounts no EROFS images")
    return DRIVERS[request.param](paths)


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.size, made.mtime, made.mode = len(data), 1_600_000_000, 0o644
    for key, value in fields.items():
        setattr(made, key, value)
    return made, data


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as writer:
        for made, data in members:
            writer.addfile(made, io.BytesIO(data))
    return out.getvalue()


def folders(*names: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    """A folder without an entry has no time that drivers agree on."""
    return [member(name + "/", type=tarfile.DIRTYPE, mode=0o755) for name in names]


BASE = tar(
    *folders("etc", "etc/deep", "etc/deep/er", "etc/replaced", "bin", "dev", "run", "n" * 200),
    member("etc/motd", b"hello\n", uid=3, gid=4, mode=0o640),
    member("etc/gone", b"bye"),
    member("etc/deep/er/file", b"x" * 5000, mtime=1_500_000_000.25),
    member("etc/replaced/below", b"b"),
    member("bin/su", b"#!", mode=0o4755),
    member("bin/su2", type=tarfile.LNKTYPE, linkname="bin/su"),
    member("lib", type=tarfile.SYMTYPE, linkname="usr/lib"),
    member("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
    member("dev/disk", type=tarfile.BLKTYPE, devmajor=7, devminor=200, mode=0o600),
    member("run/pipe", type=tarfile.FIFOTYPE),
    member("empty", b""),
    member("cap", b"c", pax_headers={"SCHILY.xattr.user.mark": "1"}),
    member("n" * 200 + "/" + "ü" * 60, b"long"),
)
UPPER = tar(
    *folders("etc", "etc/replaced"),
    member("etc/.wh.gone"),
    member("etc/motd", b"changed\n"),
    member("etc/replaced/.wh..wh..opq"),
    member("etc/replaced/new", b"n"),
    member("lib/", type=tarfile.DIRTYPE, mode=0o700),
    member("lib/now-a-folder", b"1"),
)


def put(driver: Layers, data: bytes, piece: int = 1 << 20) -> str:
    diff_id = Digest.of(data)
    with driver.begin(diff_id) as writer:
        for at in range(0, len(data), piece):
            assert writer.write(memoryview(data)[at : at + piece]) == len(data[at : at + piece])
        assert writer.commit().diff_id == str(diff_id)
    return str(diff_id)


@contextmanager
def shown(driver: Layers, diff_ids: list[str], key: str = KEY) -> Iterator[str]:
    """A new container's root as a folder."""
    driver.prepare(key, diff_ids)
    root = driver.rootfs(key, diff_ids)
    if isinstance(root, Directory):
        yield root.path
        return
    mounted.ensure(root.mounts)
    fd = stack.view(root.lowers, root.upper, root.work)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def everything(paths: Paths) -> list[str]:
    folders = ("layers/sha256", "blobs/sha256", "ingest")
    return [f"{name}/{one}" for name in folders for one in sorted(_names(f"{paths.root}/{name}"))]


def _names(path: str) -> list[str]:
    return os.listdir(path) if os.path.isdir(path) else []


@pytest.mark.parametrize("piece", [1, 700, 1 << 16, 1 << 24])
def test_a_layer_comes_in_pieces_of_any_size(driver: Layers, piece: int) -> None:
    diff_id = put(driver, BASE if piece > 1 else tar(member("a", b"b")), piece)
    assert driver.has(diff_id)
    assert list(driver.diff_ids()) == [diff_id]
    assert driver.missing(diff_id) == ()
    info = driver.info(diff_id)
    assert info.entries == (21 if piece > 1 else 1)
    assert info.tar_size == (0 if driver.name != "erofs" else os.stat(driver.tar(diff_id)).st_size)


def test_the_diff_id_is_learnt(driver: Layers) -> None:
    with driver.begin() as writer:
        writer.write(BASE)
        info = writer.commit()
        assert writer.commit() == info
    assert info.diff_id == str(Digest.of(BASE))
    assert driver.info(info.diff_id) == info
    with driver.begin() as writer:
        writer.write(BASE)
        assert writer.commit() == info
    assert list(driver.diff_ids()) == [info.diff_id]


def test_learning_may_be_verifying(driver: Layers, paths: Paths) -> None:
    with pytest.raises(IntegrityError, match="diff-id"), driver.begin() as writer:
        writer.write(BASE)
        writer.commit(Digest.of(b"other"))
    assert everything(paths) == []


def test_a_wrong_diff_id_leaves_nothing(driver: Layers, paths: Paths) -> None:
    with pytest.raises(IntegrityError, match="diff-id"), driver.begin(Digest.of(b"other")) as writer:
        writer.write(BASE)
        writer.commit()
    assert everything(paths) == []


@pytest.mark.parametrize("known", [True, False])
def test_left_without_commit_nothing_remains(driver: Layers, paths: Paths, known: bool) -> None:
    before = threading.active_count()
    with driver.begin(Digest.of(BASE) if known else None) as writer:
        writer.write(BASE)
    assert everything(paths) == []
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "data", [b"no tar at all" * 200, BASE[:700], tar(member("a/../../b", b""))], ids=["noise", "cut", "outside"]
)
def test_what_is_no_layer_is_refused(driver: Layers, paths: Paths, data: bytes) -> None:
    with pytest.raises(InvalidArchive), driver.begin(Digest.of(data)) as writer:
        writer.write(data)
        writer.commit()
    assert everything(paths) == []


def test_a_layer_that_is_there_is_complete_at_once(driver: Layers) -> None:
    diff_id = put(driver, BASE)
    with driver.begin(Digest.of(BASE)) as writer:
        assert writer.complete
        assert writer.write(b"ignored") == 7
        assert writer.commit() == driver.info(diff_id)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_layer_is_made_from_its_blob(driver: Layers, compression: str) -> None:
    layer = layer_of(BASE, compression=compression)
    events: list[Event] = []
    info = driver.ensure(layer, events.append)
    assert (info.diff_id, info.entries) == (str(Digest.of(BASE)), 21)
    assert events[-1].done
    assert sum(event.done for event in events) == 1
    assert driver.ensure(layer) == info


def test_all_drivers_show_the_same(driver: Layers, tmp_path: Path) -> None:
    other = OverlaySnapshots(Paths(str(tmp_path / "other"), str(tmp_path / "other-run")))
    open_database(other.paths, durable=True).close()
    diff_ids = [put(driver, data) for data in (BASE, UPPER)]
    for data in (BASE, UPPER):
        put(other, data)
    with shown(other, diff_ids) as expected, shown(driver, diff_ids) as found:
        assert differences(survey(expected), survey(found)) == []
        assert sorted(survey(found)) == sorted(survey(expected))
        assert not os.path.lexists(found + "/etc/gone")
        assert os.listdir(found + "/etc/replaced") == ["new"]
        assert stat.S_ISDIR(os.lstat(found + "/lib").st_mode)
        assert os.lstat(found + "/etc/deep/er/file").st_mtime_ns == 1_500_000_000_250_000_000
        assert Path(found, "etc/motd").read_text() == "changed\n"
        status = os.stat(found + "/.")
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o755, 0, 0)


def test_a_view_is_for_this_process_alone(driver: Layers, paths: Paths) -> None:
    diff_ids = [put(driver, data) for data in (BASE, UPPER)]
    with driver.view(diff_ids) as lowers:
        assert Path(lowers[1], "etc/motd").read_text() == "hello\n"
        with open("/proc/self/mountinfo") as file:
            assert paths.run_root not in file.read()
        root = stack.view(lowers)
    try:
        assert Path(f"/proc/self/fd/{root}/etc/motd").read_text() == "changed\n"
    finally:
        os.close(root)


def test_a_view_outlives_the_layer(driver: Layers) -> None:
    diff_id = put(driver, tar_of({"a": b"1"}))
    mounted.ensure(driver.mounts([diff_id]))
    with driver.view([diff_id]) as (lower,):
        aside = driver.set_aside(diff_id)
        assert aside is not None
        if driver.name == "erofs":
            aside.remove()
            os.unlink(driver.tar(diff_id))
            assert Path(lower, "a").read_bytes() == b"1"
        assert mounted.mounted(driver.paths.layer_mounts) == []


def test_views_work_the_old_way(driver: Layers, tmp_path: Path) -> None:
    diff_ids = [put(driver, data) for data in (BASE, UPPER)]
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    before = Path("/proc/self/mountinfo").read_text()
    with driver.view(diff_ids) as lowers:
        root = stack.mounted_aside(lowers, str(tmp_path / "upper"), str(tmp_path / "work"))
    assert Path(f"/proc/self/fd/{root}/etc/motd").read_text() == "changed\n"
    os.close(root)
    assert Path("/proc/self/mountinfo").read_text() == before


def test_lowers_are_uppermost_first_and_each_once(driver: Layers) -> None:
    a, b = put(driver, tar_of({"a": b"1"})), put(driver, tar_of({"b": b"1"}))
    with driver.view([a, b, a]) as lowers:
        assert [os.listdir(path) for path in lowers] == [["a"], ["b"]]
    assert len(driver.lowers([a, b, a])) == 2
    mounted.ensure(driver.mounts([a, b]))
    assert [os.listdir(path) for path in driver.lowers([a, b])] == [["b"], ["a"]]


def test_an_opaque_root_ends_the_stack(driver: Layers) -> None:
    below = put(driver, tar_of({"below": b"1"}))
    above = put(driver, tar(member(".wh..wh..opq"), member("above", b"2")))
    assert len(driver.lowers([below, above])) == 1
    with shown(driver, [below, above]) as root:
        assert os.listdir(root) == ["above"]


def test_a_missing_layer_is_corruption(driver: Layers) -> None:
    for call in (driver.lowers, driver.mounts):
        with pytest.raises(StoreCorrupt, match="missing"):
            call(["sha256:" + "0" * 64])
    with pytest.raises(StoreCorrupt):
        driver.missing("sha256:" + "0" * 64)


def test_threads_that_want_one_layer_do_the_work_once(driver: Layers) -> None:
    layer = layer_of(tar_of({f"f{n}": b"x" * 20_000 for n in range(50)}))
    events: list[Event] = []
    threads = [threading.Thread(target=driver.ensure, args=(layer, events.append)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(event.done for event in events) == 1
    assert driver.has(str(layer.diff_id))


MAKER = """
import sys
from holdall.oci.digest import Digest
from holdall.paths import Paths
from holdall.store.snapshots import {module}
data = open(sys.argv[3], 'rb').read()
writer = {module}.{name}(Paths(sys.argv[1], sys.argv[2])).begin(Digest.of(data) if sys.argv[4] == 'known' else None)
writer.write(data[:len(data) // 2])
print('begun', flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("known", ["known", "unknown"])
def test_a_killed_makers_remains_are_found_and_replaced(
    driver: Layers, paths: Paths, tmp_path: Path, known: str
) -> None:
    (tmp_path / "layer").write_bytes(BASE)
    code = MAKER.format(module=driver.name, name=type(driver).__name__)
    argv = [sys.executable, "-c", code, paths.root, paths.run_root, str(tmp_path / "layer"), known]
    maker = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert maker.stdout is not None
    assert maker.stdout.readline() == b"begun\n"
    assert driver.leftovers(claim=True) == []
    maker.kill()
    maker.communicate()
    assert len(driver.leftovers(claim=False)) == 1
    if known == "known":
        diff_id = put(driver, BASE)
        assert driver.has(diff_id)
    else:
        for aside in driver.leftovers(claim=True):
            aside.remove()
    assert driver.leftovers(claim=False) == []


def test_a_broken_layer_is_made_anew(driver: Layers) -> None:
    diff_id = put(driver, BASE)
    for name in ("fs", "index.erofs"):
        if os.path.exists(f"{driver.folder(diff_id)}/{name}"):
            os.rename(f"{driver.folder(diff_id)}/{name}", f"{driver.folder(diff_id)}/lost")
    assert not driver.has(diff_id)
    put(driver, BASE)
    assert driver.has(diff_id)
    assert driver.leftovers(claim=False) == []


def test_setting_aside_makes_a_layer_vanish(driver: Layers) -> None:
    diff_id = put(driver, BASE)
    mounted.ensure(driver.mounts([diff_id]))
    assert driver.usage(diff_id) > 0
    aside = driver.set_aside(diff_id)
    assert aside is not None
    assert not driver.has(diff_id)
    assert list(driver.diff_ids()) == []
    assert aside.remove() > 0
    assert driver.set_aside(diff_id) is None
    assert driver.usage(diff_id) == 0


def test_a_full_disk_is_told(driver: Layers, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with pytest.raises(NoSpace), driver.begin(Digest.of(BASE)) as writer:
        monkeypatch.setattr(os, "write" if driver.name == "erofs" else "rename", full)
        writer.write(BASE)
        writer.commit()
    monkeypatch.undo()
    assert everything(paths) == []


def test_a_container_writes_to_a_root_of_its_own(driver: Layers) -> None:
    diff_ids = [put(driver, data) for data in (BASE, UPPER)]
    with shown(driver, diff_ids) as root:
        Path(root, "etc/motd").write_text("mine")
        Path(root, "new").write_bytes(b"x" * 10_000)
    with shown(driver, diff_ids) as root:
        assert Path(root, "etc/motd").read_text() == "mine"
    with shown(driver, diff_ids, "d" * 64) as root:
        assert Path(root, "etc/motd").read_text() == "changed\n"
    assert driver.upper_usage(KEY) >= 10_000


def test_what_a_container_changed_is_an_upper_folder(driver: Layers, paths: Paths) -> None:
    from holdall.layer.diff import changes

    diff_ids = [put(driver, data) for data in (BASE, UPPER)]
    with shown(driver, diff_ids) as root:
        Path(root, "etc/motd").write_text("mine")
        os.unlink(root + "/cap")
        os.mkdir(root + "/made")
        os.symlink("x", root + "/made/link")
        os.chmod(root + "/etc/deep", 0o700)
    with driver.written(KEY, diff_ids) as (upper, lowers):
        found = [(one.kind, one.path) for one in changes(upper, lowers)]
    assert found == [
        ("D", "/cap"), ("C", "/etc"), ("C", "/etc/deep"), ("C", "/etc/motd"), ("A", "/made"), ("A", "/made/link"),
    ]  # fmt: skip
    assert not [name for name in os.listdir(paths.container(KEY)) if name.startswith(".")]


def test_a_renamed_folder_is_a_new_one(driver: Layers) -> None:
    from holdall.layer.diff import changes

    diff_ids = [put(driver, BASE)]
    driver.prepare(KEY, diff_ids)
    with shown(driver, diff_ids) as root:
        # as mv(1) does: overlayfs leaves copying a folder of a layer to its caller
        shutil.move(root + "/etc/replaced", root + "/etc/moved")
    with driver.written(KEY, diff_ids) as (upper, lowers):
        found = {(one.kind, one.path) for one in changes(upper, lowers)}
    assert {("A", "/etc/moved"), ("A", "/etc/moved/below"), ("D", "/etc/replaced")} <= found


@pytest.mark.parametrize("order", [("erofs", "overlay"), ("overlay", "erofs")])
def test_a_store_mixes_layers_of_both_kinds(driver: Layers, paths: Paths, order: tuple[str, str]) -> None:
    if probe.complaint(paths, "erofs"):
        pytest.skip("this kernel mounts no EROFS images")
    diff_ids = [put(DRIVERS[name](paths), data) for name, data in zip(order, (BASE, UPPER), strict=True)]
    assert len(driver.mounts(diff_ids)) == 1
    with shown(driver, diff_ids) as root:
        assert Path(root, "etc/motd").read_text() == "changed\n"
        assert Path(root, "etc/deep/er/file").read_bytes() == b"x" * 5000


def test_names_are_checked(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    from holdall.errors import InvalidOption

    database = open_database(paths)
    try:
        assert {choose.snapshots(paths, database, name).name for name in DRIVERS} == set(DRIVERS)
        best = choose.verdict(paths, database).driver
        assert choose.snapshots(paths, database).name == best
        monkeypatch.setenv(choose.VARIABLE, "copy")
        assert choose.snapshots(paths, database).name == "copy"
        with pytest.raises(InvalidOption, match="btrfs") as caught:
            choose.snapshots(paths, database, "btrfs")
        assert "erofs, overlay, copy" in (caught.value.hint or "")
    finally:
        database.close()


def test_the_tar_is_an_ordinary_blob(paths: Paths) -> None:
    if probe.complaint(paths, "erofs"):
        pytest.skip("this kernel mounts no EROFS images")
    driver, content = ErofsSnapshots(paths), ContentStore(paths)
    diff_id = put(driver, BASE)
    assert content.read(Digest.parse(diff_id)) == BASE
    os.unlink(content.path(Digest.parse(diff_id)))
    assert not driver.has(diff_id)
    assert driver.missing(diff_id) == ((0, len(BASE)),)
    with pytest.raises(StoreCorrupt, match="missing"):
        driver.lowers([diff_id])
