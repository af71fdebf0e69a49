"""The same config.json through crun, runc and Holdall: what the command sees must be the same."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from holdall.linux import capabilities
from holdall.oci import runtime_spec_json
from holdall.oci.runtime_spec import Capabilities, Device, Hook, Hooks, Mount, Rlimit, User
from holdall.record import replace
from holdall.runtime import bundle, create, status
from holdall.runtime.launch import Directory, Launch, Stdio

pytestmark = [pytest.mark.root, pytest.mark.peers]

PEERS = [name for name in ("crun", "runc") if shutil.which(name)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle/rootfs"
    for name in ("usr", "etc", "proc", "sys", "dev", "tmp", "root"):
        (folder / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (folder / name).symlink_to(f"usr/{name}")
    (folder / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\nalice:x:1000:\n")
    return folder


ATTEMPTS = 5


def peer(name: str, folder: Path) -> str:
    """What the peer gives; its own failures to set a container up, on a busy machine, are tried again."""
    cid = f"rt-contract-{os.getpid()}"
    state = folder.parent / "state"
    # crun refuses hosts with both cgroup versions: it sees the first only
    shell = ("unshare", "-m", "sh", "-c", 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', "sh")
    command = (*shell, name, "--root", str(state))
    run = [*command, "run", "-b", str(folder), cid]
    for _ in range(ATTEMPTS):
        done = subprocess.run(run, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        subprocess.run([*command, "delete", "-f", cid], capture_output=True)
        if done.returncode != 1 or done.stdout or not done.stderr:
            break
    return done.stdout + f"code {done.returncode}\n"


def ours(folder: Path) -> str:
    spec = runtime_spec_json.parse((folder / "config.json").read_bytes())
    reading, writing = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    launch = Launch(str(folder), spec, Directory(str(folder / spec.root_path), readonly=spec.root_readonly))
    process = create.spawn(launch, Stdio(null, writing, null))
    os.close(writing)
    os.close(null)
    process.proceed()
    with open(reading) as file:
        out = file.read()
    info = os.waitid(os.P_PIDFD, process.pidfd, os.WEXITED)
    assert info is not None
    failed = [message for message in status.read(process) if isinstance(message, status.Failed)]
    process.close()
    assert not failed or info.si_status > 124
    return out + f"code {info.si_status}\n"


CASES = {
    "namespaces": "echo $$; cat /proc/self/cgroup | cut -d: -f3 | sort -u; hostname",
    "mounts": "cut -d' ' -f2,3 /proc/mounts | grep -v -e /proc/ -e /sys/ -e '^/ ' | sort -u",
    "devices": "stat -c '%n %F %a %u:%g %t:%T' /dev/* | grep -v -e console -e core -e /dev/null | sort",
    "masked": "for p in /proc/keys /proc/timer_list; do wc -c < $p; done; ls -A /sys/firmware | wc -l",
    "read-only": "for p in /proc/sys/kernel/hostname /sys/kernel/mm/ksm/run; do echo 1 > $p || echo refused; done",
    "privileges": "grep -E '^(Cap|NoNewPrivs|Uid|Gid|Groups)' /proc/self/status",
    "limits": "ulimit -Sn; ulimit -Hn; umask; cat /proc/self/oom_score_adj",
    "environment": "env | grep -v -e ^_= -e ^PWD= -e ^OLDPWD= -e ^SHLVL= | sort; pwd",
    "descriptors": "ls /proc/self/fd",
    "signals": "grep -E '^Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f6 /proc/self/stat",
    "exit": "exit 42",
    "killed": "kill -9 $$",
}


def spec_for(script: str):
    wishes = bundle.Wishes(
        ("sh", "-c", script), hostname="same", cwd="/tmp", env=(bundle.DEFAULT_PATH, "A=b c"),
        mounts=(Mount("/usr", "bind", "/usr", ("rbind", "ro")), Mount("/t/deep", "tmpfs", "tmpfs", ("size=1m",))),
        devices=(Device("/dev/extra", "c", 1, 3, 0o640, 3, 4),), rlimits=(Rlimit("RLIMIT_NOFILE", 64, 128),),
        oom_score_adj=100,
    )  # fmt: skip
    return replace(bundle.build(wishes), version="1.0.2")  # what Debian 12's crun knows


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("user", [0, 1000])
def test_command_sees_the_same(root: Path, name: str, case: str, user: int) -> None:
    spec = spec_for(CASES[case])
    process = replace(spec.process, user=User(user, user, additional_gids=(7, 8)), no_new_privileges=user != 0)
    if user:
        both = ("CAP_KILL", "CAP_NET_BIND_SERVICE")
        process = replace(process, capabilities=Capabilities(both, both, both, both, both))
    (root.parent / "config.json").write_bytes(runtime_spec_json.serialise(replace(spec, process=process)))
    expected = peer(name, root.parent)
    assert ours(root.parent) == expected, case
    assert len(expected.splitlines()) > 1 or "code" in expected


@pytest.mark.parametrize("name", PEERS)
def test_hooks_run_alike(root: Path, name: str, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def hook(word: str) -> tuple[Hook, ...]:
        return (Hook("/bin/sh", ("sh", "-c", f"echo {word} >> {log}")),)

    spec = spec_for("echo done")
    hooks = Hooks(
        prestart=hook("prestart"), create_runtime=hook("createRuntime"), create_container=hook("createContainer")
    )
    (root.parent / "config.json").write_bytes(runtime_spec_json.serialise(replace(spec, hooks=hooks)))
    assert peer(name, root.parent) == ours(root.parent)
    lines = log.read_text().split()
    assert lines[:3] == lines[3:] == ["prestart", "createRuntime", "createContainer"]


def test_whole_bounding_set_survives(root: Path) -> None:
    spec = bundle.build(replace(bundle.Wishes(("grep", "CapEff", "/proc/self/status"), privileged=True,
                        mounts=(Mount("/usr", "bind", "/usr", ("rbind", "ro")),))))  # fmt: skip
    (root.parent / "config.json").write_bytes(runtime_spec_json.serialise(spec))
    assert int(ours(root.parent).split()[1], 16) == capabilities.bounding()
