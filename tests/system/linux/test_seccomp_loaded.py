"""Filters in the kernel: what a process under them may still do."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from holdall.linux import seccomp
from holdall.linux.seccomp_compiler import compile_profile
from holdall.linux.seccomp_profile import Profile, Rule

pytestmark = pytest.mark.root
DOCKER = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
    "AUDIT_WRITE"
).split()
PODMAN = Path("/usr/share/containers/seccomp.json")
X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")
libc = ctypes.CDLL(None, use_errno=True)


def under(program: bytes, work: Callable[[], object], *, flags: int = seccomp.FLAG_SPEC_ALLOW) -> str:
    """What `work` gives in a child under the filter: the name of its OSError, its value, or the signal it died of."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            seccomp.load(program, flags)
            try:
                answer = str(work())
            except OSError as err:
                answer = errno.errorcode[err.errno or 0]
            os.write(writer, answer.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        answer = file.read()
    _, status = os.waitpid(pid, 0)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else answer


def call(number: int, *arguments: int) -> Callable[[], int]:
    def work() -> int:
        result = libc.syscall(ctypes.c_long(number), *[ctypes.c_ulong(argument) for argument in arguments])
        if result == -1:
            raise OSError(ctypes.get_errno(), "")
        return int(result)

    return work


@pytest.fixture(scope="module")
def default() -> bytes:
    return seccomp.compile_filter(None, DOCKER)


@X86
@pytest.mark.parametrize(
    ("number", "arguments", "expected"),
    [
        (165, (0, 0, 0, 0, 0), "EPERM"),  # mount
        (272, (0x20000,), "EPERM"),  # unshare
        (435, (0, 0), "ENOSYS"),  # clone3
        (467, (0, 0), "ENOSYS"),  # open_tree_attr
        (425, (1, 0), "EPERM"),  # io_uring_setup
        (41, (40, 1, 0), "EPERM"),  # socket(AF_VSOCK)
        (41, (38, 5, 0), "EPERM"),  # socket(AF_ALG)
        (41, (1 << 32 | 38, 5, 0), "EPERM"),
        (135, (0xFFFFFFFF,), "0"),  # personality
        (135, (0x40000,), "EPERM"),  # personality(ADDR_NO_RANDOMIZE)
        (56, (0x10000011, 0, 0, 0, 0), "EPERM"),  # clone(CLONE_NEWUSER)
        (600, (), "ENOSYS"),
    ],
)
def test_default_profile(default: bytes, number: int, arguments: tuple[int, ...], expected: str) -> None:
    assert under(default, call(number, *arguments)) == expected


def test_python_works_under_the_default_profile(default: bytes) -> None:
    code = """
        import hashlib, json, os, socket, sqlite3, subprocess, tempfile, threading, time
        threading.Thread(target=time.sleep, args=(0,)).start()
        with tempfile.TemporaryDirectory() as folder:
            sqlite3.connect(folder + "/x.db").execute("create table t(a)")
            os.symlink("x", folder + "/y"); os.chmod(folder, 0o700); os.utime(folder)
        left, right = socket.socketpair()
        left.send(b"x")
        assert subprocess.run(["sh", "-c", "echo hello"], capture_output=True).stdout == b"hello\\n"
        socket.create_server(("127.0.0.1", 0)).close()
        print(right.recv(1), open("/proc/self/status").read().partition("Seccomp:")[2][:2].strip())
    """
    argv = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(argv, capture_output=True, text=True, preexec_fn=lambda: seccomp.load(default), check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["b'x'", "2"], "")


def test_a_profile_that_kills(default: bytes) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getppid"], "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    program = seccomp.compile_filter(json.dumps(profile).encode(), [])
    assert under(program, os.getppid) == "SIGSYS"
    assert under(program, os.getpid).isdigit()


def test_log_and_unknown_flags_are_tuning(default: bytes) -> None:
    assert under(default, os.getpid, flags=seccomp.FLAG_LOG | 1 << 30).isdigit()


def test_loading_needs_a_right() -> None:
    def work() -> None:
        os.setresuid(65534, 65534, 65534)
        seccomp.load(program)

    program = seccomp.compile_filter(None, [])
    assert under(seccomp.compile_filter(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}).encode(), []), work) == "EACCES"


def test_rubbish_is_refused(default: bytes) -> None:
    for program in (b"", default[:-1], default[8:16], b"\6" * 8 * 4097):
        with pytest.raises(OSError, match=r"Invalid argument|not a seccomp filter"):
            seccomp.load(program)


def test_listener() -> None:
    rule = Rule(("getsid",), "SCMP_ACT_NOTIFY")
    program = compile_profile(Profile("SCMP_ACT_ALLOW", rules=(rule,)), [], os.uname().release, os.uname().machine)
    pid = os.fork()
    if pid == 0:
        fd = seccomp.load(program, seccomp.FLAG_NEW_LISTENER)
        os._exit(7 if fd is not None and os.readlink(f"/proc/self/fd/{fd}").endswith("seccomp notify") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_flags_of_a_profile_reach_the_kernel() -> None:
    flags = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
    raw = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags}).encode()
    program = seccomp.compile_filter(raw, [])
    assert program[:8] == b"\0\0\0\0\6\0\0\0"
    assert under(program, os.getpid).isdigit()


