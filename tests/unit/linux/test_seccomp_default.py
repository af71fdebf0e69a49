"""Our default profile against Docker's: its table of answers was taken from moby's JSON once, by `Reference`."""

from __future__ import annotations

import errno
import json

import pytest

from holdall.linux import seccomp
from holdall.linux.seccomp_default import BY_CAPABILITY, default_profile
from holdall.linux.seccomp_json import to_value
from holdall.linux.seccomp_profile import Host, resolve
from holdall.linux.syscall_numbers import numbers_of
from holdall.testing.seccomp import ALLOW, ERRNO, X86_64, Reference, fingerprint, questions, run

DOCKER = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
    "AUDIT_WRITE"
).split()
CASES = {
    "none": ((), "6.1"),
    "docker": (DOCKER, "6.18"),
    "admin": (("CAP_SYS_ADMIN",), "6.1"),
    "every": (tuple(BY_CAPABILITY), "6.1"),
    "old": (DOCKER, "4.4"),
}
# fingerprints of moby/profiles cd3bed8, seccomp/default.json (2026-06-30)
MOBY = {
    ("none", "x86_64"): "17787938a94042c4943476eda54f669c",
    ("none", "aarch64"): "7f03963976d4cbf9333c3311326ded5f",
    ("docker", "x86_64"): "341c5a13b62ad63f83fb3452f222b361",
    ("docker", "aarch64"): "0a113ccd9fc0ee6218a2603526db37f5",
    ("admin", "x86_64"): "3db6b1be58373929d29b5a6d48de67c2",
    ("admin", "aarch64"): "0d2c0c88ae6b21c34eeb59e31eea3cc4",
    ("every", "x86_64"): "84239ef27882fc98de0a52e0ab8e1f5b",
    ("every", "aarch64"): "295a5764a14f1940519caf9085e1106b",
    ("old", "x86_64"): "208d8cd890e4582d21437aec0294e519",
    ("old", "aarch64"): "f18d5f9e15cae50703819860527e014e",
}
X64 = numbers_of("x86_64")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("case", CASES)
def test_it_answers_as_dockers(case: str, machine: str) -> None:
    capabilities, release = CASES[case]
    program = seccomp.compile_filter(None, capabilities, release, machine)
    assert fingerprint(run(program, *question)[0] for question in questions(machine)) == MOBY[case, machine]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_its_json_means_the_same(machine: str) -> None:
    value = to_value(resolve(default_profile(), Host.of(DOCKER, "6.1", machine), machine))
    raw = json.dumps(value).encode()
    reference = Reference(raw, [], (6, 1), machine)
    program = seccomp.compile_filter(raw, [], "6.1", machine)
    for question in questions(machine):
        assert run(program, *question)[0] == reference.decide(*question)


def test_rubbish_in_the_high_word_does_not_hide_a_socket_family() -> None:
    program = seccomp.compile_filter(None, DOCKER, "6.1", "x86_64")
    for family, expected in ((38, ERRNO | 1), (39, ALLOW), (40, ERRNO | 1), (2, ALLOW)):
        assert run(program, X86_64, X64["socket"], [family])[0] == expected
        assert run(program, X86_64, X64["socket"], [1 << 32 | family])[0] == expected


def test_what_matters_most() -> None:
    program = seccomp.compile_filter(None, DOCKER, "6.18", "x86_64")

    def answer(name: str, *arguments: int) -> int:
        return run(program, X86_64, X64[name], arguments)[0]

    for name in ("mount", "unshare", "setns", "bpf", "io_uring_setup", "keyctl", "kexec_load", "open_by_handle_at"):
        assert answer(name) == ERRNO | errno.EPERM, name
    assert answer("clone3") == answer("open_tree_attr") == ERRNO | errno.ENOSYS
    assert answer("clone", 0x1200011) == ALLOW
    assert answer("clone", 0x10000000) == ERRNO | errno.EPERM
    assert answer("ptrace") == answer("chroot") == ALLOW


def test_frequent_calls_are_decided_in_few_steps() -> None:
    program = seccomp.compile_filter(None, DOCKER, "6.18", "x86_64")
    frequent = (
        "read",
        "write",
        "futex",
        "epoll_wait",
        "openat",
        "close",
        "mmap",
        "recvfrom",
        "sendto",
        "clock_gettime",
    )
    assert max(run(program, X86_64, X64[name])[1] for name in frequent) <= 12
    assert len(program) // 8 < 512
