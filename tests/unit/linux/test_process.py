from __future__ import annotations

import os
import subprocess
import sys

import pytest

from holdall.linux import capabilities, namespaces, pidfd, process


def test_title_longer_and_shorter_than_the_arguments() -> None:
    code = """
import os
from holdall.linux import process
for title in ("short", "holdall-supervisor --root " + "x" * 300, "s2"):
    process.set_title(title)
    print(open("/proc/self/cmdline").read().strip(chr(0)) == title, open("/proc/self/comm").read().strip())
print(os.environ["MARK"], os.popen("echo $MARK").read().strip())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "MARK": "kept"}
    )
    assert done.stdout.splitlines() == ["True short", "True holdall-supervi", "True s2", "kept kept"], done.stderr


def test_title_too_long_for_arguments_and_environment_is_cut() -> None:
    code = """
from holdall.linux import process
process.set_title("t" * 10000)
print(set(open("/proc/self/cmdline").read()) - {"t", chr(0)}, len(open("/proc/self/cmdline").read()) > 20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set() True\n", done.stderr


def test_start_time_tells_processes_apart() -> None:
    with open("/proc/self/stat") as file:
        assert process.start_time_ticks(os.getpid()) == int(file.read().rpartition(")")[2].split()[19])
    with pytest.raises(ProcessLookupError):
        process.start_time_ticks(2**22 + 1)


def test_boot_id() -> None:
    assert len(process.boot_id()) == 36
    assert process.boot_id() == process.boot_id()


def forked(work) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(int(work() or 0))
        except BaseException:  # noqa: BLE001  (a child must never come back)
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_close_all_but() -> None:
    def work() -> int:
        os.dup2(2, 50)
        os.dup2(2, 60)
        process.close_all_but((60, 2, 60))
        return 0 if [fd for fd in range(100) if _is_open(fd)] == [2, 60] else 1

    assert forked(work) == 0


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_dumpable_no_new_privs_subreaper_and_cloexec() -> None:
    def work() -> int:
        process.set_dumpable(dumpable=False)
        process.set_no_new_privs()
        process.set_child_subreaper()
        os.dup2(2, 40, inheritable=True)
        process.cloexec_from(40)
        with open("/proc/self/status") as file:
            status = file.read()
        return 0 if process.prctl(3) == 0 and "NoNewPrivs:\t1" in status and not os.get_inheritable(40) else 1

    assert forked(work) == 0


def test_pidfd_doors() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(37)
    fd = pidfd.open(pid)
    copy = pidfd.getfd(fd, reading)
    assert os.fstat(copy).st_ino == os.fstat(reading).st_ino
    os.close(copy)
    pidfd.send_signal(fd, 0)
    assert pidfd.exit_status(fd) is None
    os.close(writing)
    os.waitpid(pid, 0)
    try:
        assert pidfd.exit_status(fd) == 37 << 8
    except OSError:
        assert tuple(int(part) for part in os.uname().release.split(".")[:2]) < (6, 15)
    with pytest.raises(ProcessLookupError):
        pidfd.send_signal(fd, 0)
    with pytest.raises(ProcessLookupError):
        pidfd.open(pid)
    os.close(fd)
    os.close(reading)


def test_capability_names_and_masks() -> None:
    assert capabilities.NUMBERS["CAP_SYS_ADMIN"] == 21
    assert capabilities.NUMBERS["CAP_CHECKPOINT_RESTORE"] == 40
    assert capabilities.names(capabilities.mask(("CAP_KILL", "CAP_CHOWN"))) == ("CAP_CHOWN", "CAP_KILL")
    with pytest.raises(KeyError):
        capabilities.mask(("CAP_NOPE",))
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file if line.startswith("Cap"))
    assert capabilities.get() == tuple(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh"))
    assert capabilities.bounding() == int(status["CapBnd"], 16)


def test_namespace_doors() -> None:
    fd = namespaces.open_own("network")
    assert os.fstat(fd).st_ino == os.stat("/proc/self/ns/net").st_ino
    os.close(fd)
    with pytest.raises(OSError, match="/some/path"):
        namespaces.setns(0, namespaces.CLONE_NEWNET, "/some/path")
