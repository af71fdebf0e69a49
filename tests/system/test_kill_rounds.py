"""`kill -9` of everything that is ours, at random moments, while containers print counting lines.

What may be found between a kill and the next `doctor --clean`, because the killed process alone knew of it and nobody
may judge by age or process id: a container's folder without row (its creator was killed before the row), a row
"created" that was never started (`run` killed in between; Docker leaves the same), folders set aside for deletion and
partial blobs of a killed `rm` or `commit`, an index.json behind the database, and the run folder, cgroup and veth of a
start that a killed supervisor had begun, until its successor comes. Nothing else, ever; and after it, nothing at all.

An exit code is right, or reported as unknown where the supervisor *and* its keeper were killed since the last look.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

from holdall.engine.engine import Engine
from holdall.network.leaks import leftovers
from holdall.network.plan import veth_name
from holdall.store import gc
from holdall.testing.command import CommandStore, busybox_available, busybox_tar, finish, identifiers
from holdall.testing.supervised import eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.soak,
    pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static"),
]

LOOKS = 5
ROUNDS = 1000 if os.environ.get("HOLDALL_SOAK") == "1" else 200
EVERY = 10
COUNTERS = 4
LINE = re.compile(r"line (\d+) abcdefghijklmnopqrstuvwxyz")
COUNT = (
    "trap 'exit 7' TERM; dd if=/dev/urandom of=/blob bs=1M count=4 2>/dev/null; i=0; while :; do "
    "for k in 1 2 3 4 5; do echo line $i abcdefghijklmnopqrstuvwxyz; i=$((i+1)); done; sleep 0.1; done"
)
RUN_FILES = {
    "booted", "containers", "journal", "keeper.sock", "layers", "supervisor.lock", "supervisor.log", "supervisor.sock"
}  # fmt: skip
DEBRIS = re.compile(
    r"\d+ things left by a crash, \d+ bytes: (container folder|partial download|trash|blob|layer|address|, )+"
    r"|index\.json is out of date"
)


class Rounds:
    """The store under fire, and what we know must be true of it."""

    def __init__(self, store: CommandStore, dice: random.Random) -> None:
        self.store = store
        self.dice = dice
        self.sure: set[str] = set()
        self.touched: set[str] = set()
        self.codes: dict[str, set[int]] = {}
        self.images: set[str] = set()
        self.seen: dict[str, int] = {}
        self.blind = False
        self.span = 0.15
        self.history: list[str] = []
        self.tags = 0

    def tag(self) -> str:
        self.tags += 1
        return f"n={self.tags}"

    def counter(self) -> str:
        """A counting container that must be there."""
        found = self.store.run("run", "-d", "--label", self.tag(), "bb", "sh", "-c", COUNT)
        self.sure.add(found)
        self.codes[found] = set()
        return found

    def running(self) -> list[str]:
        return [one for one in sorted(self.sure) if not self.codes[one]]

    def prey(self) -> str:
        """A running counter nothing has been done to."""
        return self.dice.choice(self.running())

    def cut(self, *words: str, limit: float = 1.0) -> tuple[str, bool]:
        """Start a command and kill it at a random moment: its output, and whether it had ended."""
        command = self.store.begin(*words)
        time.sleep(self.dice.uniform(0, self.span * limit))
        command.kill()
        done = finish(command)
        self.history.append(f"{words[0]} cut: {done.returncode} {done.stderr.strip()}")
        assert done.returncode in (0, -signal.SIGKILL), (words, done)
        return done.stdout, done.returncode == 0

    def kill(self, *kinds: str) -> None:
        for kind in kinds:
            for pid in self.store.processes(kind):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.history.append(f"killed {kinds}")

    # one method per kind of round

    def cut_run_detached(self) -> None:
        port = ("-p", "127.0.0.1::80")
        out, _ = self.cut("run", "-d", *port, "--label", self.tag(), "bb", "sh", "-c", COUNT)
        for found in identifiers(out):
            self.sure.add(found)
            self.codes[found] = set()

    def cut_run_rm(self) -> None:
        self.cut("run", "--rm", "--label", "rm=1", "--label", self.tag(), "bb", "sh", "-c", "echo hi; sleep 0.05")

    def cut_remove(self) -> None:
        prey = self.prey()
        self.cut("rm", "-f", prey)
        self.sure.discard(prey)
        self.touched.add(prey)

    def cut_stop(self) -> None:
        prey = self.prey()
        _, ended = self.cut("stop", "-t", "5", prey)
        self.codes[prey] |= {7} if ended else {0, 7}

    def cut_commit(self) -> None:
        out, _ = self.cut("commit", self.prey(), f"made:{self.dice.randrange(3)}")
        self.images |= set(re.findall(r"^(sha256:[0-9a-f]{64})\n", out))

    def cut_exec(self) -> None:
        out, ended = self.cut("exec", self.prey(), "sh", "-c", "echo one; echo two")
        assert "one\ntwo\n".startswith(out)
        assert not ended or out == "one\ntwo\n"

    def kill_init(self) -> None:
        prey = self.prey()
        found = json.loads(self.store.run("inspect", prey))[0]["State"]
        os.kill(found["Pid"], signal.SIGKILL)
        self.codes[prey] |= {137}

    def kill_supervisor(self) -> None:
        self.kill("supervisor")

    def kill_keeper(self) -> None:
        self.kill("keeper")

    def kill_both(self) -> None:
        self.blind = True
        self.kill(*self.dice.choice((("supervisor", "keeper"), ("keeper", "supervisor"))))

    def kill_supervisor_under(self) -> None:
        """The supervisor dies while a command is under way: the command moves to its successor or says why not."""
        tag = self.tag()
        command = self.store.begin("run", "-d", "--label", tag, "bb", "sh", "-c", COUNT)
        time.sleep(self.dice.uniform(0, self.span))
        self.kill("supervisor")
        done = finish(command)
        self.history.append(f"run under a dying supervisor: {done.returncode} {done.stderr.strip()}")
        assert done.returncode in (0, 125, 126, 127), done
        assert done.returncode == 0 or done.stderr.startswith("holdall: "), done
        assert "Traceback" not in done.stderr
        for found in identifiers(done.stdout):
            self.sure.add(found)
            self.codes[found] = set()

    def kill_warm(self) -> None:
        """Commands through the warm process, which dies under one of them."""
        made = self.store.run("run", "-d", "--label", self.tag(), "bb", "sh", "-c", COUNT, warm=True)
        self.sure.add(made)
        self.codes[made] = set()
        eventually(lambda: self.store.processes("warm"))
        out = self.store.begin("run", "-d", "--label", self.tag(), "bb", "sh", "-c", COUNT, warm=True)
        time.sleep(self.dice.uniform(0, self.span / 2))
        self.kill("warm")
        done = finish(out)
        assert done.returncode in (0, 125), done
        for found in identifiers(done.stdout):
            self.sure.add(found)
            self.codes[found] = set()

    # what must hold

    def listed(self) -> dict[str, dict[str, Any]]:
        for attempt in range(LOOKS):
            names = self.store.run("ps", "-aq", "--no-trunc").split()
            assert len(names) == len(set(names)), "a container is listed twice"
            try:
                found = json.loads(self.store.run("inspect", *names)) if names else []
                break
            except AssertionError:
                # one that removes itself may have gone between the two commands
                if attempt == LOOKS - 1:
                    raise
        tags = [one["Config"]["Labels"]["n"] for one in found]
        assert len(tags) == len(set(tags)), "one `run` made two containers"
        assert len({one["Name"] for one in found}) == len(found)
        return {one["Id"]: one for one in found}

    def check(self) -> None:
        # the next command adopts: a container is alive when an exec in it works
        assert self.store.run("exec", self.prey(), "echo", "here") == "here"
        with sqlite3.connect(self.store.paths.database) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        database.close()
        eventually(lambda: self.ended_rm() == [])
        found = self.listed()
        assert self.sure <= set(found), "a container is lost"
        for key in sorted(self.sure):
            self.check_state(key, found[key])
            self.check_log(key)
        for image in self.images:
            self.store.run("image", "inspect", image)
        self.check_doctor()

    def ended_rm(self) -> list[str]:
        """Containers of killed `run --rm` that ran and are still there (never started ones stay, as with Docker)."""
        words = ("ps", "-aq", "--filter", "label=rm=1")
        return self.store.run(*words, "--filter", "status=exited", "--filter", "status=running").split()

    def check_state(self, key: str, one: dict[str, Any]) -> None:
        state = one["State"]
        codes = self.codes[key]
        if not codes:
            assert state["Status"] == "running", (key, state)
        elif state["Status"] == "exited":
            unknown = state["ExitCode"] == -1 and self.blind
            assert unknown or state["ExitCode"] in codes, (key, codes, state)
        else:
            assert state["Status"] == "running", (key, state)
            assert 0 in codes or 137 in codes, (key, state)

    def check_log(self, key: str) -> None:
        """Every line whole, each number once, in order, and more of them than the last time while it runs."""
        text = self.store.run("logs", key)
        lines = text.split("\n") if text else []
        if self.codes[key] and lines and self.blind and LINE.fullmatch(lines[-1]) is None:
            lines.pop()  # killed with nobody there to hold the pipe
        for number, line in enumerate(lines):
            match = LINE.fullmatch(line)
            assert match is not None, (key, number, line, lines[number - 1 : number + 3])
            assert int(match[1]) == number, (key, number, lines[max(0, number - 3) : number + 3])
        assert len(lines) >= self.seen.get(key, 0)
        if not self.codes[key]:
            assert len(lines) > self.seen.get(key, -1), f"{key}: its log stands still"
        self.seen[key] = len(lines)

    def check_doctor(self) -> None:
        """Nothing but the debris we allow; no leak once the supervisor has undone what ended a moment ago."""
        eventually(lambda: self.leaks() == [])
        for one in self.doctor():
            if one["Subject"] == "store" and one["Level"] != "ok":
                assert DEBRIS.fullmatch(one["Message"]), one

    def leaks(self) -> list[str]:
        return [one["Message"] for one in self.doctor() if one["Subject"] == "leak" and one["Level"] != "ok"]

    def doctor(self) -> list[dict[str, str]]:
        found = [json.loads(line) for line in self.store.run("doctor", "--format", "json").splitlines()]
        told = f"doctor: {[one['Message'] for one in found if one['Subject'] in ('leak', 'store')]}"
        if self.history[-1:] != [told]:
            self.history.append(told)
        return found

    def prune(self) -> None:
        """Back to a few counters: whatever is there, however it came to be, can be removed."""
        found = self.listed()
        for key in [one for one in found if one not in self.sure or self.codes[one]]:
            self.store.run("rm", "-f", key)
            self.sure.discard(key)
        for key in self.running()[COUNTERS:]:
            self.store.run("stop", "-t", "5", key)
            code = int(self.store.run("wait", key))
            assert code == 7, (key, code)
            self.check_log(key)
            self.store.run("rm", key)
            self.sure.discard(key)
        assert set(self.store.run("ps", "-aq", "--no-trunc").split()) == self.sure
        while len(self.running()) < COUNTERS:
            self.counter()
        self.blind = False


KINDS = (
    (Rounds.cut_run_detached, 5), (Rounds.cut_run_rm, 4), (Rounds.cut_remove, 3), (Rounds.cut_stop, 2),
    (Rounds.cut_commit, 3), (Rounds.cut_exec, 3), (Rounds.kill_init, 1), (Rounds.kill_supervisor, 3),
    (Rounds.kill_keeper, 2), (Rounds.kill_both, 2), (Rounds.kill_supervisor_under, 3), (Rounds.kill_warm, 1),
)  # fmt: skip


@pytest.fixture
def store() -> Iterator[CommandStore]:
    folder = tempfile.mkdtemp(prefix="holdall-kill-")
    store = CommandStore(folder)
    try:
        store.run("import", busybox_tar(folder + "/bb.tar"), "bb")
        yield store
        store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(1200)
def test_nothing_is_lost_doubled_or_leaked_whatever_is_killed(
    store: CommandStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = int(os.environ.get("HOLDALL_SEED") or random.randrange(1 << 30))
    rounds = Rounds(store, random.Random(number))
    print(f"HOLDALL_SEED={number}")
    rounds.prune()
    begun = time.monotonic()
    store.run("run", "--rm", "bb", "true")
    rounds.span = max(0.15, time.monotonic() - begun)
    kinds, weights = zip(*KINDS, strict=True)
    try:
        for count in range(1, ROUNDS + 1):
            while len(rounds.running()) < 2:
                rounds.counter()
            kind = rounds.dice.choices(kinds, weights)[0]
            rounds.history.append(f"{count} {time.monotonic() - begun:.2f} {kind.__name__}")
            kind(rounds)
            if count % EVERY == 0:
                rounds.check()
                rounds.prune()
        rounds.check()
        _clean(rounds, monkeypatch)
    except (AssertionError, subprocess.TimeoutExpired):
        print("\n".join(rounds.history[-60:]))
        print("\n".join(store.log_of_supervisor().splitlines()[-60:]))
        raise


def _clean(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `doctor --clean` (and the minute after which a folder without row counts as abandoned) nothing is left."""
    store = rounds.store
    store.run("doctor", "--clean")
    monkeypatch.setattr(gc, "GRACE_SECONDS", -1.0)
    with Engine(store.paths.root, store.paths.run_root) as engine:
        list(engine.system.mend())
        bad = [one for one in engine.system.doctor() if one.subject in ("store", "leak") and one.level != "ok"]
        assert bad == []
        plan = engine.networks.plan()
    running = store.run("ps", "-q", "--no-trunc").split()
    addresses = [json.loads(store.run("inspect", key))[0]["NetworkSettings"]["IPAddress"] for key in running]
    assert leftovers(plan.table, plan.bridge, {veth_name(plan.table, key) for key in running}, addresses) == []
    assert set(running) == set(rounds.running())
    assert store.debris(running) == []
    assert os.listdir(store.paths.ingest) == []
    assert set(os.listdir(store.paths.containers)) == set(store.run("ps", "-aq", "--no-trunc").split())
    assert set(os.listdir(store.paths.run_root + "/containers")) == set(running)
    assert {name for name in os.listdir(store.paths.run_root) if not name.startswith("warm-")} <= RUN_FILES
