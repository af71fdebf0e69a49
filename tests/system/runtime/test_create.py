"""Containers as seen from inside."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path

import pytest

from holdall.errors import CommandNotExecutable, CommandNotFound, InvalidOption, StartError, Unsupported
from holdall.linux import capabilities, overlay
from holdall.oci.runtime_spec import Device, Mount, Namespace, Rlimit, User
from holdall.record import replace
from holdall.runtime import bundle, create, status
from holdall.runtime.launch import Directory, Launch, Overlay, Stdio

pytestmark = pytest.mark.root


def test_first_process_is_pid_1_and_sees_no_other(rig) -> None:
    assert rig.sh("echo $$; ls /proc | grep -E '^[0-9]+$' | head -1") == "1\n1\n"


def test_every_namespace_is_its_own(rig) -> None:
    kinds = ("pid", "net", "mnt", "uts", "ipc", "cgroup")
    inside = rig.sh("for k in pid net mnt uts ipc cgroup; do readlink /proc/self/ns/$k; done").split()
    assert not set(inside) & {os.readlink(f"/proc/self/ns/{kind}") for kind in kinds}


def test_host_namespaces_are_shared_when_asked(rig) -> None:
    wishes = {"network": "host", "pid": "host", "ipc": "host", "uts": "host", "cgroupns": "host"}
    inside = rig.sh("for k in pid net uts ipc cgroup; do readlink /proc/self/ns/$k; done", **wishes).split()
    assert inside == [os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "net", "uts", "ipc", "cgroup")]


def test_network_namespace_descriptor_is_the_containers(rig) -> None:
    running = rig.start("readlink", "/proc/self/ns/net", proceed=False)
    assert running.process.netns_fd is not None
    inode = os.fstat(running.process.netns_fd).st_ino
    running.process.proceed()
    assert running.wait().out == f"net:[{inode}]\n"


def test_no_network_descriptor_with_the_hosts_network(rig) -> None:
    running = rig.start("true", network="host")
    assert running.process.netns_fd is None
    assert running.wait().code == 0


def test_namespace_can_be_joined_by_path(rig) -> None:
    first = rig.start("cat")
    first.until(first.started)
    paths = {
        "network": f"/proc/{first.pid}/ns/net", "pid": f"/proc/{first.pid}/ns/pid", "ipc": f"/proc/{first.pid}/ns/ipc",
    }  # fmt: skip
    (rig.base / "upper2").mkdir()
    (rig.base / "work2").mkdir()
    other = Overlay((str(rig.lower),), str(rig.base / "upper2"), str(rig.base / "work2"))
    script = "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; test $$ -ne 1; cat /proc/1/comm"
    out = rig.sh(script, launch={"rootfs": other}, **paths)
    expected = [os.readlink(f"/proc/{first.pid}/ns/{kind}") for kind in ("net", "ipc")]
    assert out.split() == [*expected, "cat"]


def test_loopback_is_up(rig) -> None:
    assert "127.0.0.1" in rig.sh("cat /proc/net/fib_trie")


def test_mounts_are_dockers(rig) -> None:
    lines = [line.split() for line in rig.sh("cat /proc/mounts").splitlines()]
    by_place = {line[1]: (line[2], set(line[3].split(","))) for line in lines}
    assert by_place["/"][0] == "overlay"
    assert by_place["/proc"] == ("proc", {"rw", "nosuid", "nodev", "noexec", "relatime"})
    assert {"ro", "nosuid", "nodev", "noexec"} <= by_place["/sys"][1]
    assert {"mode=620", "ptmxmode=666", "gid=5"} <= by_place["/dev/pts"][1]
    assert "size=65536k" in by_place["/dev/shm"][1]
    assert by_place["/dev/mqueue"][0] == "mqueue"
    assert "ro" in by_place["/sys/fs/cgroup"][1]
    assert not [place for place in by_place if str(rig.base) in place]


def test_cgroup_files_show_the_namespaces_root_and_are_read_only(rig) -> None:
    script = "find /sys/fs/cgroup -name cgroup.procs | grep -q .; ! mkdir /sys/fs/cgroup/x 2>/dev/null"
    script += "; cat /proc/self/cgroup"
    assert {line.rpartition(":")[2] for line in rig.sh(script).splitlines()} == {"/"}


def test_dev_holds_the_default_nodes_and_links(rig) -> None:
    out = rig.sh("cd /dev; ls; stat -c '%n %A %t:%T' null zero full random urandom tty; readlink fd ptmx stdin")
    names, rest = out.split("null c", 1)
    assert set(names.split()) - {"core"} == {
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
        "urandom", "zero",
    }  # fmt: skip
    assert rest.split("\n")[0] == "rw-rw-rw- 1:3"
    assert out.endswith("/proc/self/fd\npts/ptmx\n/proc/self/fd/0\n")


def test_given_device_nodes_are_made(rig) -> None:
    nodes = (Device("/dev/deep/fuse", "c", 10, 229, 0o640, 7, 8), Device("/dev/pipe", "p", file_mode=0o600))
    out = rig.sh("stat -c '%F %a %u:%g %t:%T' /dev/deep/fuse /dev/pipe", devices=nodes)
    assert out == "character special file 640 7:8 a:e5\nfifo 600 0:0 0:0\n"


def test_privileged_has_the_hosts_devices_capabilities_and_no_masks(rig) -> None:
    script = "grep CapEff /proc/self/status; grep -c ' /proc/' /proc/mounts || true"
    script += "; touch /sys/fs/cgroup/x 2>&1 | grep -c Read-only || true; ls /dev/kmsg"
    out = rig.sh(script, privileged=True).split("\n")
    assert int(out[0].split()[1], 16) == capabilities.bounding()
    assert out[1:4] == ["0", "0", "/dev/kmsg"]


def test_masked_paths_read_empty_and_read_only_ones_refuse(rig) -> None:
    out = rig.sh(
        "wc -c < /proc/timer_list; wc -c < /proc/interrupts; ls -A /sys/firmware | wc -l; ls -A /proc/acpi | wc -l;"
        " ! echo 1 > /proc/sys/kernel/domainname; ! touch /sys/firmware/x"
    )
    assert out.split() == ["0", "0", "0", "0"]


def test_default_capabilities_are_dockers(rig) -> None:
    for line in ("CapPrm", "CapEff", "CapBnd"):
        out = rig.sh(f"grep {line} /proc/self/status")
        assert set(capabilities.names(int(out.split()[1], 16))) == set(bundle.DEFAULT_CAPABILITIES)
    for line in ("CapInh", "CapAmb"):
        assert int(rig.sh(f"grep {line} /proc/self/status").split()[1], 16) == 0


def test_user_that_is_not_root_has_no_capabilities_but_a_bounding_set(rig) -> None:
    out = rig.sh("grep Cap /proc/self/status", launch={"user": "alice"})
    sets = {line.split(":")[0]: int(line.split()[1], 16) for line in out.splitlines()}
    assert sets["CapEff"] == sets["CapPrm"] == sets["CapAmb"] == sets["CapInh"] == 0
    assert sets["CapBnd"] == capabilities.mask(bundle.DEFAULT_CAPABILITIES)


def test_ambient_capabilities_reach_a_user_that_is_not_root(rig) -> None:
    launch = rig.launch(("grep", "Cap", "/proc/self/status"), {})
    both = ("CAP_NET_BIND_SERVICE",)
    process = replace(launch.spec.process, user=User(1000, 1000),
                      capabilities=type(launch.spec.process.capabilities)(both, both, both, both, both))  # fmt: skip
    out = rig.start_launch(replace(launch, spec=replace(launch.spec, process=process))).wait().out
    assert {int(line.split()[1], 16) for line in out.splitlines()} == {capabilities.mask(both)}


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        (None, (), "0 0 0 /root"),
        ("", (), "0 0 0 /root"),
        ("alice", (), "1000 1000 1000 50 /home/alice"),
        ("1000", (), "1000 1000 1000 50 /home/alice"),
        ("alice:staff", (), "1000 50 50 /home/alice"),
        ("alice:77", (), "1000 77 77 /home/alice"),
        ("4242", (), "4242 0 0 /"),
        ("4242:4343", ("extra", "88"), "4242 4343 4343 77 88 /"),
    ],
)
def test_user_is_looked_up_inside(rig, user, groups, expected) -> None:
    out = rig.sh("echo $(id -u) $(id -g) $(id -G) $HOME", launch={"user": user, "groups": groups})
    assert out.strip() == expected


@pytest.mark.parametrize("user", ["bob", "alice:wheel", "4294967295", "-1"])
def test_unknown_user_is_a_start_error(rig, user) -> None:
    result = rig.run("true", launch={"user": user})
    assert type(result.error) is StartError
    assert result.code == 125


def test_passwd_that_is_a_fifo_or_a_device_does_not_hang(rig) -> None:
    (rig.lower / "etc/passwd").unlink()
    os.mkfifo(rig.lower / "etc/passwd")
    assert rig.sh("id -u", launch={"user": "1000"}) == "1000\n"


def test_seccomp_filter_is_active_and_refuses(rig) -> None:
    from holdall.linux import seccomp

    bpf = seccomp.compile_filter(None, bundle.DEFAULT_CAPABILITIES)
    for user in ("", "alice"):
        out = rig.sh("grep Seccomp: /proc/self/status; ! unshare -m true 2>/dev/null",
                     launch={"seccomp_bpf": bpf, "user": user})  # fmt: skip
        assert out == "Seccomp:\t2\n"
        out = rig.sh("grep -E 'Seccomp:|NoNew' /proc/self/status", no_new_privileges=True,
                     launch={"seccomp_bpf": bpf, "user": user})  # fmt: skip
        assert out == "NoNewPrivs:\t1\nSeccomp:\t2\n"


def test_strict_filter_does_not_get_in_the_way(rig) -> None:
    from holdall.linux import seccomp

    refused = [
        "sendmsg",
        "sendto",
        "close_range",
        "prctl",
        "openat2",
        "setresuid",
        "setgroups",
        "mount",
        "chdir",
        "setsid",
    ]
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": refused, "action": "SCMP_ACT_ERRNO"}]}
    bpf = seccomp.compile_filter(json.dumps(profile).encode(), bundle.DEFAULT_CAPABILITIES)
    (rig.lower / "garbage").write_bytes(b"\0garbage")
    (rig.lower / "garbage").chmod(0o755)
    for user in ("", "alice"):
        for privileges in (False, True):
            options = {"launch": {"seccomp_bpf": bpf, "user": user}, "no_new_privileges": privileges}
            assert rig.run("echo", "hi", **options).out == "hi\n"
            assert "exec format error" in rig.run("/garbage", **options).error.message


def test_maker_without_standard_streams(rig) -> None:
    """Descriptors 0 to 2 of the maker may be anything, also our own socket."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            saved = [os.dup(writing), os.open("/dev/null", os.O_RDONLY)]
            os.closerange(0, 3)
            process = create.spawn(
                rig.launch(("sh", "-c", "echo out; ls /proc/self/fd"), {}), Stdio(saved[1], saved[0], saved[0])
            )
            process.proceed()
            os.waitid(os.P_PIDFD, process.pidfd, os.WEXITED)
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with open(reading) as file:
        assert file.read().split() == ["out", "0", "1", "2", "3"]


