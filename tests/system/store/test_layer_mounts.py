"""Layers on the host, by the command line: who mounts them, how often, and that nothing stays behind."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator

import pytest

from holdall.paths import Paths
from holdall.runtime import layers
from holdall.store.database import open_database
from holdall.store.snapshots import choose, probe
from holdall.testing.command import APPLETS, BUSYBOX, CommandStore, busybox_available
from holdall.testing.supervised import alive, eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static"),
]
MANY = 100 if os.environ.get("HOLDALL_SOAK") else 8
Make = Callable[[str], CommandStore]


@pytest.fixture(scope="module")
def erofs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """For tests of EROFS alone."""
    paths = Paths(str(tmp_path_factory.mktemp("probe") / "store"), "/nonexistent")
    open_database(paths).close()
    if reason := probe.complaint(paths, "erofs"):
        pytest.skip(f"no EROFS: {reason}")


@pytest.fixture
def make() -> Iterator[Make]:
    top = tempfile.mkdtemp(prefix="holdall-layers-")
    made: list[CommandStore] = []

    def build(driver: str) -> CommandStore:
        folder = f"{top}/{len(made)}"
        os.mkdir(folder)
        store = CommandStore(folder, driver=driver)
        made.append(store)
        store.run("import", image_tar(folder + "/bb.tar"), "bb")
        return store

    try:
        yield build
    finally:
        try:
            for store in made:
                store.close()
        finally:
            shutil.rmtree(top)


def image_tar(path: str) -> str:
    with tarfile.open(path, "w") as tar:
        for name in ("dev", "etc", "proc", "sys"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        tar.add(BUSYBOX, "bin/busybox")
        for name in (*APPLETS, "id", "ls", "stat", "test", "rm", "mkdir", "grep", "wc"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        null = tarfile.TarInfo("null")
        null.type, null.devmajor, null.devminor, null.mode = tarfile.CHRTYPE, 1, 3, 0o666
        tar.addfile(null)
        seed = tarfile.TarInfo("data/seed")
        seed.size = 5
        tar.addfile(seed, io.BytesIO(b"seed\n"))
        secret = tarfile.TarInfo("bin/suid")
        secret.mode, secret.size = 0o4755, os.path.getsize(BUSYBOX)
        with open(BUSYBOX, "rb") as program:
            tar.addfile(secret, program)
    return path


def mounted(store: CommandStore) -> list[str]:
    return layers.mounted(store.paths.layer_mounts)


def idle(store: CommandStore) -> None:
    eventually(lambda: not store.processes("supervisor"))


@pytest.mark.parametrize("driver", choose.NAMES)
def test_containers_live_on_every_driver(make: Make, driver: str, request: pytest.FixtureRequest) -> None:
    if driver == "erofs":
        request.getfixturevalue("erofs")
    store = make(driver)
    assert json.loads(store.run("info", "--format", "json"))["Driver"] == driver
    script = "echo hi > /new; rm /data/seed; echo x > /null; stat -c %a /bin/suid; echo there"
    assert store.run("run", "--name", "one", "bb", "sh", "-c", script).split() == ["4755", "there"]
    assert store.run("diff", "one").split("\n") == ["C /data", "D /data/seed", "A /new"]
    store.run("commit", "one", "two")
    assert store.run("run", "--rm", "two", "sh", "-c", "cat /new; ls /data").split() == ["hi"]
    assert store.run("run", "--rm", "-v", "vol:/data", "bb", "cat", "/data/seed") == "seed"
    store.run("cp", "one:/new", store.folder + "/copied")
    with open(store.folder + "/copied") as file:
        assert file.read() == "hi\n"
    store.run("cp", store.folder + "/copied", "one:/put")
    assert "cat" not in store.run("start", "-a", "one")
    assert store.run("export", "-o", store.folder + "/all.tar", "one") == ""
    with tarfile.open(store.folder + "/all.tar") as tar:
        names = tar.getnames()
        assert {"new", "put", "bin/busybox"} <= set(names)
        assert "data/seed" not in names
        assert tar.getmember("null").ischr()
    store.run("rm", "one")
    idle(store)
    assert mounted(store) == []
    assert "leaks: none" in store.run("doctor")


@pytest.mark.parametrize("user", ["", "1000"])
def test_programs_of_a_layer_may_set_the_user(make: Make, erofs: None, user: str) -> None:
    """overlayfs is asked, not the layer's own mount, which forbids it to whoever comes from the host."""
    store = make("erofs")
    words = ["--user", user] if user else []
    flags = store.run("run", "--rm", *words, "bb", "sh", "-c", "cat /proc/mounts").splitlines()[0]
    assert "nosuid" not in flags
    key = store.run("run", "-d", "bb", "sleep", "1000")
    (place,) = mounted(store)
    with open("/proc/self/mountinfo") as file:
        options = next(line.split(" ")[5] for line in file if line.split(" ")[4] == place)
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))
    with pytest.raises(PermissionError):
        open(place + "/null", "wb").close()
    store.run("rm", "-f", key)


