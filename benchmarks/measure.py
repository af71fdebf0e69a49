"""The measurements: the same command by each contestant in turn, many at once, and memory."""

from __future__ import annotations

import statistics
import time

from contestants import KEPT, Contestant, wait_until

LABEL = "parallel"


class Times:
    """Milliseconds of one work by one contestant."""

    def __init__(self) -> None:
        self.all: list[float] = []
        self.failed = 0

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.all)

    @property
    def best(self) -> float:
        """The least."""
        return min(self.all)


class Crowd:
    """What many containers started at once came to: seconds are per round."""

    def __init__(self) -> None:
        self.start = Times()
        self.remove = Times()
        self.wanted = self.kept = self.left = 0
        self.memory = ""


def timed(contestant: Contestant, words: tuple[str, ...]) -> tuple[float, int]:
    """Milliseconds and exit code of one command, seen from outside."""
    start = time.perf_counter()
    code = contestant.begin(*words).wait()
    took = (time.perf_counter() - start) * 1000
    contestant.settle()
    return took, code


def in_turns(contestants: list[Contestant], words_of, rounds: int) -> dict[str, Times]:
    """Each contestant once, then each again…; a first round is not counted."""
    times = {contestant.name: Times() for contestant in contestants}
    for number in range(rounds + 1):
        for contestant in contestants:
            took, code = timed(contestant, words_of(contestant))
            if number:
                times[contestant.name].all.append(took)
                times[contestant.name].failed += code != 0
    return times


def run(contestants: list[Contestant], network: str, rounds: int) -> dict[str, Times]:
    """`run --rm --network NETWORK IMAGE true`."""
    return in_turns(contestants, lambda one: (*one.run_words(network, "--rm"), "true"), rounds)


def execute(contestants: list[Contestant], rounds: int) -> dict[str, Times]:
    """`exec CONTAINER true`."""
    return in_turns(contestants, lambda one: ("exec", KEPT, "true"), rounds)


def crowds(contestants: list[Contestant], size: int, rounds: int) -> dict[str, Crowd]:
    """`size` times `run -d` at once, then `rm -f` of all of them by one command."""
    found = {contestant.name: Crowd() for contestant in contestants}
    for _ in range(rounds):
        for contestant in contestants:
            crowd(contestant, size, found[contestant.name])
    return found


def crowd(contestant: Contestant, size: int, found: Crowd) -> None:
    """One round; afterwards as many containers run as before."""
    begin = time.perf_counter()
    started = start_many(contestant, size)
    found.start.all.append((time.perf_counter() - begin) * 1000)
    found.start.failed += sum(code != 0 for code in started)
    running = many(contestant)
    found.wanted += size
    found.kept += len(running)
    found.memory = resident(contestant)
    existing = many(contestant, "-a")
    begin = time.perf_counter()
    code = contestant.begin("rm", "-f", *contestant.remove_options, *existing).wait() if existing else 0
    found.remove.all.append((time.perf_counter() - begin) * 1000)
    found.remove.failed += code != 0
    found.left += len(many(contestant, "-a"))


def start_many(contestant: Contestant, size: int) -> list[int]:
    """Exit codes of `size` commands `run -d` started without waiting."""
    words = contestant.run_words("bridge", "-d", "--label", LABEL)
    processes = [contestant.begin(*words, "sleep", "100000") for _ in range(size)]
    return [process.wait() for process in processes]


def many(contestant: Contestant, *options: str) -> list[str]:
    """IDs of the containers `start_many` made."""
    return contestant.output("ps", "-q", "--no-trunc", "--filter", f"label={LABEL}", *options).split()


def idle(contestants: list[Contestant]) -> dict[str, str]:
    """PSS right after the last container went: what is there before the engine notices that nobody needs it."""
    found = {}
    for contestant in contestants:
        contestant.output("rm", "-f", *contestant.remove_options, KEPT)
        wait_until(lambda one=contestant: not one.output("ps", "-aq").strip())
        time.sleep(1)
        found[contestant.name] = resident(contestant)
        contestant.keep_one()
    return found


def resident(contestant: Contestant) -> str:
    """PSS of the engine's own processes, as text."""
    sizes = [size for size in map(proportional, contestant.processes()) if size]
    return f"{sum(sizes) / 1024:.1f} MiB in {len(sizes)}"


def proportional(pid: int) -> int:
    """KiB of PSS; 0 for a process that has gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0
