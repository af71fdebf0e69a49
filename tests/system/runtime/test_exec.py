"""One more process in a running container."""

from __future__ import annotations

import os

import pytest

from holdall.errors import CommandNotExecutable, CommandNotFound, ContainerStateConflict, StartError
from holdall.linux import capabilities
from holdall.runtime import bundle
from holdall.runtime import exec as runtime_exec
from holdall.runtime.launch import Join, Stdio

pytestmark = pytest.mark.root


@pytest.fixture
def target(rig):
    running = rig.start("cat", hostname="target")
    running.until(running.started)
    return running


@pytest.fixture
def spec(rig):
    return bundle.build(bundle.Wishes(("cat",))).process


def run(rig, target, spec, *args, join=None, **changes):
    return rig.exec(target, bundle.exec_process(spec, args, **changes), **(join or {})).wait()


def test_process_is_in_every_namespace_of_the_target(rig, target, spec) -> None:
    result = run(
        rig,
        target,
        spec,
        "sh",
        "-c",
        "for k in pid net mnt uts ipc cgroup; do readlink /proc/self/ns/$k; done; hostname",
    )
    expected = [os.readlink(f"/proc/{target.pid}/ns/{kind}") for kind in ("pid", "net", "mnt", "uts", "ipc", "cgroup")]
    assert result.out.split() == [*expected, "target"]


def test_root_is_the_containers_and_not_above(rig, target, spec) -> None:
    result = run(rig, target, spec, "sh", "-c", "pwd; ls -di / /.. | sort -u | wc -l; cat /proc/1/comm")
    assert result.out == "/\n2\ncat\n"
    assert len({line.split()[0] for line in run(rig, target, spec, "ls", "-di", "/", "/..").out.splitlines()}) == 1


def test_user_environment_folder_and_privileges(rig, target, spec) -> None:
    script = "id -u; id -G; pwd; echo $A $HOME; grep -E 'CapEff|CapBnd' /proc/self/status"
    result = run(
        rig, target, spec, "sh", "-c", script, env=("A=1",), cwd="/tmp", join={"user": "alice", "groups": ("77",)}
    )
    lines = result.out.splitlines()
    assert lines[:4] == ["1000", "1000 50 77", "/tmp", "1 /home/alice"]
    assert int(lines[4].split()[1], 16) == 0
    assert int(lines[5].split()[1], 16) == capabilities.mask(bundle.DEFAULT_CAPABILITIES)


def test_privileged_exec_has_all_capabilities(rig, target, spec) -> None:
    result = run(rig, target, spec, "grep", "CapEff", "/proc/self/status", privileged=True)
    assert int(result.out.split()[1], 16) == capabilities.bounding()


def test_seccomp_applies(rig, target, spec) -> None:
    from holdall.linux import seccomp

    bpf = seccomp.compile_filter(None, bundle.DEFAULT_CAPABILITIES)
    result = run(rig, target, spec, "grep", "Seccomp:", "/proc/self/status", join={"seccomp_bpf": bpf})
    assert result.out == "Seccomp:\t2\n"


@pytest.mark.parametrize(
    ("args", "cwd", "kind"),
    [
        (("nope",), "", CommandNotFound),
        (("/etc",), "", CommandNotExecutable),
        (("/proc/self/exe",), "", CommandNotExecutable),
        (("true",), "/absent", CommandNotFound),
        (("true",), "/etc/passwd", CommandNotExecutable),
    ],
)
def test_errors(rig, target, spec, args, cwd, kind) -> None:
    result = run(rig, target, spec, *args, cwd=cwd)
    assert type(result.error) is kind
    assert result.code == kind.exit_code


def test_working_folder_by_magic_link_cannot_leave(rig, target, spec) -> None:
    for number in range(12):
        result = run(rig, target, spec, "pwd", cwd=f"/proc/self/fd/{number}")
        assert result.code != 0 or result.out.startswith("/"), result.out
        assert str(rig.base) not in result.out


def test_target_that_has_ended_is_a_conflict(rig, target, spec) -> None:
    target.close_stdin()
    target.wait()
    with pytest.raises(ContainerStateConflict):
        runtime_exec.spawn_exec(Join(target.pid, target.process.pidfd, spec), Stdio(0, 1, 2))


def test_target_that_ends_meanwhile_is_a_failure(rig, target, spec) -> None:
    running = rig.exec(target, bundle.exec_process(spec, ("true",)), proceed=False)
    target.process.abort()  # a pid namespace only ends when its last process has been reaped: ours
    result = running.wait()
    assert result.code in (125, 128 + 9)
    assert isinstance(result.error, StartError)
    assert target.wait().code == 128 + 9


def test_container_cannot_look_into_the_joining_process(rig, target, spec) -> None:
    waiting = rig.exec(target, bundle.exec_process(spec, ("true",)), proceed=False)
    script = """
        for p in /proc/[0-9]*; do
            [ "$(cat $p/comm)" = cat ] || [ $p = /proc/$$ ] && continue
            readlink $p/exe && echo exe; readlink $p/fd/* && echo fd; head -c1 $p/environ && echo environ
            cat $p/maps >/dev/null && echo maps
        done 2>/dev/null; echo done
    """
    assert run(rig, target, spec, "sh", "-c", script).out == "done\n"
    waiting.process.proceed()
    assert waiting.wait().code == 0


def test_terminal_comes_from_the_containers_devpts(rig, target, spec) -> None:
    running = rig.exec(
        target,
        bundle.exec_process(spec, ("sh", "-c", "tty; test -t 0 && test -t 1; stty size; echo $TERM"), terminal=True),
    )
    out = running.wait().out
    assert out == "/dev/pts/0\n0 0\nxterm\n"


def test_faked_devpts_is_refused(rig, spec) -> None:
    running = rig.start("cat", cap_add=("SYS_ADMIN",))
    running.until(running.started)
    assert run(rig, running, spec, "mount", "-t", "tmpfs", "none", "/dev/pts", privileged=True).code == 0
    result = rig.exec(running, bundle.exec_process(spec, ("true",), terminal=True)).wait()
    assert "devpts" in result.error.message
