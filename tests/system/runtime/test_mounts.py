"""Mounts of the specification, and images that try to steer them elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.errors import Unsupported
from holdall.linux import mount, overlay
from holdall.oci.runtime_spec import Device, Mount
from holdall.record import replace
from holdall.runtime import create
from holdall.runtime.launch import Directory, Stdio

pytestmark = pytest.mark.root


@pytest.fixture
def source(rig) -> Path:
    folder = rig.base / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_text("data\n")
    return folder


def bind(source: Path, destination: str, *options: str) -> Mount:
    return Mount(destination, "bind", str(source), options or ("rbind",))


def test_bind_mount_of_a_folder_and_a_file(rig, source) -> None:
    mounts = (bind(source, "/a/b"), bind(source / "file", "/etc/deep/name"))
    assert rig.sh("cat /a/b/file /etc/deep/name; echo new > /a/b/made", mounts=mounts) == "data\ndata\n"
    assert (source / "made").read_text() == "new\n"
    assert (rig.upper / "a/b").is_dir()
    assert (rig.upper / "etc/deep/name").is_file()


def test_relative_source_counts_from_the_bundle(rig) -> None:
    (rig.bundle / "hosts").write_text("h\n")
    assert rig.sh("cat /etc/hosts", mounts=(Mount("/etc/hosts", "bind", "hosts", ("bind",)),)) == "h\n"


def test_options_of_bind_mounts(rig, source) -> None:
    mounts = (bind(source, "/m", "bind", "ro", "nosuid", "nodev", "noexec", "noatime"),)
    out = rig.sh("grep ' /m ' /proc/mounts; ! touch /m/x 2>/dev/null", mounts=mounts)
    assert {"ro", "nosuid", "nodev", "noexec", "noatime"} <= set(out.split()[3].split(","))


def test_read_only_is_recursive_only_when_asked(rig, source) -> None:
    mount.mount("tmpfs", str(source / "sub"), "tmpfs")
    try:
        rig.sh("touch /m/sub/x; ! touch /m/x 2>/dev/null", mounts=(bind(source, "/m", "rbind", "ro"),))
        rig.sh("! touch /m/sub/y 2>/dev/null; ! touch /m/x 2>/dev/null", mounts=(bind(source, "/m", "rbind", "rro"),))
        assert rig.sh("ls /m/sub", mounts=(bind(source, "/m", "bind"),)) == ""
        assert rig.sh("ls /m/sub", mounts=(bind(source, "/m", "rbind"),)) == "x\n"
    finally:
        mount.umount(str(source / "sub"))


@pytest.fixture
def shared(source) -> Iterator[Path]:
    """A mount of the host that others may see the changes of."""
    mount.mount("tmpfs", str(source), "tmpfs")
    mount.mount(None, str(source), None, mount.MS_SHARED)
    (source / "sub").mkdir()
    yield source
    mount.umount(str(source), mount.MNT_DETACH)


PROPAGATION = [("rprivate", ""), ("", ""), ("rslave", "master:"), ("rshared", "shared:"), ("shared", "shared:")]


@pytest.mark.parametrize(("word", "tag"), PROPAGATION)
def test_propagation(rig, shared, word, tag) -> None:
    script = "grep ' /m ' /proc/self/mountinfo; echo; read x; cat /m/sub/late 2>/dev/null; echo end"
    running = rig.start("sh", "-c", script, mounts=(bind(shared, "/m", "rbind", *([word] if word else [])),))
    running.until_output("\n\n")
    line = running.data["out"].decode().split(" - ")[0]
    assert ("shared:" in line, "master:" in line) == (tag == "shared:", tag == "master:")
    mount.mount("tmpfs", str(shared / "sub"), "tmpfs")
    (shared / "sub/late").write_text("late\n")
    running.write("go\n")
    running.close_stdin()
    assert ("late" in running.wait().out) == bool(tag)


@pytest.mark.parametrize("old_interface", [False, True])
def test_shared_mounts_inside_reach_the_host_and_nothing_else_does(rig, shared, monkeypatch, old_interface) -> None:
    if old_interface:
        monkeypatch.setattr(overlay, "overlay", lambda *args, **kwargs: None)
    mounts = (bind(shared, "/m", "rbind", "rshared"),)
    rig.sh("mount -t tmpfs none /m/sub; touch /m/sub/inside", mounts=mounts, cap_add=("SYS_ADMIN",))
    assert (shared / "sub/inside").exists()
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    assert len([line for line in lines if str(rig.base) in line]) == 2


@pytest.mark.parametrize("word", ["rshared", "rslave"])
def test_directory_root_with_propagation(rig, shared, directory_root, word) -> None:
    mounts = (bind(shared, "/m", "rbind", word),)
    assert rig.sh("ls -d /m/sub", mounts=mounts, launch={"rootfs": directory_root}) == "/m/sub\n"


def test_tmpfs_size_and_mode(rig) -> None:
    mounts = (Mount("/t", "tmpfs", "tmpfs", ("nosuid", "noexec", "size=2m", "mode=1770")),)
    out = rig.sh(
        "grep ' /t ' /proc/mounts; stat -c %a /t; ! dd if=/dev/zero of=/t/x bs=1M count=3 2>/dev/null", mounts=mounts
    )
    assert {"rw", "nosuid", "noexec", "size=2048k"} <= set(out.split()[3].split(","))
    assert out.splitlines()[-1] == "1770"


@pytest.mark.parametrize("option", ["idmap", "tmpcopyup", "remount"])
def test_options_we_do_not_do_are_refused(rig, source, option) -> None:
    launch = rig.launch(("true",), {}, mounts=(bind(source, "/m", "bind", option),))
    with pytest.raises(Unsupported, match=option):
        create.spawn(launch, Stdio(0, 1, 2))


def test_unknown_option_of_a_bind_mount_is_refused(rig, source) -> None:
    with pytest.raises(Unsupported, match="frobnicate"):
        create.spawn(rig.launch(("true",), {}, mounts=(bind(source, "/m", "bind", "frobnicate"),)), Stdio(0, 1, 2))


def test_folder_on_a_file_is_explained(rig, source) -> None:
    error = rig.run("true", mounts=(bind(source, "/etc/passwd"),)).error
    assert '"/etc/passwd"' in error.message
    assert error.hint is not None


def test_absolute_link_in_the_image_stays_inside(rig, source, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (rig.lower / "escape").symlink_to(outside)
    out = rig.sh("cat /escape/x/file", mounts=(bind(source, "/escape/x"),))
    assert out == "data\n"
    assert not list(outside.iterdir())
    assert (rig.upper / str(outside)[1:] / "x").is_dir()


@pytest.mark.parametrize(
    "link", ["../../../../../../../../host", "/../../host", "../host/../../../host", "loop/../host"]
)
def test_dot_dot_links_stay_inside(rig, source, link) -> None:
    (rig.lower / "deep").mkdir()
    (rig.lower / "deep/link").symlink_to(link)
    before = set(os.listdir("/"))
    rig.run("true", mounts=(bind(source, "/deep/link/x"),))
    assert set(os.listdir("/")) == before
    assert not (rig.base / "host").exists()


def test_link_loop_is_an_error(rig, source) -> None:
    (rig.lower / "loop").symlink_to("loop")
    assert '"/loop/x"' in rig.run("true", mounts=(bind(source, "/loop/x"),)).error.message


def test_chain_of_dangling_links_is_bounded(rig, source) -> None:
    for number in range(100):
        (rig.lower / f"l{number}").symlink_to(f"l{number + 1}")
    assert rig.run("true", mounts=(bind(source, "/l0/x"),)).code == 125


@pytest.mark.parametrize("target", ["/proc/self/fd", "/proc/1/root", "/proc/self/cwd"])
def test_magic_links_are_not_followed(rig, source, target) -> None:
    (rig.lower / "magic").symlink_to(target)
    result = rig.run("true", mounts=(bind(source, "/magic/x"),))
    assert result.code == 125, result.messages


@pytest.mark.parametrize("place", ["/proc/self/attr", "/proc/sys", "/proc/1", "/proc/self/environ"])
def test_nothing_is_mounted_inside_proc(rig, source, place) -> None:
    what = source / "file" if place.endswith("environ") else source
    assert "/proc" in rig.run("true", mounts=(bind(what, place, "bind"),)).error.message
    assert "/proc" in rig.run("true", mounts=(Mount(place, "tmpfs", "tmpfs"),)).error.message
    (rig.lower / "etc/evil").symlink_to(place)
    assert "inside /proc" in rig.run("true", mounts=(bind(what, "/etc/evil", "bind"),)).error.message


def test_lxcfs_files_may_cover_harmless_ones(rig, source) -> None:
    assert rig.sh("cat /proc/uptime", mounts=(bind(source / "file", "/proc/uptime", "bind"),)) == "data\n"


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_proc_and_sys_must_not_be_links(rig, name) -> None:
    (rig.lower / name).rmdir()
    (rig.lower / "elsewhere").mkdir()
    (rig.lower / name).symlink_to("elsewhere")
    assert "symbolic link" in rig.run("true").error.message


def test_dev_that_is_a_link_stays_inside(rig) -> None:
    (rig.lower / "dev").rmdir()
    (rig.lower / "dev").symlink_to("/devices")
    before = set(os.listdir("/dev"))
    assert rig.sh("echo x > /dev/null; readlink /dev; ls /devices/null") == "/devices\n/devices/null\n"
    assert set(os.listdir("/dev")) == before


def test_device_path_through_a_hostile_link_stays_inside(rig) -> None:
    (rig.lower / "evil").symlink_to("/../../../../tmp")
    rig.sh("test -c /tmp/rt-node", devices=(Device("/evil/rt-node", "c", 1, 3),))
    assert not os.path.exists("/tmp/rt-node")


def test_hostile_etc_link_does_not_misplace_files(rig, source) -> None:
    (rig.lower / "etc/passwd").unlink()
    (rig.lower / "etc/group").unlink()
    (rig.lower / "etc").rmdir()
    (rig.lower / "etc").symlink_to("/proc/sys/kernel")
    assert rig.run("true", mounts=(bind(source / "file", "/etc/hosts", "bind"),)).code == 125


def test_own_dev_bind_keeps_the_hosts_nodes(rig) -> None:
    mounts = (Mount("/dev", "bind", "/dev", ("rbind", "rprivate")),)
    launch = rig.launch(("sh", "-c", "test -c /dev/null"), {}, mounts=mounts)
    kept = tuple(
        entry for entry in launch.spec.mounts if entry.destination not in ("/dev/pts", "/dev/mqueue", "/dev/shm")
    )
    before = sorted(os.listdir("/dev"))
    assert rig.start_launch(replace(launch, spec=replace(launch.spec, mounts=kept))).wait().code == 0
    assert sorted(os.listdir("/dev")) == before


def test_bind_of_the_whole_host_does_not_hold_the_container_itself(rig) -> None:
    out = rig.sh("cat /proc/mounts", mounts=(Mount("/host", "bind", "/", ("rbind", "ro")),))
    assert " /host " in out
    assert [line.split()[1] for line in out.splitlines() if str(rig.base) in line] == ["/"]


def test_directory_root_with_missing_mountpoints_and_no_right_to_make_them(rig, source) -> None:
    base = rig.base / "readonly"
    base.mkdir()
    mount.mount(str(rig.lower), str(base), None, mount.MS_BIND)
    mount.mount(None, str(base), None, mount.MS_BIND | mount.MS_REMOUNT | mount.MS_RDONLY)
    try:
        result = rig.run("true", launch={"rootfs": Directory(str(base))}, mounts=(bind(source, "/absent"),))
        assert "read-only file system" in result.error.message
    finally:
        mount.umount(str(base))