def test_no_descriptor_leaks(rig) -> None:
    held = [os.open("/", os.O_PATH), os.dup(1), socket.socket()]
    os.set_inheritable(held[0], True)
    try:
        out = rig.sh("ls /proc/self/fd")
        assert out.split() == ["0", "1", "2", "3"]  # 3 is ls reading the folder
    finally:
        os.close(held[0])
        os.close(held[1])
        held[2].close()


def test_signals_session_and_priority_state_are_fresh(rig) -> None:
    # by execution, not from a shell: it blocks signals for the moment of its own fork
    out = rig.sh("cut -d' ' -f5,6 /proc/1/stat; exec grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status", launch={})
    assert re.findall(r"SigBlk:\t0+\n", out)
    ignored = re.findall(r"SigIgn:\t([0-9a-f]+)\n", out)
    # 32 and 33 belong to the C library, which lets nobody set them back
    assert int(ignored[0], 16) & ~(3 << 31) == 0
    assert out.splitlines()[0] == "1 1"


def test_hostname_and_domainname(rig) -> None:
    out = rig.sh("cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname", hostname="box", domainname="example.org")
    assert out == "box\nexample.org\n"
    assert os.uname().nodename != "box"


def test_environment_gets_home_and_path(rig) -> None:
    out = rig.run("env", env=(bundle.DEFAULT_PATH, "A=1", "A=2", "EMPTY="))
    assert sorted(out.out.split()) == ["A=2", "EMPTY=", "HOME=/root", bundle.DEFAULT_PATH]