def test_the_last_of_many_containers_adds_no_mount(make: Make, erofs: None) -> None:
    store = make("erofs")
    first = store.run("run", "-d", "bb", "sleep", "1000")
    before = mounted(store)
    assert len(before) == 1
    others = [store.run("run", "-d", "--network", "none", "bb", "sleep", "1000") for _ in range(MANY)]
    assert mounted(store) == before
    assert store.debris([first, *others]) == []
    store.run("rm", "-f", first, *others)
    idle(store)
    assert mounted(store) == []
    assert not os.path.exists(store.paths.layer_mounts)


def test_layers_are_mounted_again_after_a_reboot(make: Make, erofs: None) -> None:
    store = make("erofs")
    store.run("run", "--name", "one", "bb", "sh", "-c", "echo kept > /file")
    idle(store)
    shutil.rmtree(store.paths.run_root)
    assert store.run("start", "-a", "one") == ""
    assert store.run("run", "--rm", "bb", "cat", "/data/seed") == "seed"
    store.run("run", "-d", "--name", "two", "bb", "sleep", "1000")
    for place in mounted(store):
        layers.detach(place)
    assert store.run("exec", "two", "cat", "/data/seed") == "seed"
    store.run("restart", "-t", "0", "two")
    assert store.run("exec", "two", "cat", "/data/seed") == "seed"
    assert len(mounted(store)) == 1


def test_a_killed_supervisors_mounts_are_found_again(make: Make, erofs: None) -> None:
    store = make("erofs")
    key = store.run("run", "-d", "bb", "sleep", "1000")
    before = mounted(store)
    (supervisor,) = store.processes("supervisor")
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not alive(supervisor))
    assert mounted(store) == before
    assert store.run("exec", key, "cat", "/data/seed") == "seed"
    assert store.run("run", "--rm", "bb", "cat", "/data/seed") == "seed"
    assert mounted(store) == before
    store.run("rm", "-f", key)
    idle(store)
    assert mounted(store) == []


def test_mounts_of_nobody_are_leaks(make: Make, erofs: None) -> None:
    store = make("erofs")
    store.run("run", "--rm", "bb", "true")
    (place,) = mounted(store)
    for kind in ("keeper", "supervisor"):
        for process in store.processes(kind):
            os.kill(process, signal.SIGKILL)
    idle(store)
    assert f"leak: mount {place}" in store.run("doctor")
    assert f"mount {place}" in store.attempt("doctor", "--clean").stderr
    assert mounted(store) == []


def test_a_deleted_stores_mounts_are_leaks_of_the_host(make: Make, erofs: None) -> None:
    gone, store = make("erofs"), make("erofs")
    key = gone.run("run", "-d", "bb", "sleep", "1000")
    (place,) = mounted(gone)
    shutil.move(gone.paths.root + "/layers", gone.folder + "/moved")
    assert layers.orphans() == [place]
    assert f"leak: mount {place}" in store.run("doctor")
    assert f"mount {place}" in store.attempt("doctor", "--clean").stderr
    shutil.move(gone.folder + "/moved", gone.paths.root + "/layers")
    gone.run("rm", "-f", key)


