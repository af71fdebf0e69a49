from __future__ import annotations

import os

import pytest

from holdall.errors import InvalidOption
from holdall.linux import capabilities
from holdall.oci.runtime_spec import Mount, Namespace
from holdall.runtime import bundle
from holdall.runtime.bundle import DEFAULT_CAPABILITIES, Wishes, build


def bounding(**wishes) -> set[str]:
    sets = build(Wishes(("x",), **wishes)).process.capabilities
    assert sets is not None
    assert sets.bounding == sets.effective == sets.permitted
    assert sets.inheritable == sets.ambient == ()
    return set(sets.bounding)


def test_capability_options() -> None:
    default = set(DEFAULT_CAPABILITIES)
    assert len(default) == 14
    assert bounding() == default
    assert bounding(cap_add=("net_admin",)) == default | {"CAP_NET_ADMIN"}
    assert bounding(cap_drop=("CAP_CHOWN", "kill")) == default - {"CAP_CHOWN", "CAP_KILL"}
    assert bounding(cap_drop=("all",)) == set()
    assert bounding(cap_drop=("ALL",), cap_add=("CHOWN",)) == {"CAP_CHOWN"}
    everything = set(capabilities.names(capabilities.bounding()))
    assert bounding(cap_add=("ALL",)) == bounding(privileged=True) == everything
    assert bounding(cap_add=("ALL",), cap_drop=("SYS_ADMIN",)) == everything - {"CAP_SYS_ADMIN"}
    for option in ("cap_add", "cap_drop"):
        with pytest.raises(InvalidOption, match="NOPE"):
            bounding(**{option: ("NOPE",)})


def test_namespace_modes() -> None:
    spec = build(Wishes(("x",), network="host", pid="/proc/7/ns/pid", ipc="new", uts="host", hostname="h"))
    assert spec.namespace("network") is None
    assert spec.namespace("pid") == Namespace("pid", "/proc/7/ns/pid")
    assert spec.namespace("ipc") == Namespace("ipc")
    assert spec.namespace("mount") == Namespace("mount")
    assert spec.hostname == ""


def test_wished_mount_replaces_the_default_at_its_place() -> None:
    spec = build(Wishes(("x",), mounts=(Mount("/dev/shm/", "tmpfs", "mine"),)))
    assert [entry.source for entry in spec.mounts if entry.destination.startswith("/dev/shm")] == ["mine"]


def test_shared_memory() -> None:
    def shm(**wishes) -> Mount:
        return next(entry for entry in build(Wishes(("x",), **wishes)).mounts if entry.destination == "/dev/shm")

    assert "size=1234" in shm(shm_size=1234).options
    assert shm(shm_path="/run/shm").source == "/run/shm"
    assert shm(ipc="host").source == "/dev/shm"


def test_privileged_and_unmasked() -> None:
    assert build(Wishes(("x",))).masked_paths[: len(bundle.MASKED_PATHS)] == bundle.MASKED_PATHS
    for spec in (build(Wishes(("x",), unmasked=True)), build(Wishes(("x",), privileged=True))):
        assert spec.masked_paths == spec.readonly_paths == ()
    options = {entry.destination: entry.options for entry in build(Wishes(("x",), privileged=True)).mounts}
    assert "rw" in options["/sys"]
    assert "rw" in options["/sys/fs/cgroup"]
    assert build(Wishes(("x",), privileged=True, seccomp={"a": 1}, apparmor_profile="p")).seccomp is None


def test_propagating_mounts_need_a_propagating_root() -> None:
    def word(option: str) -> str:
        return build(Wishes(("x",), mounts=(Mount("/m", "bind", "/m", ("rbind", option)),))).rootfs_propagation

    assert [word(option) for option in ("ro", "rprivate", "rslave", "slave", "shared", "rshared")] == [
        "", "", "rslave", "rslave", "rshared", "rshared",
    ]  # fmt: skip


def test_exec_process_takes_over_what_is_not_said() -> None:
    base = build(Wishes(("x",), env=("A=1",), cwd="/w", terminal=True, console_size=(1, 2))).process
    made = bundle.exec_process(base, ("y",), env=("B=2",))
    assert (made.args, made.env, made.cwd, made.terminal, made.console_size) == (
        ("y",),
        ("A=1", "B=2"),
        "/w",
        False,
        None,
    )
    assert made.capabilities == base.capabilities


def test_device_option() -> None:
    found = bundle.device("/dev/null", "/dev/other")
    assert (found.path, found.type, found.major, found.minor) == ("/dev/other", "c", 1, 3)
    with pytest.raises(InvalidOption, match="not a device"):
        bundle.device("/etc/passwd")
    with pytest.raises(InvalidOption, match="no such file"):
        bundle.device("/dev/absent-node")


def test_host_devices_hold_nodes_only() -> None:
    found = {entry.path for entry in bundle.host_devices()}
    assert "/dev/null" in found
    assert not [path for path in found if path.startswith(("/dev/pts/", "/dev/shm/")) or os.path.isdir(path)]
