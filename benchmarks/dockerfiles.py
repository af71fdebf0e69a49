"""Compare Holdall's Dockerfile parser with BuildKit's, by the PyPI package `dockerfile`, over a folder of real files.

    python benchmarks/dockerfiles.py FOLDER [--every N] [--reference PYTHON] [--show N]

PYTHON is an interpreter that can import `dockerfile` (a virtual environment outside the repository; the package wraps
BuildKit's parser). Every file below FOLDER is read: same verdict, same instructions, time of each. No data is kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from holdall.dockerfile import parser, stages
from holdall.dockerfile.node import Node
from holdall.errors import DockerfileError

CHILD = """
import json, sys, time
import dockerfile
for name in sys.stdin:
    started = time.perf_counter()
    try:
        found = dockerfile.parse_file(name.rstrip("\\n"))
    except Exception as err:
        answer = {"error": f"{type(err).__name__}: {err}"}
    else:
        answer = {"commands": [
            [c.cmd.upper(), (c.sub_cmd or "").upper(), c.json, list(c.flags), list(c.value), c.start_line, c.end_line,
             [[h.name, h.content] for h in c.heredocs]] for c in found]}
    answer["seconds"] = time.perf_counter() - started
    print(json.dumps(answer))
"""
PAIRS = ("ENV", "LABEL")


def ours(data: bytes) -> dict[str, Any]:
    """What Holdall makes of a file, in the reference's terms, and the seconds it took."""
    started = time.perf_counter()
    try:
        tree = parser.parse(data)
        answer: dict[str, Any] = {"nodes": tree.nodes}
    except DockerfileError as err:
        answer = {"error": str(err)}
    answer["seconds"] = time.perf_counter() - started
    if "nodes" in answer:
        answer["commands"] = [command(node) for node in answer.pop("nodes")]
    return answer


def command(node: Node) -> list[Any]:
    """One node in the reference's terms."""
    holder = node.child or node
    flags = list(node.flags) + (list(node.child.flags) if node.child else [])
    arguments = list(holder.arguments)
    if holder.name in PAIRS:
        # the reference, older than ours, does not tell the two forms of ENV and LABEL apart
        arguments = [word for at, word in enumerate(arguments) if at % 3 != 2]
    bodies = [[found.name, found.content] for found in node.heredocs]
    return [
        *(node.name, node.child.name if node.child else "", holder.is_json, flags, arguments),
        *(node.location.start, node.location.end, bodies),
    ]


def verdict(mine: dict[str, Any], theirs: dict[str, Any]) -> str:
    """ "same" or what differs."""
    if ("error" in mine) != ("error" in theirs):
        return "verdict: " + (theirs.get("error") or mine["error"])[:60]
    if "error" in mine:
        return "same"
    if len(mine["commands"]) != len(theirs["commands"]):
        return "number of instructions"
    for left, right in zip(mine["commands"], theirs["commands"], strict=True):
        if not same(left, right):
            return f"{left[0]}: " + ("flags" if left[3] != right[3] else "arguments" if left[4] != right[4] else "rest")
    return "same"


def same(left: list[Any], right: list[Any]) -> bool:
    """Whether two commands agree; of unknown instructions the reference keeps one empty argument."""
    if left[4] == [] and right[4] == [""]:
        right = [*right[:4], [], *right[5:]]
    # bytes that are no UTF-8 are a replacement character there, a surrogate here
    return json.dumps(plain(left)) == json.dumps(right)


def plain(value: Any) -> Any:
    """`value` with surrogates replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return [plain(item) for item in value] if isinstance(value, list) else value


def instruction_level(data: bytes) -> str:
    """ "ok" or why the typed instructions are refused."""
    try:
        stages.read(data)
    except DockerfileError as err:
        return err.cause
    return "ok"


def main() -> None:
    """Run the comparison and print its figures."""
    options = argparse.ArgumentParser(description="compare the Dockerfile parser with BuildKit's")
    options.add_argument("folder", type=Path)
    options.add_argument("--every", type=int, default=1, help="take every Nth file")
    options.add_argument("--reference", help="a Python that has the package dockerfile")
    options.add_argument("--show", type=int, default=5, help="differences to show of each kind")
    chosen = options.parse_args()
    files = sorted(path for path in chosen.folder.rglob("*") if path.is_file())[:: chosen.every]
    mine = [ours(path.read_bytes()) for path in files]
    report("holdall", mine)
    started = time.perf_counter()
    refused = Counter(instruction_level(path.read_bytes()) != "ok" for path in files)
    print(f"typed instructions of all: {time.perf_counter() - started:.1f} s, refused {refused[True]}")
    if chosen.reference:
        names = "".join(f"{path}\n" for path in files)
        child = [chosen.reference, "-c", CHILD]
        done = subprocess.run(child, input=names, capture_output=True, text=True, check=True)
        theirs = [json.loads(line) for line in done.stdout.splitlines()]
        report("reference", theirs)
        compare(files, mine, theirs, chosen.show)


def report(who: str, answers: list[dict[str, Any]]) -> None:
    """One line of figures."""
    seconds = [answer["seconds"] for answer in answers]
    refused = sum("error" in answer for answer in answers)
    instructions = sum(len(answer.get("commands", ())) for answer in answers)
    per_thousand = 1000 * sum(seconds) / max(1, len(seconds))
    print(
        f"{who}: {len(answers)} files, {instructions} instructions, {refused} refused, "
        f"{per_thousand:.2f} s per thousand, slowest {max(seconds):.3f} s"
    )


def compare(files: list[Path], mine: list[dict[str, Any]], theirs: list[dict[str, Any]], show: int) -> None:
    """Count and show the differences."""
    kinds: Counter[str] = Counter()
    for path, left, right in zip(files, mine, theirs, strict=True):
        kind = verdict(left, right)
        kinds[kind] += 1
        if kind != "same" and kinds[kind] <= show:
            print(f"  {kind}: {path}", file=sys.stderr)
    for kind, count in kinds.most_common():
        print(f"{count:8} {kind}")


if __name__ == "__main__":
    main()