def test_removing_an_image_unmounts_its_layers(make: Make, erofs: None) -> None:
    store = make("erofs")
    store.run("run", "--name", "one", "bb", "sh", "-c", "echo 1 > /file")
    store.run("commit", "one", "two")
    key = store.run("run", "-d", "two", "sleep", "1000")
    assert len(mounted(store)) == 2
    keeper = store.run("run", "-d", "bb", "sleep", "1000")
    store.run("rm", "-f", "one", key)
    store.run("rmi", "two")
    assert len(mounted(store)) == 1
    assert store.run("exec", keeper, "cat", "/data/seed") == "seed"
    store.run("rm", "-f", keeper)
    store.run("rmi", "bb")
    assert mounted(store) == []
    assert os.listdir(store.paths.layers + "/sha256") == []


def test_loop_devices_serve_where_files_cannot_be_mounted(
    make: Make, erofs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("no loop devices here")
    monkeypatch.setenv("HOLDALL_EROFS_MOUNT", "loop")
    store = make("")
    facts = json.loads(store.run("info", "--format", "json"))
    if facts["Driver"] != "erofs":
        pytest.skip("loop devices do not work here")
    assert ["EROFS images mounted", "loop devices"] in facts["DriverStatus"]
    key = store.run("run", "-d", "bb", "sleep", "1000")
    with open("/proc/self/mountinfo") as file:
        assert any(store.folder in line and " erofs /dev/loop" in line for line in file)
    assert store.run("exec", key, "cat", "/data/seed") == "seed"
    assert layers.orphans() == []
    store.run("rm", "-f", key)
    idle(store)
    assert mounted(store) == []
    eventually(lambda: not any(store.folder in one for one in backing_files()))


def backing_files() -> list[str]:
    found = []
    for name in os.listdir("/sys/block"):
        try:
            with open(f"/sys/block/{name}/loop/backing_file") as file:
                found.append(file.read())
        except OSError:
            continue
    return found


def test_an_older_kernel_unpacks_what_it_cannot_mount(make: Make, erofs: None) -> None:
    store = make("")
    store.run("run", "--name", "one", "bb", "sh", "-c", "echo 1 > /file")
    idle(store)
    text = f"overlay\n{os.uname().release}\n\nas if it were old"
    with sqlite3.connect(store.paths.database) as database:
        database.execute("UPDATE meta SET value = ? WHERE key = ?", (text, choose.KEY))
    database.close()
    assert store.run("start", "-a", "one") == ""
    assert store.run("run", "--rm", "bb", "cat", "/data/seed") == "seed"
    assert store.run("diff", "one") == "A /file"
    assert mounted(store) == []
    (layer,) = os.listdir(store.paths.layers + "/sha256")
    assert {"fs", "index.erofs"} <= set(os.listdir(f"{store.paths.layers}/sha256/{layer}"))
    assert "the store still goes by overlay" in store.run("doctor")
    assert "storage driver overlay, now erofs" in store.attempt("doctor", "--clean").stderr
    assert json.loads(store.run("info", "--format", "json"))["Driver"] == "erofs"


def test_one_store_takes_layers_of_both_kinds(make: Make, erofs: None) -> None:
    store = make("")
    for number, driver in enumerate(("overlay", "erofs", "copy")):
        name = "bb" if not number else f"mixed{number}"
        script = f"echo {number} > /f{number}"
        store.run("--storage-driver", driver, "run", "--name", f"c{number}", name, "sh", "-c", script)
        store.run("--storage-driver", driver, "commit", f"c{number}", f"mixed{number + 1}")
    assert store.run("run", "--rm", "mixed3", "sh", "-c", "cat /f0 /f1 /f2").split() == ["0", "1", "2"]
    done = store.attempt("--storage-driver", "zfs", "info")
    assert done.returncode != 0
    assert "erofs, overlay, copy" in done.stderr
