"""`--init`: PID 1 of ours in front of the command."""

from __future__ import annotations

import signal

import pytest

pytestmark = pytest.mark.root

INIT = {"init": True}


def test_command_is_a_child_of_pid_1(rig) -> None:
    out = rig.sh("echo $$ $PPID; tr '\\0' ' ' < /proc/1/cmdline; echo; cat /proc/1/comm", launch=INIT)
    first, second, third = out.splitlines()
    assert first == "2 1"
    assert second.startswith("holdall-init -- sh -ec echo")
    assert third == "holdall-init"


def test_exit_code_and_signal_come_through(rig) -> None:
    assert rig.run("sh", "-c", "exit 9", launch=INIT).code == 9
    assert rig.run("sh", "-c", "kill -KILL $$", launch=INIT).code == 128 + 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGRTMIN + 3])
def test_signals_are_forwarded(rig, number) -> None:
    running = rig.start(
        "sh", "-c", f"trap 'echo got; exit 7' {int(number)}; echo ready; while :; do sleep 0.05; done", launch=INIT
    )
    running.until_output("ready")
    running.kill(number)
    result = running.wait()
    assert (result.code, result.out) == (7, "ready\ngot\n")


def test_command_without_handler_dies_of_sigterm(rig) -> None:
    running = rig.start("sleep", "100", launch=INIT)
    running.until(running.started)
    running.kill(signal.SIGTERM)
    assert running.wait().code == 128 + 15


def test_orphans_are_reaped(rig) -> None:
    script = "(sh -c 'sleep 0.1 & exit 0'); sleep 0.4; grep -l 'State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l"
    assert rig.sh(script, launch=INIT) == "0\n"
    assert rig.sh(f'exec sh -c "{script}"').strip() == "0"  # a shell reaps, too


ORPHAN = """
import os, time
child = os.fork()
if child == 0:
    if os.fork() == 0:
        time.sleep(0.1)
    os._exit(0)
os.waitpid(child, 0)
time.sleep(0.5)
states = [open(f"/proc/{p}/status").read() for p in os.listdir("/proc") if p.isdigit()]
print(sum("State:\\tZ" in state for state in states))
"""


def test_orphans_stay_zombies_only_without_init(rig) -> None:
    result = rig.run("python3", "-c", ORPHAN)
    assert result.out == "1\n", (result.code, result.err, result.messages)
    assert rig.run("python3", "-c", ORPHAN, launch=INIT).out == "0\n"


def test_pid_1_runs_as_the_user_without_descriptors_or_capabilities(rig) -> None:
    script = "grep -E '^(Uid|CapEff)' /proc/1/status; readlink /proc/1/exe; readlink /proc/1/fd/*"
    result = rig.run("sh", "-c", script, launch={**INIT, "user": "alice"})
    assert result.out == "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n"
    assert int(rig.sh("grep CapEff /proc/1/status", launch=INIT).split()[1], 16) == 1 << 5  # CAP_KILL
    as_root = rig.run("sh", "-c", "readlink /proc/1/exe; ls /proc/1/fd; cat /proc/1/environ", launch=INIT)
    assert as_root.out == ""


def test_failure_to_execute_is_reported(rig) -> None:
    result = rig.run("nope", launch=INIT)
    assert result.code == 127
    result = rig.run("/etc/passwd", launch=INIT)
    assert "permission denied" in result.error.message
    assert result.code == 126
    (rig.lower / "garbage").write_bytes(b"\0\1garbage")
    (rig.lower / "garbage").chmod(0o755)
    result = rig.run("/garbage", launch=INIT)
    assert "exec format error" in result.error.message
    assert result.code == 126


def test_terminal_interrupt_reaches_the_command_once(rig) -> None:
    running = rig.start(
        "sh", "-c", "trap 'echo int' INT; echo ready; read x; read x; echo bye", terminal=True, launch=INIT
    )
    running.until_output("ready", "tty")
    running.write("\x03")
    running.until_output("int", "tty")
    running.write("a\nb\n")
    out = running.wait().out
    assert out.count("int\n") == 1
    assert out.endswith("bye\n")
