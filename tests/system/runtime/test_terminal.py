"""Containers on a pseudo-terminal."""

from __future__ import annotations

import os

import pytest

from holdall.linux import mount, tty
from holdall.record import replace
from holdall.runtime import create
from holdall.runtime.launch import Stdio

pytestmark = pytest.mark.root


def test_terminal_is_controlling_and_console(rig) -> None:
    script = "tty; ls -l /dev/console | cut -c1; echo tty > /dev/tty; echo con > /dev/console; stty size; echo $TERM"
    running = rig.start("sh", "-c", script, terminal=True, console_size=(33, 99))
    assert running.wait().out == "/dev/pts/0\nc\ntty\ncon\n33 99\nxterm\n"


def test_resize_and_interrupt_arrive(rig) -> None:
    script = "trap 'stty size' WINCH; trap 'echo int; exit 3' INT; echo ready; while :; do sleep 0.05; done"
    running = rig.start("sh", "-c", script, terminal=True)
    running.until_output("ready", "tty")
    tty.set_winsize(running.fds["tty"], 11, 22)
    assert tty.get_winsize(running.fds["tty"]) == (11, 22)
    running.until_output("11 22", "tty")
    running.write("\x03")
    running.until_output("int", "tty")
    assert running.wait().code == 3


def test_terminal_belongs_to_the_user(rig) -> None:
    out = (
        rig.start("sh", "-c", "stat -c %u $(tty); echo x > $(tty)", terminal=True, launch={"user": "alice"}).wait().out
    )
    assert out == "1000\nx\n"


def test_stdio_and_terminal_exclude_each_other(rig) -> None:
    launch = rig.launch(("true",), {}, terminal=True)
    with pytest.raises(ValueError, match="terminal"):
        create.spawn(launch, Stdio(0, 1, 2))


def test_root_without_devpts_is_explained(rig) -> None:
    launch = rig.launch(("true",), {}, terminal=True)
    mounts = tuple(entry for entry in launch.spec.mounts if entry.destination != "/dev/pts")
    result = rig.start_launch(replace(launch, spec=replace(launch.spec, mounts=mounts))).wait()
    assert "/dev/pts" in result.error.message


def test_raw_mode_and_back() -> None:
    master, other = os.openpty()
    try:
        before = tty.get_attributes(other)
        assert tty.set_raw(other) == before
        os.write(master, b"a\x03\r")
        assert os.read(other, 10) == b"a\x03\r"
        tty.set_attributes(other, before)
        assert tty.get_attributes(other) == before
    finally:
        os.close(master)
        os.close(other)


def test_pty_of_a_private_devpts(tmp_path) -> None:
    mount.mount("devpts", str(tmp_path), "devpts", 0, "newinstance,ptmxmode=0666")
    try:
        master = os.open(tmp_path / "ptmx", os.O_RDWR | os.O_NOCTTY)
        other = tty.open_pty(master)
        assert os.fstat(other).st_rdev == os.stat(tmp_path / "0").st_rdev
        os.write(other, b"hi")
        assert os.read(master, 10) == b"hi"
        os.close(other)
        os.close(master)
    finally:
        mount.umount(str(tmp_path))
