from __future__ import annotations

import json

import pytest

from holdall.errors import InvalidInput, LimitExceeded
from holdall.linux import seccomp_json
from holdall.linux.seccomp_profile import Argument, Condition, Host, Profile, Rule, resolve

RULE = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}


def parse(**fields: object) -> Profile:
    return seccomp_json.parse(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", **fields}).encode())


def rule(**fields: object) -> Rule:
    return parse(syscalls=[{**RULE, **fields}]).rules[0]


def test_runtime_spec_form() -> None:
    argument = {"index": 1, "value": 16, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}
    profile = parse(
        defaultErrnoRet=38,
        architectures=["SCMP_ARCH_X86"],
        flags=["SECCOMP_FILTER_FLAG_LOG"],
        syscalls=[{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "args": [argument]}],
    )
    assert profile == Profile(
        "SCMP_ACT_ERRNO",
        38,
        ("SCMP_ARCH_X86",),
        (),
        (Rule(("socket",), "SCMP_ACT_ERRNO", 22, (Argument(1, "MASKED_EQ", 16, 8),)),),
        ("SECCOMP_FILTER_FLAG_LOG",),
    )
    assert seccomp_json.from_value(seccomp_json.to_value(profile)) == profile


def test_docker_form() -> None:
    profile = parse(
        archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32"]},
                 {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": None}],
        syscalls=[{"name": "bpf", "action": "SCMP_ACT_ALLOW", "comment": "why", "args": None,
                   "includes": {"caps": ["CAP_BPF"], "minKernel": "5.8"}, "excludes": {"arches": ["s390"]}}],
    )  # fmt: skip
    assert profile.arch_map == (("SCMP_ARCH_X86_64", ("SCMP_ARCH_X32",)), ("SCMP_ARCH_RISCV64", ()))
    assert profile.rules == (
        Rule(("bpf",), "SCMP_ACT_ALLOW", None, (), Condition(("CAP_BPF",), (), (5, 8)), Condition(arches=("s390",))),
    )


def test_podman_names_its_errors() -> None:
    assert parse(defaultErrno="ENOSYS", defaultErrnoRet=1).default_error == 38
    assert rule(action="SCMP_ACT_ERRNO", errno="EINVAL").error == 22
    assert rule(errno="", errnoRet=None).error is None


def test_resolving_decides_every_condition() -> None:
    profile = parse(
        archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32"]}],
        syscalls=[
            {**RULE, "names": ["a"], "includes": {"caps": ["CAP_BPF", "CAP_KILL"]}},
            {**RULE, "names": ["b"], "excludes": {"caps": ["CAP_BPF", "CAP_KILL"]}},
            {**RULE, "names": ["c"], "includes": {"minKernel": "6.2"}},
            {**RULE, "names": ["d"], "excludes": {"minKernel": "6.2"}},
            {**RULE, "names": ["e"], "includes": {"arches": ["arm64"]}},
            {**RULE, "names": ["f"], "excludes": {"arches": ["arm64"]}},
        ],
    )

    def names(capabilities: list[str], release: str, machine: str) -> str:
        return "".join(r.names[0] for r in resolve(profile, Host.of(capabilities, release, machine), machine).rules)

    assert names(["CAP_BPF"], "6.1.0-18-amd64", "x86_64") == "df"
    assert names(["kill", "bpf"], "6.10.2", "x86_64") == "acf"
    assert names([], "6.2-rc1", "aarch64") == "bce"
    assert resolve(profile, Host.of([], "6.1", "x86_64"), "x86_64").architectures == (
        "SCMP_ARCH_X86_64",
        "SCMP_ARCH_X32",
    )
    assert resolve(profile, Host.of([], "6.1", "aarch64"), "aarch64").architectures == ()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"colour": 1}, 'unknown field "colour"'),
        ({"syscalls": [{**RULE, "colour": 1}]}, r'syscalls\[0\]: unknown field "colour"'),
        ({"syscalls": [{**RULE, "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ", "x": 1}]}]}, 'field "x"'),
        ({"syscalls": [{**RULE, "includes": {"cap": []}}]}, 'field "cap"'),
        ({"defaultAction": "SCMP_ACT_MAYBE"}, "defaultAction: unknown value"),
        ({"defaultAction": None}, "defaultAction: unknown value"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "cannot be the default"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}, "takes no error number"),
        ({"defaultErrno": "EWHATEVER"}, "unknown error"),
        ({"defaultErrnoRet": 4096}, "whole number"),
        ({"defaultErrnoRet": True}, "whole number"),
        ({"architectures": ["SCMP_ARCH_Z80"]}, "unknown value"),
        ({"architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86"}]}, "both"),
        ({"flags": ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}, "unknown value"),
        ({"syscalls": {}}, "not a list"),
        ({"syscalls": [1]}, "not an object"),
        ({"syscalls": [{**RULE, "names": []}]}, "names is empty"),
        ({"syscalls": [{**RULE, "name": "write"}]}, "both name and names"),
        ({"syscalls": [{**RULE, "names": ["re ad"]}]}, "not a system call name"),
        ({"syscalls": [{**RULE, "errnoRet": 1}]}, "takes no error number"),
        ({"syscalls": [{**RULE, "action": "SCMP_ACT_NOTIFY"}]}, "needs listenerPath"),
        ({"listenerPath": "/x", "syscalls": [{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]}, "for write"),
        ({"syscalls": [{**RULE, "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]}, "index"),
        ({"syscalls": [{**RULE, "args": [{"index": 0, "value": 1 << 64, "op": "SCMP_CMP_EQ"}]}]}, "value"),
        ({"syscalls": [{**RULE, "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}]}, "value"),
        ({"syscalls": [{**RULE, "args": [{"index": 0, "value": 1, "op": "EQ"}]}]}, "unknown op"),
        ({"syscalls": [{**RULE, "args": [{"index": 0, "op": "SCMP_CMP_EQ"}]}]}, "value is missing"),
        ({"syscalls": [{**RULE, "includes": {"minKernel": "4"}}]}, "MAJOR.MINOR"),
        ({"syscalls": [{**RULE, "includes": {"minKernel": "4.x"}}]}, "MAJOR.MINOR"),
        ({"syscalls": [{**RULE, "includes": {"caps": ["SYS_ADMIN"]}}]}, "not a capability"),
    ],
)
def test_malformed_profiles_are_refused_by_name(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        parse(**fields)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b'{"defaultAction": "SCMP_ACT_LOG", "defaultAction": "x"}'])
def test_what_is_no_profile_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        seccomp_json.parse(raw)


def test_sizes_are_bounded() -> None:
    with pytest.raises(LimitExceeded):
        seccomp_json.parse(b" " * (seccomp_json.MAX_BYTES + 1))
    with pytest.raises(LimitExceeded):
        parse(syscalls=[RULE] * (seccomp_json.MAX_RULES + 1))
    with pytest.raises(LimitExceeded):
        rule(names=["read"] * (seccomp_json.MAX_NAMES + 1))
    with pytest.raises(InvalidInput):
        seccomp_json.parse(b'{"a":' * 100_000)
