"""`run`: what the process gets, what isolates it, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from holdall.paths import store_key

pytestmark = pytest.mark.root


def until(condition, seconds=10.0):  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("the condition never came true")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_output_and_exit_code(cli) -> None:
    done = cli("run", "--rm", "--network", "none", "bb", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        (["nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
        (["/no/such"], 127, "no such file"),
        (["/etc/passwd"], 126, "permission denied"),
        (["/etc"], 126, "is a directory"),
    ],
)
def test_commands_that_cannot_be_executed(cli, command, code, text) -> None:
    done = cli("run", "--rm", "--network", "none", "bb", *command)
    assert done.returncode == code
    assert text in done.stderr
    assert command[0] not in cli.ok("ps", "-a")


def test_killed_by_signal_gives_128_and_the_number(cli) -> None:
    done = cli("run", "--rm", "--network", "none", "--init", "bb", "sh", "-c", "kill -9 $$")
    assert done.returncode == 137


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--badoption", "bb"], '"--badoption" is not supported'),
        (["--network", "nosuch", "bb"], 'network "nosuch" is not supported'),
        (["-v", "a/b:/c", "bb"], "neither a volume name nor an absolute path"),
        (["-p", "70000:1", "bb"], "70000"),
        (["-m", "1x", "bb"], "--memory"),
        (["--pull", "never", "nosuch"], 'no image "nosuch"'),
        (["--security-opt", "apparmor=x", "bb"], "apparmor"),
        (["--sysctl", "vm.swappiness=60", "bb"], '"vm.swappiness"'),
        (["--sysctl", "net.ipv4.ip_forward=1", "--network", "host", "bb"], '"net.ipv4.ip_forward"'),
        (["--sysctl", "kernel.sem=1 1 1 1", "--ipc", "host", "bb"], '"kernel.sem"'),
    ],
)
def test_refusals_name_what_is_wrong_and_leave_nothing(cli, words, text) -> None:
    before = cli.ok("ps", "-aq")
    done = cli("run", "--rm", *words)
    assert done.returncode == 125
    assert text in done.stderr
    assert "hint:" in done.stderr
    assert cli.ok("ps", "-aq") == before


def test_environment_user_and_folder(cli) -> None:
    out = cli.ok(
        "run", "--rm", "--network", "none", "-e", "A=b c", "-u", "app", "-w", "/made/here", "--hostname", "box", "bb",
        "sh", "-c", "echo $A; id -u; id -G; pwd; hostname; echo $HOME",
    )  # fmt: skip
    assert out.splitlines() == ["b c", "1000", "1000 50", "/made/here", "box", "/home/app"]


def test_stdin_is_passed_on_and_closed(cli) -> None:
    data = os.urandom(300_000).hex()
    assert cli.ok("run", "--rm", "-i", "--network", "none", "bb", "wc", "-c", stdin=data).strip() == str(len(data))


def test_who_starts_a_created_one_with_input_ends_its_input_too(cli, name) -> None:
    cli.ok("create", "-i", "--name", name, "--network", "none", "bb", "cat")
    for text in ("first", "second"):
        assert cli.ok("start", "-ai", name, stdin=text, timeout=20) == text


@pytest.mark.parametrize(("closed", "out"), [("<&-", "o\n"), (">&-", ""), ("2>&-", "o\n"), ("<&- >&- 2>&-", "")])
def test_closed_standard_descriptors_are_as_dev_null(cli, closed, out) -> None:
    words = cli.argv("run", "--rm", "-i", "--network", "none", "bb", "sh", "-c", "cat; echo o; echo e >&2; exit 3")
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *words], env=cli.environ, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=20,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, out)


def test_without_i_stdin_is_empty(cli) -> None:
    assert cli.ok("run", "--rm", "--network", "none", "bb", "cat", stdin="unseen") == ""


def test_isolation_by_default(cli) -> None:
    script = (
        "echo pid $$; ls /proc | grep -c '^[0-9]*$'; grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status;"
        "ls /sys/firmware /proc/acpi 2>/dev/null | wc -l; ls -d /dev/sda /dev/vda 2>/dev/null;"
        "mount -t tmpfs x /tmp 2>&1; cat /proc/kcore 2>&1 | head -c 10; echo 1 > /proc/sys/kernel/hostname"
    )
    done = cli("run", "--rm", "bb", "sh", "-c", script)
    assert "pid 1" in done.stdout
    assert re.search(r"CapEff:\s+00000000a80425fb", done.stdout)
    assert re.search(r"Seccomp:\s+2", done.stdout)
    assert "/dev/vda" not in done.stdout
    assert "permission denied" in done.stdout.lower()
    assert "ead-only" in done.stderr


def test_capabilities_are_added_and_dropped(cli) -> None:
    show = ["bb", "grep", "CapEff", "/proc/self/status"]
    assert "0000000000000000" in cli.ok("run", "--rm", "--network", "none", "--cap-drop", "ALL", *show)
    kept = cli.ok("run", "--rm", "--network", "none", "--cap-drop", "ALL", "--cap-add", "CHOWN", *show)
    assert "0000000000000001" in kept


def test_read_only_root_with_a_tmpfs(cli) -> None:
    done = cli("run", "--rm", "--read-only", "--network", "none", "--tmpfs", "/t:size=1m", "bb", "sh", "-c",
               "touch /t/x && touch /x")  # fmt: skip
    assert done.returncode == 1
    assert "Read-only" in done.stderr


def test_memory_limit_kills_and_says_so(cli, name) -> None:
    done = cli(
        "run",
        "--name",
        name,
        "--network",
        "none",
        "-m",
        "16m",
        "bb",
        "dd",
        "if=/dev/zero",
        "of=/dev/null",
        "bs=64M",
        "count=1",
    )
    assert done.returncode == 137
    assert cli.ok("inspect", "-f", "{{.State.OOMKilled}}", name).strip() == "true"


def test_process_limit_and_ulimit(cli) -> None:
    assert "can't fork" in cli("run", "--rm", "--network", "none", "--pids-limit", "4", "bb", "sh", "-c",
                               "for i in 1 2 3 4 5 6; do sleep 1 & done").stderr  # fmt: skip
    out = cli.ok(
        "run", "--rm", "--network", "none", "--ulimit", "nofile=100:200", "bb", "sh", "-c", "ulimit -n; ulimit -Hn"
    )
    assert out.split() == ["100", "200"]


def test_init_reaps_and_forwards(cli) -> None:
    out = cli.ok(
        "run", "--rm", "--init", "--network", "none", "bb", "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; echo $$"
    )
    assert "holdall-init" in out
    assert str(cli.root) not in out


def test_bind_mounts(cli, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("hello\n")
    out = cli.ok(
        "run", "--rm", "--network", "none", "-v", f"{tmp_path}:/m", "bb", "sh", "-c", "cat /m/in; echo made > /m/out"
    )
    assert out == "hello\n"
    assert (tmp_path / "out").read_text() == "made\n"
    done = cli("run", "--rm", "--network", "none", "-v", f"{tmp_path}:/m:ro", "bb", "touch", "/m/x")
    assert done.returncode == 1
    missing = cli("run", "--rm", "--mount", f"type=bind,source={tmp_path}/no,target=/m", "bb", "true")
    assert missing.returncode == 125
    assert "does not exist" in missing.stderr


def test_named_volume_is_seeded_and_kept(cli, name) -> None:
    volume = f"vol-{name}"
    assert (
        cli.ok("run", "--rm", "--network", "none", "-v", f"{volume}:/data", "bb", "cat", "/data/seed")
        == "from the image\n"
    )
    cli.ok("run", "--rm", "--network", "none", "-v", f"{volume}:/data", "bb", "sh", "-c", "echo more > /data/more")
    assert cli.ok("run", "--rm", "--network", "none", "-v", f"{volume}:/x", "bb", "cat", "/x/more") == "more\n"
    cli.ok("volume", "rm", volume)


def test_anonymous_volume_goes_with_rm(cli) -> None:
    before = cli.ok("volume", "ls", "-q")
    cli.ok("run", "--rm", "--network", "none", "-v", "/scratch", "bb", "touch", "/scratch/x")
    assert cli.ok("volume", "ls", "-q") == before


def test_hosts_and_resolv_conf(cli) -> None:
    options = ["--add-host", "other:10.1.2.3", "--dns", "10.9.9.9", "--dns-search", "example.org"]
    out = cli.ok("run", "--rm", *options, "bb", "sh", "-c", "cat /etc/hosts /etc/resolv.conf")
    assert "10.1.2.3\tother" in out
    assert "nameserver 10.9.9.9\nsearch example.org\n" in out


def test_env_file_and_labels(cli, name, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# comment\nONE=1\nTWO=two words\n")
    out = cli.ok(
        "run", "--name", name, "--network", "none", "--env-file", str(tmp_path / "env"), "-l", "k=v", "bb", "env"
    )
    assert "ONE=1\n" in out
    assert "TWO=two words\n" in out
    assert (
        cli.ok("ps", "-aq", "--filter", "label=k=v", "--no-trunc").strip()
        == cli.ok("inspect", "-f", "{{.Id}}", name).strip()
    )


def test_debug_tells_the_plan_before_it_is_done(cli) -> None:
    done = cli("--debug", "run", "--rm", "--read-only", "bb", "echo", "out")
    assert done.stdout == "out\n"
    for text in (
        "process: echo out in / as root",
        "read-only",
        "at /proc",
        "seccomp: /",
        "cgroup: holdall-",
        "network bridge:",
    ):
        assert text in done.stderr
    assert "Traceback" in cli("--debug", "run", "--pull", "never", "nosuch").stderr


def test_cidfile(cli, tmp_path: Path) -> None:
    path = tmp_path / "cid"
    cli.ok("run", "--rm", "--network", "none", "--cidfile", str(path), "bb", "true")
    assert re.fullmatch(r"[0-9a-f]{64}", path.read_text())
    again = cli("run", "--rm", "--network", "none", "--cidfile", str(path), "bb", "true")
    assert again.returncode == 125
    assert "--cidfile" in again.stderr


def test_published_tcp_port(cli, name) -> None:
    port = free_port()
    cli.ok("run", "-d", "--name", name, "-p", f"127.0.0.1:{port}:80", "bb", "httpd", "-f", "-p", "80", "-h", "/etc")
    url = f"http://127.0.0.1:{port}/passwd"

    def fetch() -> bytes | None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                body: bytes = answer.read()
                return body
        except OSError:
            return None

    assert b"root:x:0:0" in until(fetch)
    assert cli.ok("port", name, "80").strip() == f"127.0.0.1:{port}"
    busy = cli("run", "--rm", "-p", f"127.0.0.1:{port}:80", "bb", "true")
    assert busy.returncode == 125
    assert str(port) in busy.stderr
    assert "hint:" in busy.stderr


def test_ports_come_back_after_somebody_flushed_the_rules(cli, name) -> None:
    port = free_port()
    cli.ok("run", "-d", "--name", name, "-p", f"127.0.0.1:{port}:80", "bb", "httpd", "-f", "-p", "80", "-h", "/etc")

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/passwd", timeout=1) as answer:
                return bool(answer.read())
        except OSError:
            return False

    until(answers)
    subprocess.run(["nft", "delete", "table", "ip", f"holdall-{store_key(str(cli.root))}"], check=True)
    assert not answers()
    cli.ok("run", "--rm", "bb", "true")
    until(answers)


def test_signals_reach_the_process(cli, name) -> None:
    script = "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    process = cli.popen("run", "--name", name, "--network", "none", "bb", "sh", "-c", script, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == b"got\n"
    assert process.wait(10) == 5
    process.stdout.close()


def test_killed_client_leaves_the_container(cli, name) -> None:
    process = cli.popen(
        "run", "--name", name, "--network", "none", "bb", "sh", "-c", "echo ready; sleep 60", stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert cli.ok("inspect", "-f", "{{.State.Status}}", name).strip() == "running"


def test_rm_after_the_client_died(cli, name) -> None:
    process = cli.popen(
        "run",
        "--rm",
        "--name",
        name,
        "--network",
        "none",
        "bb",
        "sh",
        "-c",
        "echo ready; sleep 1",
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.kill()
    process.wait()
    process.stdout.close()
    until(lambda: cli("inspect", name).returncode == 1)


def test_detached_rm(cli, name) -> None:
    cli.ok("run", "-d", "--rm", "--name", name, "--network", "none", "bb", "true")
    until(lambda: cli("inspect", name).returncode == 1)


def test_restart_policy(cli, name) -> None:
    cli.ok(
        "run",
        "-d",
        "--restart",
        "on-failure:2",
        "--name",
        name,
        "--network",
        "none",
        "bb",
        "sh",
        "-c",
        "echo again; exit 1",
    )
    until(lambda: cli.ok("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", name).split() == ["exited", "2"])
    assert cli.ok("logs", name) == "again\n" * 3