I386 = """
.globl _start
_start:
    movl $20, %eax        # getpid
    int $0x80
    testl %eax, %eax
    js bad
    movl $21, %eax        # mount
    xorl %ebx, %ebx
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %edi, %edi
    int $0x80
    negl %eax
    movl %eax, %ebx
    movl $1, %eax         # exit(errno)
    int $0x80
bad:
    movl $1, %eax
    movl $99, %ebx
    int $0x80
"""


@X86
@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_i386_programs(default: bytes, tmp_path: Path) -> None:
    source, binary = tmp_path / "probe.S", tmp_path / "probe"
    source.write_text(I386)
    subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-o", binary, source], check=True, capture_output=True)
    try:
        free = subprocess.run([binary], check=False).returncode
    except OSError:
        pytest.skip("this kernel runs no 32-bit programs")
    if free < 0:
        pytest.skip("this kernel runs no 32-bit programs")
    assert free == errno.EFAULT
    assert subprocess.run([binary], preexec_fn=lambda: seccomp.load(default), check=False).returncode == errno.EPERM
    native = seccomp.compile_filter(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}).encode(), [])
    assert subprocess.run([binary], preexec_fn=lambda: seccomp.load(native), check=False).returncode == -signal.SIGSYS


@X86
def test_x32_calls(default: bytes) -> None:
    assert under(default, call(0x40000000 | 165, 0, 0, 0, 0, 0)) == "EPERM"
    native = seccomp.compile_filter(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}).encode(), [])
    assert under(native, call(0x40000000 | 39)) == "SIGSYS"


PROBE = """
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
answers = []
for number, arguments in json.loads(@@):
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number), *[ctypes.c_ulong(a) for a in arguments])
    answers.append(ctypes.get_errno())
print(json.dumps(answers))
"""
# harmless with these arguments where allowed
QUESTIONS = [
    [165, [0, 0, 0, 0, 0]], [272, [1 << 40]], [435, [0, 0]], [41, [16, 3, 9]], [41, [40, 1, 0]], [41, [2, 1, 0]],
    [135, [0x40000]], [135, [0xFFFFFFFF]], [425, [0, 0]], [248, [0, 0, 0, 0, 0]], [101, [99, 0, 0, 0]],
    [321, [99, 0, 0]],
    [161, [0]], [155, [0, 0]], [304, [0, 0, 0]], [298, [0, 0, 0, 0, 1 << 40]], [56, [0x10000000]], [462, [1, 0, 1]],
    [429, [0, 0, 0, 0, 99]], [239, [0, 0, 0, 0, 99]],
]  # fmt: skip


@X86
@pytest.mark.peers
@pytest.mark.skipif(not PODMAN.exists() or not shutil.which("runc"), reason="needs podman's profile and runc")
def test_podmans_profile_behaves_as_under_runc_with_libseccomp(tmp_path: Path) -> None:
    script = tmp_path / "probe.py"
    script.write_text(PROBE.replace("@@", repr(json.dumps(QUESTIONS))))
    root = tmp_path / "root"
    root.mkdir()
    for link in ("bin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    raw = PODMAN.read_bytes()
    program = seccomp.compile_filter(raw, DOCKER)
    bounding = ["CAP_" + name for name in DOCKER]
    name = f"holdall-test-{os.getpid()}"
    spec = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/usr/bin/python3", "/probe.py"],
            "cwd": "/",
            "env": ["PATH=/usr/bin:/bin"],
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), bounding),
        },
        "root": {"path": str(root)},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
            {"destination": "/probe.py", "type": "bind", "source": str(script), "options": ["bind", "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": "mount"}, {"type": "pid"}],
            "cgroupsPath": f"/{name}/probe",
            "resources": {"devices": [{"allow": True, "access": "rwm"}]},
            "seccomp": _resolved(raw),
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(spec))
    runc = ["runc", "--root", str(tmp_path / "state")]
    try:
        theirs = subprocess.run(
            [*runc, "run", "--no-new-keyring", "-b", str(tmp_path), name],
            capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        subprocess.run([*runc, "delete", "-f", name], capture_output=True, check=False)
        for folder in [*Path("/sys/fs/cgroup").glob(f"*/{name}/probe"), *Path("/sys/fs/cgroup").glob(f"*/{name}")]:
            folder.rmdir()
    assert theirs.returncode == 0, theirs.stderr

    def enter() -> None:
        keep = [_capability(name) for name in DOCKER]
        for number in range(64):
            if number not in keep:
                libc.prctl(24, number, 0, 0, 0)
        seccomp.load(program)

    ours = subprocess.run(
        ["/usr/bin/python3", str(script)], capture_output=True, text=True, preexec_fn=enter, check=True
    )
    assert json.loads(ours.stdout) == json.loads(theirs.stdout)


def _resolved(raw: bytes) -> dict[str, object]:
    from holdall.linux.seccomp_json import parse, to_value
    from holdall.linux.seccomp_profile import Host, resolve

    return to_value(resolve(parse(raw), Host.of(DOCKER, os.uname().release, "x86_64"), "x86_64"))


def _capability(name: str) -> int:
    from holdall.linux import capabilities

    return capabilities.NAMES.index("CAP_" + name)


def test_sockets_still_open(default: bytes) -> None:
    assert under(default, lambda: socket.socket().family.name) == "AF_INET"
