"""`kill -9` of commands that change the store, at random moments: pull, push, load, rmi, gc, commit.

After every kill the store is whole by its own full check, and every name that was sure is there; at the end a `gc`
leaves nothing that nothing refers to.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import signal
import tarfile
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from holdall.engine.engine import Engine
from holdall.store.sweep import sweep
from holdall.testing.command import CommandStore, busybox_available, busybox_tar, finish
from holdall.testing.docker_registry import DockerRegistry, available

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.root,
    pytest.mark.peers,
    pytest.mark.soak,
    pytest.mark.skipif(not (busybox_available() and available()), reason="needs root, busybox-static, docker-registry"),
]

ROUNDS = 5000 if os.environ.get("HOLDALL_SOAK") == "1" else 500
IMAGES = 3
FILES, FILE_BYTES = 300, 8 << 10
SPAN = 0.6
"""Seconds in which a command is killed: about as long as they take."""


class Rounds:
    """The store under fire. `sure` are names that must be there, `maybe` those that a killed command worked on."""

    def __init__(self, store: CommandStore, host: str, dice: random.Random, container: str) -> None:
        self.store = store
        self.host = host
        self.dice = dice
        self.container = container
        self.sure: set[str] = {"bb:latest"}
        self.maybe: set[str] = set()
        self.history: list[str] = []
        self.count = 0

    def cut(self, *words: str) -> bool:
        """Start a command and kill it at a random moment; whether it had ended before."""
        command = self.store.begin(*words)
        time.sleep(self.dice.uniform(0.05, SPAN))
        command.kill()
        done = finish(command)
        self.history.append(f"{' '.join(words)}: {done.returncode} {done.stderr.strip()[-300:]}")
        gone = words[0] == "rmi" and done.returncode == 1 and done.stderr.startswith("holdall: no image")
        assert gone or done.returncode in (0, -signal.SIGKILL), done
        return gone or done.returncode == 0

    def some(self) -> int:
        """One of the images that came from the maker."""
        return self.dice.randrange(IMAGES)

    def pull(self) -> None:
        name = f"{self.host}/made:{self.some()}"
        self.adds(name, self.cut("pull", "-q", name))

    def load(self) -> None:
        number = self.some()
        self.adds(f"{self.host}/made:{number}", self.cut("load", "-q", "-i", f"{self.store.folder}/{number}.tar"))

    def commit(self) -> None:
        name = f"kept:{self.dice.randrange(4)}"
        self.adds(name, self.cut("commit", self.container, name))

    def adds(self, name: str, ended: bool) -> None:
        """The name is there for certain only when the command had ended; if it was sure before it still is."""
        if ended:
            self.sure.add(name)
            self.maybe.discard(name)
        elif name not in self.sure:
            self.maybe.add(name)

    def push(self) -> None:
        name = self.dice.choice(sorted(self.sure))
        self.count += 1
        target = f"{self.host}/pushed:{self.count % 7}"
        if self.store.attempt("tag", name, target).returncode == 0:
            self.sure.add(target)
            self.cut("push", "-q", target)

    def remove(self) -> None:
        names = sorted((self.sure | self.maybe) - {"bb:latest"})
        if names:
            name = self.dice.choice(names)
            self.sure.discard(name)
            self.maybe.add(name)
            if self.cut("rmi", "-f", name):
                self.maybe.discard(name)

    def collect(self) -> None:
        self.cut("system", "gc", "--grace", self.dice.choice(("0s", "24h")))

    def check(self) -> None:
        """The full check, and every name."""
        with Engine(self.store.paths.root, self.store.paths.run_root) as engine:
            report = engine.system.check()
            there = {tag for image in engine.images.list() for tag in image.tags}
        assert report.damages == (), report.damages
        assert self.sure <= there, self.sure - there
        assert there <= self.sure | self.maybe, there - self.sure - self.maybe


KINDS: tuple[tuple[Callable[[Rounds], None], int], ...] = (
    (Rounds.pull, 5), (Rounds.load, 3), (Rounds.commit, 3), (Rounds.push, 3), (Rounds.remove, 5), (Rounds.collect, 2),
)  # fmt: skip


def layer_tar(path: str, number: int) -> str:
    """A tar with files of its own, most of it not to be compressed."""
    dice = random.Random(number)
    with tarfile.open(path, "w") as out:
        for index in range(FILES):
            member = tarfile.TarInfo(f"data{number}/file{index}")
            data = dice.randbytes(FILE_BYTES)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def world() -> Iterator[tuple[CommandStore, str]]:
    folder = tempfile.mkdtemp(prefix="holdall-rounds-")
    maker, store = CommandStore(folder + "/maker"), CommandStore(folder + "/store")
    for path in (maker.folder, store.folder, folder + "/registry"):
        os.mkdir(path)
    try:
        with DockerRegistry(folder + "/registry") as registry:
            make(maker, store, registry.host, folder)
            yield store, registry.host
    finally:
        for one in (maker, store):
            with contextlib.suppress(AssertionError):
                one.close()
        shutil.rmtree(folder, ignore_errors=True)


def make(maker: CommandStore, store: CommandStore, host: str, folder: str) -> None:
    """Images of two layers, the lower one common to all: in the registry, and as archives of both kinds."""
    tar = busybox_tar(folder + "/bb.tar")
    store.run("import", tar, "bb")
    maker.run("import", tar, "bb")
    for number in range(IMAGES):
        extra = layer_tar(f"{folder}/extra.tar", number)
        container = maker.run("create", "bb", "true")
        with open(extra, "rb") as stream:
            command = maker.begin("cp", "-", f"{container}:/", stdin=stream)
            assert finish(command).returncode == 0
        name = f"{host}/made:{number}"
        maker.run("commit", container, name)
        maker.run("push", "-q", name)
        form = "oci-archive" if number % 2 else "docker-archive"
        maker.run("save", "--format", form, "-o", f"{store.folder}/{number}.tar", name)


@pytest.mark.timeout(3600)
def test_the_store_is_whole_and_no_name_lost_whatever_is_killed(world: tuple[CommandStore, str]) -> None:
    store, host = world
    number = int(os.environ.get("HOLDALL_SEED") or random.randrange(1 << 30))
    print(f"HOLDALL_SEED={number}")
    container = store.run("run", "-d", "bb", "sh", "-c", "dd if=/dev/urandom of=/blob bs=1M count=2; sleep 100000")
    rounds = Rounds(store, host, random.Random(number), container)
    kinds, weights = zip(*KINDS, strict=True)
    try:
        for _ in range(ROUNDS):
            rounds.dice.choices(kinds, weights)[0](rounds)
            rounds.check()
        store.run("system", "gc", "--grace", "0s")
        with Engine(store.paths.root, store.paths.run_root) as engine:
            found = engine.system.doctor()
            assert [one for one in found if one.subject in ("store", "leak") and one.level != "ok"] == []
            writing = engine.images.writing
            left = sweep(writing.database, store.paths, writing.snapshots, dry_run=True)
        assert (dict(left.blobs), dict(left.layers)) == ({}, {})
        assert store.run("exec", container, "echo", "here") == "here"
    except AssertionError:
        print("\n".join(rounds.history[-30:]))
        raise
