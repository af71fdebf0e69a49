"""`kill -9` of builds at random moments: of the command, of the supervisor under it, of both.

After every kill the same build made to its end gives the digest that a store without kills gave; cache mounts hold
whole lines only and lose none that was sure; nothing is left on the host, in the store, or of the secrets.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.engine.engine import Engine
from holdall.testing.command import CommandStore, busybox_available, busybox_tar, finish

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.root,
    pytest.mark.soak,
    pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static"),
]

ROUNDS = 400 if os.environ.get("HOLDALL_SOAK") == "1" else 40
CHECKED_EVERY = 10
VARIANTS = tuple((early, late) for early in "ab" for late in "ab")
SPAN = 1.2
"""Seconds in which a command is killed: about as long as a build takes."""
LINES = 50
SECRET = "the-secret-of-the-rounds"
DOCKERFILE = f"""
FROM bb AS one
ARG EARLY
COPY files /one
RUN --mount=type=cache,id=lines,target=/cache \\
    i=0; while [ $i -lt {LINES} ]; do echo "line-$i-whole" >> /cache/log; i=$((i+1)); done; \\
    echo $EARLY > /early; dd if=/dev/zero of=/big bs=1M count=3

FROM bb AS two
ADD archive.tar.gz /two/
RUN --mount=type=secret,id=s cat /run/secrets/s | busybox wc -c > /length
RUN --mount=type=tmpfs,target=/t busybox sleep 0.1 && echo x > /x

FROM bb
ARG LATE
COPY --from=one /one /one
COPY --from=two /two /length /x /two/
RUN --mount=type=bind,from=one,target=/mnt busybox sha256sum /mnt/big > /sum && cat /mnt/early >> /sum
RUN echo $LATE > /late
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    path = tempfile.mkdtemp(prefix="holdall-rounds-")
    yield Path(path)
    shutil.rmtree(path)


def opened(folder: Path) -> tuple[CommandStore, CommandStore]:
    """Two stores with one base image: the time of an import is part of it."""
    calm, killed = CommandStore(str(folder / "calm")), CommandStore(str(folder / "killed"))
    calm.run("import", busybox_tar(str(folder / "bb.tar")), "bb")
    calm.run("save", "-o", str(folder / "saved.tar"), "bb")
    killed.run("load", "-q", "-i", str(folder / "saved.tar"))
    return calm, killed


def made_context(folder: Path) -> Path:
    context = folder / "context"
    (context / "files").mkdir(parents=True)
    for number in range(200):
        (context / f"files/{number}").write_text(f"file {number}\n" * 40)
    with tarfile.open(context / "archive.tar.gz", "w:gz") as out:
        for number in range(100):
            member = tarfile.TarInfo(f"data/{number}")
            member.size = 5000
            out.addfile(member, io.BytesIO(bytes([number]) * 5000))
    (context / "Dockerfile").write_text(DOCKERFILE)
    (folder / "secret").write_text(SECRET)
    return context


def words(folder: Path, variant: tuple[str, str]) -> list[str]:
    early, late = variant
    secret = f"id=s,src={folder}/secret"
    options = ["-q", "--secret", secret, "--build-arg", f"EARLY={early}", "--build-arg", f"LATE={late}"]
    return ["build", *options, str(folder / "context")]


def cut(store: CommandStore, dice: random.Random, command: list[str]) -> str:
    """Start a build and kill something of it; what was done, for the report."""
    what = dice.choice(("command", "command", "supervisor", "both"))
    begun = store.begin(*command)
    delay = dice.uniform(0.05, SPAN)
    time.sleep(delay)
    if what != "command":
        for pid in store.processes("supervisor"):
            os.kill(pid, signal.SIGKILL)
    if what != "supervisor":
        begun.kill()
    done = finish(begun)
    return f"{what} after {delay:.2f} s: {done.returncode} {done.stderr[-300:]}"


def lines_of(store: CommandStore) -> list[str]:
    """What the commands wrote into their cache mount."""
    (log,) = Path(store.paths.root, "cache/mounts").glob("**/log")
    return log.read_text().splitlines()


def nothing_left(store: CommandStore) -> None:
    """The store is whole, and nothing of the killed builds is on the host or in it.

    What a killed supervisor has left is the next one's to take away, which a build from the cache does not need; the
    container of a step that no supervisor has heard of is `gc`'s.
    """
    store.run("run", "--rm", "--network", "none", "bb", "true")
    store.run("system", "gc", "--grace", "0s")
    deadline = time.monotonic() + 30
    while left := [store.run("ps", "-a", "--no-trunc"), *store.debris()][(1 if store.run("ps", "-aq") == "" else 0) :]:
        assert time.monotonic() < deadline, (left, store.processes("supervisor"), store.log_of_supervisor())
        time.sleep(0.2)
    with Engine(store.paths.root, store.paths.run_root) as engine:
        report = engine.system.check()
    assert report.damages == (), report.damages
    assert os.listdir(store.paths.ingest) == []
    for top, _folders, files in os.walk(store.paths.root):
        for name in files:
            path = os.path.join(top, name)
            if os.path.getsize(path) < 1 << 20:
                assert SECRET.encode() not in Path(path).read_bytes(), path


@pytest.mark.timeout(3600)
def test_rounds_of_kills(folder: Path) -> None:
    number = int(os.environ.get("HOLDALL_SEED", random.randrange(1 << 30)))
    dice = random.Random(number)
    made_context(folder)
    calm, store = opened(folder)
    history: list[str] = []
    try:
        wanted = {variant: calm.run(*words(folder, variant)) for variant in VARIANTS}
        assert len(set(wanted.values())) == len(VARIANTS)
        sure = 0
        for count in range(ROUNDS):
            variant = dice.choice(VARIANTS)
            anew = ["--no-cache"] if dice.random() < 0.3 else []
            if dice.random() < 0.15:
                store.run("builder", "prune", "-f")
                sure = 0
            command = words(folder, variant)
            history.append(f"{variant} {anew} " + cut(store, dice, [command[0], *anew, *command[1:]]))
            assert store.run(*command) == wanted[variant]
            lines = lines_of(store)
            assert set(lines) <= {f"line-{index}-whole" for index in range(LINES)}
            assert len(lines) >= sure
            sure = len(lines)
            if count % CHECKED_EVERY == CHECKED_EVERY - 1:
                nothing_left(store)
    except BaseException:
        print(f"seed {number}", *history[-10:], sep="\n")
        raise
    finally:
        calm.close()
        store.close()
