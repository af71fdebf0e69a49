"""A store with a busybox image for the whole session of a worker, and proof that nothing of it stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdall.paths import store_key

APPLETS = (
    "sh ls cat echo true false sleep id ps env hostname mount wget nc httpd stat touch rm mkdir kill head tail grep dd "
    "sync stty tty seq wc date od find tar chmod chown ln cp mv df free uname pwd test readlink sort trap"
).split()
PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"
GROUP = "root:x:0:\nextra:x:50:app\napp:x:1000:\n"


@dataclass
class Cli:
    """Runs `holdall` on one store."""

    root: Path
    run_root: Path

    @property
    def environ(self) -> dict[str, str]:
        return dict(os.environ, HOLDALL_ROOT=str(self.root), HOLDALL_RUN_ROOT=str(self.run_root), HOLDALL_WARM="0")

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "holdall", *words]

    def __call__(self, *words: str, stdin: str | bytes = b"", timeout: float = 60) -> subprocess.CompletedProcess[str]:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(self.argv(*words), input=data, capture_output=True, env=self.environ, timeout=timeout)
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )

    def ok(self, *words: str, stdin: str | bytes = b"", timeout: float = 60) -> str:
        done = self(*words, stdin=stdin, timeout=timeout)
        assert done.returncode == 0, f"holdall {' '.join(words)}: {done.stderr}"
        return done.stdout

    def popen(self, *words: str, **more: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.argv(*words), env=self.environ, **more)  # type: ignore[call-overload]


def busybox_tar(path: Path) -> Path:
    """A root file system of a static busybox, its links, and two users."""
    tree = path.parent / "rootfs"
    for folder in ("bin", "etc", "tmp", "root", "proc", "sys", "dev", "var", "home/app", "data"):
        (tree / folder).mkdir(parents=True)
    (tree / "tmp").chmod(0o1777)
    (tree / "bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (tree / "bin/busybox").chmod(0o755)
    for name in APPLETS:
        (tree / "bin" / name).symlink_to("busybox")
    (tree / "etc/passwd").write_text(PASSWD)
    (tree / "etc/group").write_text(GROUP)
    (tree / "data/seed").write_text("from the image\n")
    with tarfile.open(path, "w") as tar:
        tar.add(tree, ".")
    return path


def processes(root: Path) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if line.startswith("holdall-") and str(root) in line:
            found.append(line.strip())
    return found


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    if os.geteuid():
        pytest.skip("needs root")
    if not os.path.exists("/bin/busybox"):
        pytest.skip("busybox-static is not installed")
    folder = tmp_path_factory.mktemp("cli")
    run = Cli(folder / "store", folder / "run")
    run.ok("import", "-c", 'CMD ["sh"]', str(busybox_tar(folder / "busybox.tar")), "bb")
    yield run
    run.ok("system", "reset", "--force")
    deadline = time.monotonic() + 20
    while processes(run.root) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes(run.root) == []
    assert f"hd-{store_key(str(run.root))}" not in os.listdir("/sys/class/net")
    assert list(Path("/sys/fs/cgroup").glob(f"*/holdall-{store_key(str(run.root))}")) == []
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    assert not (run.root / "holdall.db").exists()


@pytest.fixture
def name(cli: Cli, request: pytest.FixtureRequest) -> Iterator[str]:
    """A container name of the test's own; whatever has it afterwards is removed."""
    chosen = f"t{abs(hash(request.node.nodeid)) % 10**10}"
    yield chosen
    cli("rm", "--force", "--volumes", chosen)
