"""The life of a container and its surroundings, command by command."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest

from holdall import Engine
from holdall.errors import ContainerStateConflict

pytestmark = pytest.mark.root


@pytest.fixture
def running(cli, name):  # type: ignore[no-untyped-def]
    script = "trap 'exit 0' TERM; i=0; while :; do echo line $i; i=$((i+1)); sleep 0.2; done"
    cli.ok("run", "-d", "--name", name, "--network", "none", "bb", "sh", "-c", script)
    return name


def test_start_stop_restart_kill_wait(cli, running) -> None:
    started = time.monotonic()
    assert cli.ok("stop", "-t", "5", running).strip() == running
    assert time.monotonic() - started < 5
    assert cli.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", running).split() == ["exited", "0"]
    assert cli.ok("start", running).strip() == running
    first = cli.ok("inspect", "-f", "{{.State.Pid}}", running)
    cli.ok("restart", "-t", "5", running)
    assert cli.ok("inspect", "-f", "{{.State.Pid}}", running) != first
    cli.ok("kill", running)
    assert cli.ok("wait", running).strip() == "137"
    done = cli("kill", running)
    assert done.returncode == 1
    assert "not running" in done.stderr


def test_remove_refuses_a_running_one(cli, running) -> None:
    done = cli("rm", running)
    assert done.returncode == 1
    assert "hint:" in done.stderr
    assert cli.ok("rm", "-f", running).strip() == running
    assert cli("inspect", running).returncode == 1


def test_a_forced_removal_ends_what_was_started_meanwhile(cli, name, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.ok("create", "--name", name, "--network", "none", "bb", "sleep", "100")
    with Engine(root=str(cli.root), run_root=str(cli.run_root)) as engine:
        container = engine.containers.get(name)
        before = container.state
        cli.ok("start", name)
        monkeypatch.setattr(type(container), "state", property(lambda _: before))
        with pytest.raises(ContainerStateConflict):
            container.remove()
        container.remove(force=True)
    assert cli("inspect", name).returncode == 1


def test_logs(cli, running) -> None:
    time.sleep(0.7)
    lines = cli.ok("logs", running).splitlines()
    assert lines[:2] == ["line 0", "line 1"]
    assert len(cli.ok("logs", "--tail", "2", running).splitlines()) == 2
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z line 0", cli.ok("logs", "-t", running))
    assert cli.ok("logs", "--until", "1h", running) == ""
    assert "line 0" not in cli.ok("logs", "--since", "0s", running)
    follower = cli.popen("logs", "-f", "--tail", "0", running, stdout=subprocess.PIPE)
    assert follower.stdout is not None
    assert follower.stdout.readline().startswith(b"line ")
    cli.ok("kill", running)
    follower.communicate(timeout=10)
    assert follower.returncode == 0


def test_exec(cli, running) -> None:
    done = cli("exec", "-e", "A=1", "-w", "/tmp", "-u", "app", running, "sh", "-c", "echo $A; pwd; id -un; exit 4")
    assert (done.returncode, done.stdout.split()) == (4, ["1", "/tmp", "app"])
    assert cli.ok("exec", "-i", running, "cat", stdin="through") == "through"
    assert cli("exec", running, "nosuch").returncode == 127
    cli.ok("exec", "-d", running, "touch", "/tmp/made")
    time.sleep(0.3)
    assert cli.ok("exec", running, "ls", "/tmp").strip() == "made"
    cli.ok("stop", "-t", "2", running)
    stopped = cli("exec", running, "true")
    assert stopped.returncode == 1
    assert "not running" in stopped.stderr


def test_pause_and_unpause(cli, running) -> None:
    cli.ok("pause", running)
    assert running in cli.ok("ps", "--filter", "status=paused", "--format", "{{.Names}}")
    before = cli.ok("logs", running)
    refused = cli("start", running)
    assert refused.returncode == 1
    assert "paused" in refused.stderr
    time.sleep(0.5)
    assert cli.ok("logs", running) == before
    cli.ok("unpause", running)
    time.sleep(0.5)
    assert len(cli.ok("logs", running)) > len(before)


def test_rename_update_top_stats_inspect(cli, running) -> None:
    cli.ok("rename", running, running + "x")
    cli.ok("rename", running + "x", running)
    cli.ok("update", "-m", "64m", "--pids-limit", "33", running)
    data = json.loads(cli.ok("inspect", running))[0]
    assert (data["HostConfig"]["Memory"], data["HostConfig"]["PidsLimit"]) == (64 << 20, 33)
    assert data["State"]["Running"] is True
    assert "sleep" in cli.ok("top", running)
    row = cli.ok("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemUsage}}", running)
    assert row.startswith(f"{running} ")
    assert "64MiB" in row


def test_ps_filters_and_formats(cli, running) -> None:
    assert (
        cli.ok("ps", "--filter", f"name={running}", "--format", "{{.Names}}|{{.Image}}|{{.State}}")
        == f"{running}|bb|running\n"
    )
    assert json.loads(cli.ok("ps", "--filter", f"name={running}", "--format", "json"))["Names"] == running
    assert cli.ok("ps", "-q", "--filter", "status=exited", "--filter", f"name={running}") == ""
    assert cli.ok("ps", "--filter", f"name={running}").splitlines()[0].split()[:2] == ["CONTAINER", "ID"]
    wrong = cli("ps", "--filter", "nosuch=1")
    assert wrong.returncode == 1
    assert "nosuch" in wrong.stderr


def test_cp_both_ways(cli, running, tmp_path: Path) -> None:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").write_text("content\n")
    (tmp_path / "tree/link").symlink_to("sub/file")
    cli.ok("cp", str(tmp_path / "tree"), f"{running}:/tmp")
    assert cli.ok("exec", running, "cat", "/tmp/tree/link") == "content\n"
    cli.ok("cp", f"{running}:/tmp/tree/.", str(tmp_path / "back"))
    assert (tmp_path / "back/sub/file").read_text() == "content\n"
    assert (tmp_path / "back/link").is_symlink()
    cli.ok("cp", f"{running}:/etc/passwd", str(tmp_path / "pw"))
    assert "root:x:0:0" in (tmp_path / "pw").read_text()
    missing = cli("cp", f"{running}:/no/such", str(tmp_path))
    assert missing.returncode == 1
    assert "no such file" in missing.stderr
    cli.ok("stop", "-t", "2", running)
    cli.ok("cp", str(tmp_path / "pw"), f"{running}:/root/pw")
    cli.ok("cp", f"{running}:/root/pw", str(tmp_path / "pw2"))
    assert (tmp_path / "pw2").read_text() == (tmp_path / "pw").read_text()


def test_cp_follows_links_as_docker_does(cli, name, tmp_path: Path) -> None:
    cli.ok("create", "--name", name, "--network", "none", "bb")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("content\n")
    (tmp_path / "link").symlink_to("tree")
    (tmp_path / "etc").symlink_to("/etc/passwd")
    # into the container: a slash behind a link means the folder, a link that is there is written through
    cli.ok("cp", f"{tmp_path}/link/", f"{name}:/a")
    cli.ok("cp", f"{tmp_path}/link/.", f"{name}:/b")
    cli.ok("cp", f"{tmp_path}/link", f"{name}:/c")
    cli.ok("cp", f"{tmp_path}/etc", f"{name}:/file")
    cli.ok("cp", f"{tmp_path}/tree/file", f"{name}:/file")
    # out of it
    cli.ok("cp", "-L", f"{name}:/file", f"{tmp_path}/followed")
    cli.ok("cp", "-L", f"{name}:/file", f"{tmp_path}/tree")
    cli.ok("cp", f"{name}:/a/", f"{tmp_path}/a")
    (tmp_path / "here").symlink_to("there")
    cli.ok("cp", f"{name}:/a/file", f"{tmp_path}/here")
    cli.ok("cp", f"{name}:/", f"{tmp_path}/all")
    assert sorted(os.listdir(tmp_path)) == ["a", "all", "etc", "followed", "here", "link", "there", "tree"]
    assert {(tmp_path / path).read_text() for path in ("followed", "there", "tree/file", "a/file")} == {"content\n"}
    assert os.listdir(tmp_path / "tree") == ["file"]
    everything = tmp_path / "all"
    assert (everything / "a/file").read_text() == (everything / "b/file").read_text() == "content\n"
    assert os.readlink(everything / "c") == "tree"
    assert os.readlink(everything / "file") == "/etc/passwd"
    assert (everything / "etc/passwd").read_text() == "content\n"


def test_cp_of_everything_of_a_running_one_leaves_the_kernels_folders_empty(cli, running, tmp_path: Path) -> None:
    cli.ok("cp", f"{running}:/", str(tmp_path / "all"))
    assert "root:x:0:0" in (tmp_path / "all/etc/passwd").read_text()
    assert [os.listdir(tmp_path / "all" / folder) for folder in ("dev", "proc", "sys")] == [[], [], []]
    # a name that the kernel hands back in bytes is shown as text
    into = cli("cp", str(tmp_path / "all/etc/passwd"), f"{running}:/proc/nosuch")
    assert into.returncode == 1
    assert '"nosuch"' in into.stderr


def test_diff_commit_history_export(cli, name, tmp_path: Path) -> None:
    cli.ok("run", "--name", name, "--network", "none", "bb", "sh", "-c", "echo new > /etc/new; rm /etc/group")
    assert cli.ok("diff", name).splitlines() == ["C /etc", "D /etc/group", "A /etc/new"]
    tag = f"{name}:two"
    image = cli.ok("commit", "-m", "why", "-c", "ENV X=1", name, tag).strip()
    assert cli.ok(
        "run", "--rm", "--network", "none", tag, "sh", "-c", "cat /etc/new; ls /etc/group; echo $X"
    ).splitlines() == ["new", "1"]
    assert "why" in cli.ok("history", tag)
    cli.ok("export", "-o", str(tmp_path / "e.tar"), name)
    listing = subprocess.run(["tar", "tf", str(tmp_path / "e.tar")], capture_output=True, text=True, check=True).stdout
    assert "etc/new" in listing
    assert "etc/group\n" not in listing
    cli.ok("rm", name)
    assert f"Deleted: {image}" in cli.ok("rmi", tag)


def test_save_load_tag_rmi(cli, name, tmp_path: Path) -> None:
    cli.ok("tag", "bb", f"{name}:a")
    cli.ok("save", "-o", str(tmp_path / "s.tar"), f"{name}:a")
    assert cli.ok("rmi", f"{name}:a").strip() == f"Untagged: {name}:a"
    assert f"Loaded image: {name}:a" in cli.ok("load", "-i", str(tmp_path / "s.tar"))
    assert cli.ok("inspect", "-f", "{{.Id}}", f"{name}:a") == cli.ok(
        "inspect", "--type", "image", "-f", "{{.Id}}", "bb"
    )
    cli.ok("rmi", f"{name}:a")
    bad = cli("load", stdin=b"not a tar" * 100)
    assert bad.returncode == 1
    assert bad.stderr.startswith("holdall load: ")


def test_image_in_use_is_kept(cli, running) -> None:
    done = cli("rmi", "bb")
    assert done.returncode == 1
    assert "hint:" in done.stderr
    assert "bb" in cli.ok("images", "--format", "{{.Repository}}")


class Terminal:
    """A real terminal with `holdall` on it."""

    def __init__(self, cli, *words: str) -> None:  # type: ignore[no-untyped-def]
        self.master, slave = pty.openpty()
        self.resize(31, 97)
        self.process = cli.popen(*words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def expect(self, pattern: bytes, seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, f"{pattern!r} never came: {self.seen!r}"
            try:
                self.seen += os.read(self.master, 4096)
            except OSError as err:
                raise AssertionError(f"{pattern!r} never came: {self.seen!r}") from err
        self.seen = re.split(pattern, self.seen, maxsplit=1)[1]

    def close(self) -> int:
        """Wait for the end, reading on: a terminal is only put back when its output has been read."""
        try:
            while os.read(self.master, 4096):
                pass
        except OSError:
            pass
        code = self.process.wait(10)
        os.close(self.master)
        return code


def test_interactive_terminal(cli, name) -> None:
    terminal = Terminal(cli, "run", "-it", "--name", name, "--network", "none", "bb", "sh")
    terminal.type(b"tty; stty size\n")
    terminal.expect(rb"/dev/pts/0\r\n31 97\r\n")
    terminal.resize(40, 120)
    os.kill(terminal.process.pid, 28)
    terminal.type(b"sleep 0.3; stty size\n")
    terminal.expect(rb"40 120\r\n")
    terminal.type(b"exit 6\n")
    assert terminal.close() == 6


def test_detach_keys_and_attach(cli, name) -> None:
    terminal = Terminal(cli, "run", "-it", "--name", name, "--network", "none", "bb", "sh")
    # typed before the terminal is raw, Ctrl-Q would be the terminal's own
    terminal.expect(rb"/ # ")
    terminal.type(b"X=kept\n")
    terminal.expect(rb"/ # ")
    terminal.type(b"\x10\x11")
    assert terminal.close() == 0
    assert cli.ok("inspect", "-f", "{{.State.Status}}", name).strip() == "running"
    again = Terminal(cli, "attach", name)
    again.type(b"echo is-$X\n")
    again.expect(rb"is-kept\r\n")
    again.type(b"exit 3\n")
    assert again.close() == 3


def test_exec_with_a_terminal(cli, running) -> None:
    terminal = Terminal(cli, "exec", "-it", running, "sh")
    terminal.type(b"stty size; echo $TERM; exit 9\n")
    terminal.expect(rb"31 97\r\nxterm\r\n")
    assert terminal.close() == 9


def test_store_facts(cli) -> None:
    assert json.loads(cli.ok("info", "--format", "json"))["Driver"] in ("erofs", "overlay")
    assert cli.ok("version", "--format", "{{.Client.Version}}").strip()
    assert "Images" in cli.ok("system", "df")
    done = cli("doctor")
    assert "FAIL" not in done.stdout
    assert done.returncode == 0
    assert cli.ok("container", "prune", "--force", "--filter", "label=nothing-has-this").startswith("Total reclaimed")


def test_a_full_disk_is_told_and_leaves_nothing(cli, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=True)
    try:
        archive = tmp_path / "big.tar"
        with open(tmp_path / "big", "wb") as file:
            file.write(os.urandom(8 << 20))
        subprocess.run(["tar", "-C", str(tmp_path), "-cf", str(archive), "big"], check=True)
        done = cli("--root", str(small), "--run-root", str(tmp_path / "run"), "import", str(archive), "big")
        assert done.returncode == 1
        assert "no space left" in done.stderr.lower()
        assert "hint:" in done.stderr
        assert cli.ok("--root", str(small), "--run-root", str(tmp_path / "run"), "images", "-q") == ""
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that an ordinary user owns and reaches, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="holdall-user-") as path:
        os.chown(path, 65534, 65534)
        yield Path(path)


def test_an_ordinary_user_is_told_to_be_root(cli, home: Path) -> None:
    words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *cli.argv()]
    archive = home / "busybox.tar"
    archive.write_bytes((cli.root.parent / "busybox.tar").read_bytes())
    archive.chmod(0o644)
    environ = dict(cli.environ, HOLDALL_ROOT=f"{home}/root", HOLDALL_RUN_ROOT=f"{home}/run", HOME=str(home))

    def call(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, *more], env=environ, capture_output=True, text=True, cwd="/")

    if call("version").returncode:
        pytest.skip("this checkout cannot be read by other users")
    assert call("import", str(archive), "bb").returncode == 0
    done = call("run", "--rm", "bb", "true")
    assert done.returncode == 125
    assert "ordinary user" in done.stderr
    assert "hint: run it as root" in done.stderr


def test_stores_do_not_see_each_other(cli, name, tmp_path: Path) -> None:
    other = ("--root", str(tmp_path / "other"), "--run-root", str(tmp_path / "other-run"))
    cli.ok("run", "-d", "--name", name, "bb", "sleep", "30")
    try:
        assert cli.ok(*other, "ps", "-aq") == ""
        cli.ok(*other, "import", str(cli.root.parent / "busybox.tar"), "bb")
        cli.ok(*other, "run", "-d", "--name", name, "bb", "sleep", "30")
        address = "{{.NetworkSettings.Gateway}}"
        assert cli.ok(*other, "inspect", "-f", address, name) != cli.ok("inspect", "-f", address, name)
    finally:
        cli.ok(*other, "system", "reset", "--force")


@pytest.mark.parametrize("command", sorted(__import__("holdall.cli.table_of_commands", fromlist=["COMMANDS"]).COMMANDS))
def test_every_command_has_help(cli, command) -> None:
    words = command.split("_") if command != "image_prune" else ["image", "prune"]
    done = cli(*words, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: holdall ")
