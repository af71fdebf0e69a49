"""Compiled modules for the Python code in a plan, so that containers need not compile at every start. Not for tests.

Each interpreter compiles its own, in fresh processes with a fixed hash seed, batch by batch in the order of the
names: the same sources give the same bytes. The files carry the image's time, so that they are valid there and a
changed source is noticed (PEP 552, timestamps).
"""

from __future__ import annotations

import os
import subprocess

from holdall.pack.plan import Item, Kind
from holdall.pack.python_probe import COMPILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdall.pack.plan import Plan
    from holdall.pack.python import PythonFacts

BATCH = 400
"""Files per process. Part of what makes the bytes: not to be derived from the number of processors."""
TIMEOUT = 600
_REASON = "compiled module"


def add(plan: Plan, facts: PythonFacts, sources: Sequence[str], folder: str, epoch: int) -> None:
    """Compile `sources` (real paths, which are in the plan) into `folder` and add what came out.

    Code that does not compile (for another version, say) is left out. An interpreter older than 3.4 is not asked.
    """
    if facts.version < (3, 4) or not facts.cache_tag:
        return
    os.mkdir(folder)
    jobs = [(source, f"{folder}/{number}.pyc") for number, source in enumerate(sorted(filter(_wanted, set(sources))))]
    batches = [jobs[begin : begin + BATCH] for begin in range(0, len(jobs), BATCH)]
    _run(facts, batches, epoch)
    for source, out in jobs:
        if os.path.exists(out):
            plan.add(Item(_cached_name(source, facts.cache_tag), Kind.FILE, _REASON, 0o644, out))


def _wanted(source: str) -> bool:
    return "/tests/" not in source and "/test/" not in source


def _cached_name(source: str, tag: str) -> str:
    head, name = os.path.split(source)
    return f"{head}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc"


def _run(facts: PythonFacts, batches: list[list[tuple[str, str]]], epoch: int) -> None:
    """As many processes at once as there are processors we may use."""
    width = len(os.sched_getaffinity(0))
    for begin in range(0, len(batches), width):
        running = [_start(facts.path, batch, epoch) for batch in batches[begin : begin + width]]
        for process in running:
            process.wait(TIMEOUT)


def _start(python: str, batch: list[tuple[str, str]], epoch: int) -> subprocess.Popen[bytes]:
    env = {"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0", "LC_ALL": "C"}
    process = subprocess.Popen(
        [python, "-s", "-S", "-B", "-c", COMPILE, str(epoch)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=env,
    )
    with process.stdin or open(os.devnull, "wb") as pipe:
        try:
            pipe.write(b"\0".join(_lines(batch)))
        except BrokenPipeError:
            pass
    return process


def _lines(batch: list[tuple[str, str]]) -> Iterator[bytes]:
    for source, out in batch:
        if "\n" not in source:
            yield os.fsencode(source) + b"\n" + os.fsencode(out)