def test_malformed_environment_is_an_error(rig) -> None:
    assert "invalid environment" in rig.run("env", env=("NOEQUALS",)).error.message


def test_missing_working_folder_is_made(rig) -> None:
    assert rig.sh("pwd; stat -c %u:%g:%a .", cwd="/work/a", launch={"user": "alice"}) == "/work/a\n0:0:755\n"


def test_missing_working_folder_is_an_error_when_not_to_be_made(rig) -> None:
    result = rig.run("pwd", cwd="/work/a", launch={"create_cwd": False})
    assert isinstance(result.error, CommandNotFound)
    assert "/work/a" in result.error.message


@pytest.mark.parametrize(
    ("args", "kind", "text"),
    [
        (("nope",), CommandNotFound, 'exec: "nope": executable file not found in $PATH'),
        (("/nope",), CommandNotFound, 'exec: "/nope": stat /nope: no such file or directory'),
        (("/etc/passwd/x",), CommandNotFound, "not a directory"),
        (("/etc",), CommandNotExecutable, 'exec: "/etc": is a directory'),
        (("/etc/passwd",), CommandNotExecutable, 'exec: "/etc/passwd": permission denied'),
        (("/garbage",), CommandNotExecutable, 'exec: "/garbage": exec format error'),
        (("/orphan",), CommandNotFound, 'exec: "/orphan": no such file or directory'),
        (("",), CommandNotFound, "no command specified"),
        (("/proc/self/exe",), CommandNotExecutable, "link to a running process"),
    ],
)
def test_command_errors(rig, args, kind, text) -> None:
    (rig.lower / "garbage").write_bytes(b"\0\1\2garbage")
    (rig.lower / "orphan").write_text("#!/no/such/interpreter\n")
    for name in ("garbage", "orphan"):
        (rig.lower / name).chmod(0o755)
    result = rig.run(*args)
    assert type(result.error) is kind
    assert text in result.error.message
    assert result.code == kind.exit_code


