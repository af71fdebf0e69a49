from __future__ import annotations

import json

import pytest

from holdall.errors import HoldallError, InvalidInput, Unsupported
from holdall.oci.runtime_spec import (
    Capabilities,
    Device,
    Hook,
    Hooks,
    IdMapping,
    Mount,
    Namespace,
    ProcessSpec,
    Rlimit,
    RuntimeSpec,
    User,
)
from holdall.oci.runtime_spec_json import parse, serialise

FULL = RuntimeSpec(
    process=ProcessSpec(
        args=("sh", "-c", "é"), env=("A=1",), cwd="/w", terminal=True, console_size=(24, 80),
        user=User(1, 2, 0o27, (3, 4)), capabilities=Capabilities(("CAP_KILL",), (), (), ("CAP_KILL",), ()),
        rlimits=(Rlimit("RLIMIT_CORE", -1, -1), Rlimit("RLIMIT_NOFILE", 1, 2)), no_new_privileges=True,
        oom_score_adj=-5, apparmor_profile="p", selinux_label="l",
    ),
    root_path="r", root_readonly=True, hostname="h", domainname="d",
    mounts=(Mount("/a", "tmpfs", "tmpfs", ("ro",)), Mount("/b")),
    hooks=Hooks(prestart=(Hook("/x", ("x", "y"), ("A=1",), 3),), poststop=(Hook("/z"),)),
    annotations={"k": "v"}, namespaces=(Namespace("pid"), Namespace("network", "/p")),
    devices=(Device("/dev/a", "c", 1, 2, 0o600, 3, 4), Device("/dev/p", "p")),
    masked_paths=("/m",), readonly_paths=("/r",),
    sysctl={"a.b": "1"}, cgroups_path="/cg", rootfs_propagation="rslave", mount_label="ml",
    uid_mappings=(IdMapping(0, 1000, 1),), gid_mappings=(IdMapping(0, 1000, 1),),
    resources={"memory": {"limit": 1}}, seccomp={"defaultAction": "SCMP_ACT_ALLOW"},
)  # fmt: skip


@pytest.mark.parametrize("spec", [FULL, RuntimeSpec(), RuntimeSpec(process=ProcessSpec(args=("x",), oom_score_adj=0))])
def test_round_trip(spec: RuntimeSpec) -> None:
    assert parse(serialise(spec)) == spec
    assert serialise(parse(serialise(spec))) == serialise(spec)


def changed(**changes: object) -> bytes:
    document = json.loads(serialise(FULL))
    for path, value in changes.items():
        *folders, last = path.split("__")
        place = document
        for name in folders:
            place = place[name]
        place[last] = value
    return json.dumps(document).encode()


def test_unknown_properties_are_ignored() -> None:
    assert parse(changed(future=1, process__future={}, linux__future=[])) == FULL


@pytest.mark.parametrize(
    "changes",
    [
        {"ociVersion": "2.0.0"}, {"process__scheduler": {"policy": "x"}}, {"process__ioPriority": {"class": "x"}},
        {"linux__intelRdt": {"closID": "x"}}, {"linux__personality": {"domain": "LINUX32"}},
        {"linux__namespaces": [{"type": "new"}]}, {"mounts": [{"destination": "/", "uidMappings": [{"size": 1}]}]},
    ],
)  # fmt: skip
def test_what_we_do_not_do_is_refused(changes) -> None:
    with pytest.raises(Unsupported):
        parse(changed(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"ociVersion": None}, {"ociVersion": 1}, {"root": None}, {"root__path": ""}, {"process__cwd": "rel"},
        {"process__args": [1]}, {"process__user__uid": -1}, {"process__user__additionalGids": [True]},
        {"process__user__additionalGids": [2**32]}, {"process__rlimits": [{"type": "X", "soft": 2**64, "hard": 1}]},
        {"process__oomScoreAdj": "x"}, {"mounts": [{}]}, {"mounts": {}}, {"hooks": {"prestart": [{"path": "rel"}]}},
        {"hooks": {"prestart": [{"path": "/x", "timeout": 0}]}}, {"linux__devices": [{"path": "/x", "type": "z"}]},
        {"linux__namespaces": [{"type": "pid"}, {"type": "pid"}]}, {"linux__sysctl": {"a": 1}},
        {"annotations": {"a": 1}}, {"linux": []}, {"linux__uidMappings": [{"containerID": 0}]},
    ],
)  # fmt: skip
def test_malformed_documents_are_refused(changes) -> None:
    with pytest.raises(InvalidInput):
        parse(changed(**changes))


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b'{"a":1,"a":2}', b"[" * 10_000])
def test_garbage_is_refused(raw: bytes) -> None:
    with pytest.raises(HoldallError):
        parse(raw)


def test_largest_limit_is_unlimited() -> None:
    spec = parse(changed(process__rlimits=[{"type": "RLIMIT_AS", "soft": 2**64 - 1, "hard": 2**64 - 1}]))
    assert spec.process.rlimits == (Rlimit("RLIMIT_AS", -1, -1),)
