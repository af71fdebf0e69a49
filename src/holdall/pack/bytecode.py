"""Compiled modules for the Python code in a plan, so that containers need not compile at every start. Not for tests.

Each interpreter compiles its own, in fresh processes with a fixed hash seed, batch by batch in the order of the
names: the same sources give the same bytes. The files carry the image's time, so that they are valid there and a
changed source is noticed (PEP 552, timestamps).
"""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile

from holdall.pack.plan import Item, Kind
from holdall.pack.python_probe import COMPILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from holdall.pack.plan import Plan
    from holdall.pack.python import PythonFacts

BATCH = 400
"""Files per process. Part of what makes the bytes: not to be derived from the number of processors."""
TIMEOUT = 600
_REASON = "compiled module"


def add(plan: Plan, facts: PythonFacts, sources: Sequence[str], directory: str, epoch: int) -> list[BinaryIO]:
    """Compile `sources` (real paths, which are in the plan) and add what came out; it lies in the nameless files
    below `directory` that are returned, and must be open until the plan is written.

    Code that does not compile (for another version, say) is left out. An interpreter older than 3.4 is not asked.
    """
    if facts.version < (3, 4) or not facts.cache_tag:
        return []
    wanted = sorted({one for one in sources if "/tests/" not in one and "/test/" not in one and "\0" not in one})
    batches = [wanted[begin : begin + BATCH] for begin in range(0, len(wanted), BATCH)]
    files: list[BinaryIO] = [tempfile.TemporaryFile(dir=directory) for _ in batches]
    width = len(os.sched_getaffinity(0))
    for begin in range(0, len(batches), width):
        some = slice(begin, begin + width)
        running = [
            _start(facts.path, batch, file, epoch) for batch, file in zip(batches[some], files[some], strict=True)
        ]
        for process in running:
            process.wait(TIMEOUT)
    for batch, file in zip(batches, files, strict=True):
        _collect(plan, batch, file, facts.cache_tag)
    return files


def _start(python: str, batch: Sequence[str], out: BinaryIO, epoch: int) -> subprocess.Popen[bytes]:
    env = {"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0", "LC_ALL": "C"}
    process = subprocess.Popen(
        [python, "-s", "-S", "-B", "-c", COMPILE, str(epoch)],
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=env,
    )
    try:
        with process.stdin or open(os.devnull, "wb") as pipe:
            pipe.write(b"\0".join([os.fsencode(one) for one in batch]))
    except BrokenPipeError:
        pass  # it did not start as a Python should: nothing comes out, and nothing is added
    return process


def _collect(plan: Plan, batch: Sequence[str], file: BinaryIO, tag: str) -> None:
    file.seek(0)
    offset = 0
    for source in batch:
        head = file.read(8)
        if len(head) < 8:
            return
        (size,) = struct.unpack("<Q", head)
        offset += 8
        if size:
            path = f"/proc/self/fd/{file.fileno()}"
            plan.add(Item(_cached_name(source, tag), Kind.FILE, _REASON, 0o644, path, offset=offset, size=size))
        offset += size
        file.seek(offset)


def _cached_name(source: str, tag: str) -> str:
    head, name = os.path.split(source)
    return f"{head}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc"