def test_exit_codes_and_signals_come_through(rig) -> None:
    assert rig.run("sh", "-c", "exit 37").code == 37
    running = rig.start("sleep", "100", pid="host")
    running.until(running.started)
    running.kill(15)
    assert running.wait().code == 128 + 15


def test_umask_rlimits_and_oom_score(rig) -> None:
    limits = (Rlimit("RLIMIT_NOFILE", 100, 200), Rlimit("RLIMIT_CORE", 0, 0))
    out = rig.sh("umask; ulimit -Sn; ulimit -Hn; ulimit -Sc; cat /proc/self/oom_score_adj", rlimits=limits,
                 oom_score_adj=500, user=User(umask=0o077))  # fmt: skip
    assert out.split() == ["0077", "100", "200", "0", "500"]
    assert rig.sh("umask") == "0022\n"


def test_limits_we_may_not_raise_are_a_warning(rig) -> None:
    effective = capabilities.get()[0]
    if effective & capabilities.mask(("CAP_SYS_RESOURCE",)):
        pytest.skip("this host lets us raise limits")
    result = rig.run("sh", "-c", "ulimit -Hn", rlimits=(Rlimit("RLIMIT_NOFILE", 2**40, 2**40),), oom_score_adj=-900)
    assert result.code == 0
    assert "RLIMIT_NOFILE" in result.warnings[1]
    assert "oom_score_adj" in result.warnings[0]


