"""The mount plan, and the system calls it becomes (recorded, not made)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdall.errors import StartError, Unsupported
from holdall.linux import mount
from holdall.oci.runtime_spec import Device, Mount, Namespace, RuntimeSpec
from holdall.runtime import bundle, plan, rootfs
from holdall.runtime.hierarchies import Hierarchies, Hierarchy

V1 = Hierarchies(
    False,
    (Hierarchy("cpu,cpuacct", "cpu,cpuacct", "/h/cpu/x", ("cpu", "cpuacct")), Hierarchy("pids", "pids", "/h/pids")),
)


def steps(spec: RuntimeSpec, hierarchies: Hierarchies | None = None) -> list[str]:
    return [step.describe() for step in plan.steps(spec, "/bundle", hierarchies)]


def test_default_container_is_ordered_mounts_nodes_links_masks() -> None:
    made = plan.steps(bundle.build(bundle.Wishes(("true",))), "/bundle", Hierarchies(True))
    kinds = [type(step).__name__ for step in made]
    assert kinds == sorted(kinds, key=["Filesystem", "Node", "Link", "Mask", "ReadOnly"].index)
    assert [step.destination for step in made if isinstance(step, plan.Filesystem)] == [
        "/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm",
    ]  # fmt: skip


def test_unified_cgroup_is_one_mount() -> None:
    spec = RuntimeSpec(mounts=(Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid")),))
    assert steps(spec, Hierarchies(True))[0] == "mount cgroup2 at /sys/fs/cgroup flags=0x3 data=''"


def test_v1_cgroups_are_a_tmpfs_with_one_mount_each_made_read_only_at_the_end() -> None:
    spec = RuntimeSpec(mounts=(Mount("/cg", "cgroup", "cgroup", ("ro",)),), namespaces=(Namespace("cgroup"),))
    assert steps(spec, V1)[:6] == [
        "mount tmpfs at /cg flags=0x0 data='mode=755,size=64k'",
        "mount cgroup at /cg/cpu,cpuacct flags=0x1 data='cpu,cpuacct'",
        "symlink /cg/cpu -> cpu,cpuacct",
        "symlink /cg/cpuacct -> cpu,cpuacct",
        "mount cgroup at /cg/pids flags=0x1 data='pids'",
        "read-only /cg",
    ]


def test_v1_cgroups_without_own_namespace_show_only_the_own_cgroup() -> None:
    spec = RuntimeSpec(mounts=(Mount("/cg", "cgroup", "cgroup", ("ro",)),))
    assert "bind /h/pids at /cg/pids attributes=0x1" in steps(spec, V1)


def test_destinations_are_cleaned_and_sources_made_absolute() -> None:
    spec = RuntimeSpec(mounts=(Mount("a/../../b//c", "bind", "rel/x", ("rbind",)),))
    assert steps(spec)[0] == "rbind /bundle/rel/x at /b/c attributes=0x0"


def test_given_device_replaces_the_default_one_of_its_path() -> None:
    spec = RuntimeSpec(devices=(Device("/dev/null", "c", 1, 5),))
    nodes = [line for line in steps(spec) if line.startswith("mknod /dev/null ")]
    assert nodes == ["mknod /dev/null c 1:5"]


def test_bind_mounted_dev_is_left_alone() -> None:
    spec = RuntimeSpec(
        mounts=(Mount("/dev/", "bind", "/dev", ("rbind",)), Mount("/x", "tmpfs")), devices=(Device("/dev/a", "c"),)
    )
    assert not [line for line in steps(spec) if line.startswith(("mknod", "symlink"))]


def test_data_for_a_bind_mount_is_refused() -> None:
    with pytest.raises(Unsupported, match="size=1"):
        steps(RuntimeSpec(mounts=(Mount("/x", "bind", "/y", ("bind", "size=1")),)))


class Recorder:
    """Stands in for the mount calls: writes down what would be mounted where, by the path behind the descriptor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.calls: list[str] = []
        self.root = str(root)
        for name in ("mount", "open_tree", "move_mount", "set_attributes", "new_filesystem"):
            monkeypatch.setattr(mount, name, getattr(self, name))

    def place(self, target: str | int) -> str:
        link = target if isinstance(target, str) else f"/proc/self/fd/{target}"
        return os.readlink(link).removeprefix(self.root) or "/"

    def mount(self, source, target, fstype=None, flags=0, data=None) -> None:
        self.calls.append(f"{fstype} {self.place(target)} {flags:#x} {data or ''}".strip())

    def open_tree(self, path, *, dirfd=-100, recursive=False, nofollow=False) -> int:
        return os.open(path, os.O_PATH) if path else os.dup(dirfd)

    def move_mount(self, fd, target) -> None:
        self.calls.append(f"{self.place(fd)} on {self.place(target)}")

    def set_attributes(self, fd, attributes=0, clear=0, propagation=0, *, recursive=False) -> None:
        if attributes:
            self.calls.append(f"{self.place(fd)} {'R' if recursive else ''}{attributes:#x}")

    def new_filesystem(self, fstype, attributes=0) -> int:
        return os.open("/", os.O_PATH)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def perform(recorder: Recorder, *made: plan.Step) -> list[str]:
    builder = rootfs.Builder(tuple(made))
    builder.root = os.open(recorder.root, os.O_PATH)
    try:
        builder.open_sources()
        builder.perform()
    finally:
        os.close(builder.root)
        for fd in (*builder._sources.values(), builder._null, builder._empty):
            if fd >= 0:
                os.close(fd)
    return recorder.calls


def test_calls_of_a_plan(monkeypatch, root, tmp_path) -> None:
    (root / "hidden").mkdir()
    (root / "secret").write_text("x")
    (root / "ro").mkdir()
    (tmp_path / "file").write_text("x")
    spec = RuntimeSpec(
        mounts=(Mount("/p", "proc", "proc", ("nosuid",)), Mount("/t", "tmpfs", "t", ("size=1k", "ro")),
                Mount("/etc/f", "bind", str(tmp_path / "file"), ("bind", "ro")),
                Mount("/dev", "bind", "/dev", ("bind",))),
        masked_paths=("/hidden", "/secret", "/absent"), readonly_paths=("/ro", "/absent"),
    )  # fmt: skip
    assert perform(Recorder(monkeypatch, root), *plan.steps(spec, "/")) == [
        f"{tmp_path}/file 0x1",
        "proc /p 0x2",
        "tmpfs /t 0x1 size=1k",
        f"{tmp_path}/file on /etc/f",
        "/dev on /dev",
        "/ on /hidden",
        "/dev/null on /secret",
        "/ro R0x1",
        "/ro on /ro",
    ]
    assert (root / "etc/f").is_file()


@pytest.mark.parametrize("link", ["/outside", "../../../outside", "/../outside"])
def test_calls_never_leave_the_root(monkeypatch, root, tmp_path, link) -> None:
    (tmp_path / "outside").mkdir()
    (root / "evil").symlink_to(link)
    calls = perform(Recorder(monkeypatch, root), plan.steps(RuntimeSpec(mounts=(Mount("/evil/x", "tmpfs"),)), "/")[0])
    assert calls == ["tmpfs /outside/x 0x0"]
    assert (root / "outside/x").is_dir()
    assert not list((tmp_path / "outside").iterdir())


def test_proc_through_a_link_is_refused(monkeypatch, root) -> None:
    (root / "proc").symlink_to("other")
    with pytest.raises(StartError, match="symbolic link in the image"):
        perform(Recorder(monkeypatch, root), plan.steps(RuntimeSpec(mounts=(Mount("/proc", "proc"),)), "/")[0])