def test_unknown_limit_is_refused(rig) -> None:
    assert "RLIMIT_FOO" in rig.run("true", rlimits=(Rlimit("RLIMIT_FOO", 1, 1),)).error.message


def test_sysctls_are_set_in_own_namespaces_only(rig) -> None:
    values = {"net.ipv4.ip_unprivileged_port_start": "99", "kernel.msgmax": "9999"}
    before = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()
    out = rig.sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax", sysctl=values)
    assert out.split() == ["99", "9999"]
    assert Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text() == before


@pytest.mark.parametrize("name", ["vm.swappiness", "no.such.thing", "../../etc/passwd", "kernel..x", "kernel/hostname"])
def test_sysctls_of_the_host_are_refused(rig, name) -> None:
    with pytest.raises(InvalidOption, match="the host's"):
        rig.run("true", sysctl={name: "60"})


def test_sysctls_of_namespaces_that_are_the_hosts_are_refused(rig) -> None:
    with pytest.raises(InvalidOption, match=r"net\.ipv4\.ip_forward"):
        rig.run("true", sysctl={"net.ipv4.ip_forward": "1"}, network="host")
    with pytest.raises(InvalidOption, match=r"net\.ipv4\.ip_forward"):
        rig.run("true", sysctl={"net.ipv4.ip_forward": "1"}, network="/proc/self/ns/net")


@pytest.mark.parametrize("name", ["net.no.such", "net.../../etc/passwd", "net..x"])
def test_bad_sysctl_is_refused(rig, name) -> None:
    assert "kernel parameter" in rig.run("true", sysctl={name: "1"}).error.message


def test_read_only_root(rig) -> None:
    out = rig.sh("! touch /x 2>/dev/null; touch /dev/shm/x /tmp2/y; echo ok", read_only=True,
                 mounts=(Mount("/tmp2", "tmpfs", "tmpfs", ("size=1m", "mode=700")),))  # fmt: skip
    assert out == "ok\n"


def test_directory_root_is_used_in_place(rig) -> None:
    root = Directory(str(rig.lower))
    rig.sh("echo hi > /made", launch={"rootfs": root})
    assert (rig.lower / "made").read_text() == "hi\n"
    rig.sh("! touch /x 2>/dev/null", launch={"rootfs": replace(root, readonly=True)})


def test_many_layers(rig) -> None:
    layers = []
    for number in range(130):
        folder = rig.base / ("layer-with-a-long-name-" + "x" * 60 + str(number))
        folder.mkdir()
        (folder / f"f{number}").write_text(str(number))
        (folder / "same").write_text(str(number))
        layers.append(str(folder))
    root = Overlay((*layers, str(rig.lower)), str(rig.upper), str(rig.base / "work"))
    assert rig.sh("cat /same /f0 /f129", launch={"rootfs": root}) == "00129"


def test_many_layers_with_the_kernels_old_interface(rig, monkeypatch) -> None:
    monkeypatch.setattr(overlay, "overlay", lambda *args, **kwargs: None)
    layers = [rig.base / f"l,a:{number}" for number in range(130)]
    for number, folder in enumerate(layers):
        folder.mkdir()
        (folder / f"f{number}").write_text(str(number))
    root = Overlay((*map(str, layers), str(rig.lower)), str(rig.upper), str(rig.base / "work"), volatile=True)
    assert rig.sh("cat /f0 /f129; grep -c volatile /proc/mounts", launch={"rootfs": root}) == "01291\n"
    root = Overlay((str(rig.lower),) * 400, str(rig.upper), str(rig.base / "work"))
    assert "cannot mount 400 layers" in rig.run("true", launch={"rootfs": root}).error.message


def test_long_names_of_layers(rig) -> None:
    deep = rig.base.joinpath(*["d" * 100] * 4)
    for name in ("low", "up", "work"):
        (deep / name).mkdir(parents=True)
    root = Overlay((str(deep / "low"), str(rig.lower)), str(deep / "up"), str(deep / "work"))
    assert rig.sh("touch /made; echo ok", launch={"rootfs": root}) == "ok\n"
    assert (deep / "up/made").exists()


def test_too_many_layers_are_refused_clearly(rig) -> None:
    root = Overlay((str(rig.lower),) * 501, str(rig.upper), str(rig.base / "work"))
    result = rig.run("true", launch={"rootfs": root})
    assert "at most 500 layers, not 501" in result.error.message


def test_volatile_and_read_only_overlays(rig) -> None:
    assert (
        rig.sh("touch /x; grep -c volatile /proc/mounts", launch={"rootfs": replace(rig.overlay, volatile=True)})
        == "1\n"
    )
    for name in ("", "second"):
        (rig.base / "more").mkdir(exist_ok=True)
        lowers = (str(rig.lower),) if not name else (str(rig.lower), str(rig.base / "more"))
        out = rig.run("sh", "-c", "! touch /x", launch={"rootfs": Overlay(lowers)})
        assert out.code == 0, out.messages


def test_child_waits_for_proceed_and_dies_with_its_maker(rig) -> None:
    running = rig.start("echo", "hi", proceed=False)
    running.pump(0.3)
    assert not running.started()
    running.process.status.close()
    running.pump(1)
    assert running.wait().out == ""


def test_abort_kills(rig) -> None:
    running = rig.start("echo", "hi", proceed=False)
    running.process.abort()
    result = running.wait()
    assert result.code == 128 + 9
    assert isinstance(result.error, StartError)


def test_pipes_belong_to_the_user_so_dev_stdout_opens_again(rig) -> None:
    out = rig.sh("echo again > /dev/stdout; echo err > /dev/stderr", launch={"user": "alice"})
    assert out == "again\n"


def test_user_and_time_namespaces_are_refused(rig) -> None:
    launch = rig.launch(("true",), {})
    for kind in ("user", "time"):
        spec = replace(launch.spec, namespaces=(*launch.spec.namespaces, Namespace(kind)))
        with pytest.raises(Unsupported, match=kind):
            create.spawn(replace(launch, spec=spec), Stdio(0, 1, 2))


def test_missing_layer_and_missing_source_name_the_path(rig) -> None:
    root = Overlay((str(rig.base / "gone"),), str(rig.upper), str(rig.base / "work"))
    assert "gone" in rig.run("true", launch={"rootfs": root}).error.message
    mounts = (Mount("/x", "bind", "/no/such/source", ("bind",)),)
    assert '"/no/such/source"' in rig.run("true", mounts=mounts).error.message


def test_cgroup_files_are_written_before_the_cgroup_namespace(rig) -> None:
    rows = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    places = [row[4] for row in rows if row[row.index("-") + 1] in ("cgroup", "cgroup2")]
    folder = Path(next(place for place in places if "pids" in place or "unified" in place)) / f"rt-test-{os.getpid()}"
    folder.mkdir()
    try:
        running = rig.start("cat", launch={"cgroup_procs": (str(folder / "cgroup.procs"),)})
        running.until(running.started)
        assert str(running.pid) in (folder / "cgroup.procs").read_text().split()
        assert folder.name in Path(f"/proc/{running.pid}/cgroup").read_text()
        running.close_stdin()
        assert running.wait().code == 0
    finally:
        folder.rmdir()


def test_launch_and_status_types_are_values() -> None:
    assert status.Warned("x") == status.Warned("x")
    assert Launch("/b", bundle.build(bundle.Wishes(("true",))), Directory("/")).init is False
