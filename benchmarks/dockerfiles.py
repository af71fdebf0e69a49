"""Compare Holdall's reading of Dockerfiles with BuildKit's, over a folder of real files.

    python benchmarks/dockerfiles.py FOLDER [--every N] [--wheel PYTHON] [--buildkit PROGRAM] [--show N]

PYTHON is an interpreter that can import PyPI's `dockerfile` (a virtual environment outside the repository; it wraps the
parser of BuildKit 0.12); PROGRAM answers for BuildKit, one JSON object a line for each file name on its standard input,
and has typed instructions and build checks compared too. Every file below FOLDER is read. No data is kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdall.dockerfile import arguments, parser, stages
from holdall.dockerfile.lint.check import ImageFacts, Situation, check
from holdall.errors import DockerfileError
from holdall.oci.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.dockerfile.node import Node

WHEEL = """
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
PLATFORM = Platform("linux", "amd64")
SITUATION = Situation(arguments.predefined(PLATFORM, PLATFORM), {}, image=lambda _name: ImageFacts({"PATH": "/bin"}))
Answer = dict[str, Any]


class Tally:
    """Files, seconds and differences against one reference."""

    def __init__(self, name: str, show: int) -> None:
        self.name = name
        self.show = show
        self.kinds: Counter[str] = Counter()
        self.seconds: list[float] = []

    def add(self, path: Path, mine: Answer, theirs: Answer) -> None:
        """Compare one file."""
        self.seconds.append(theirs["seconds"])
        for kind in differences(mine, theirs) or ["same"]:
            self.kinds[kind] += 1
            if kind != "same" and self.kinds[kind] <= self.show:
                print(f"  {self.name}: {kind}: {path}")

    def print(self) -> None:
        """All figures."""
        print(f"{self.name}: {figures(self.seconds)}")
        for kind, count in self.kinds.most_common():
            print(f"{count:8} {kind}")


def figures(seconds: list[float]) -> str:
    """Files, seconds per thousand, the slowest."""
    mean = 1000 * sum(seconds) / max(1, len(seconds))
    return f"{len(seconds)} files, {mean:.2f} s per thousand, slowest {max(seconds, default=0):.3f} s"


def ours(data: bytes) -> Answer:
    """What Holdall makes of a file, in the references' terms."""
    started = time.perf_counter()
    try:
        tree = parser.parse(data)
    except DockerfileError as err:
        return {"error": str(err), "seconds": time.perf_counter() - started}
    answer: Answer = {"seconds": time.perf_counter() - started}
    answer["commands"] = [command(node) for node in tree.nodes]
    started = time.perf_counter()
    try:
        dockerfile = stages.read(data)
        answer["refused"] = ""
    except DockerfileError as err:
        answer["refused"] = err.cause
        return answer
    answer["typed"] = time.perf_counter() - started
    report = check(dockerfile, SITUATION)
    answer["failed"] = report.error is not None
    answer["warnings"] = [[w.rule.name, w.location.start, w.message] for w in report.warnings]
    return answer


def command(node: Node) -> list[Any]:
    """One node in the references' terms."""
    holder = node.child or node
    flags = list(node.flags) + (list(node.child.flags) if node.child else [])
    bodies = [[found.name, found.content] for found in node.heredocs]
    return [
        *(node.name, node.child.name if node.child else "", holder.is_json, flags, list(holder.arguments)),
        *(node.location.start, node.location.end, bodies),
    ]


def differences(mine: Answer, theirs: Answer) -> list[str]:
    """What two answers disagree about."""
    if ("error" in mine) != ("error" in theirs):
        return ["verdict of the parser"]
    if "error" in mine:
        return []
    found = instruction_differences(mine, theirs)
    if "refused" not in theirs:
        return found
    if bool(mine["refused"]) != bool(theirs["refused"]):
        return [*found, f"verdict on instructions: {mine['refused'] or theirs['refused']}"[:70]]
    if not mine["refused"]:
        found += check_differences(mine, theirs)
    return found


def instruction_differences(mine: Answer, theirs: Answer) -> list[str]:
    """One word for each kind of difference between two lists of instructions."""
    if len(mine["commands"]) != len(theirs["commands"]):
        return ["number of instructions"]
    pairs = zip(mine["commands"], theirs["commands"], strict=True)
    older = "refused" not in theirs
    found = {f"{left[0]}: {where(left, right, older=older)}" for left, right in pairs}
    return sorted(kind for kind in found if not kind.endswith(": "))


def where(left: list[Any], right: list[Any], *, older: bool) -> str:
    """The first part two instructions differ in, or ""."""
    left = plain(left)
    if right[4] == [""] and not left[4]:
        # of an unknown instruction the references keep one empty argument
        right = [*right[:4], [], *right[5:]]
    if older and (left[0] in ("ENV", "LABEL") or left[1] in ("ENV", "LABEL")):
        # the wheel's older parser does not tell the two forms of ENV and LABEL apart
        left = [*left[:4], [word for word in left[4] if word not in ("", "=")], *left[5:]]
        right = [*right[:4], [word for word in right[4] if word not in ("", "=")], *right[5:]]
    names = ("keyword", "trigger", "form", "flags", "arguments", "first line", "last line", "heredocs")
    return next((name for name, one, other in zip(names, left, right, strict=True) if one != other), "")


def check_differences(mine: Answer, theirs: Answer) -> list[str]:
    """Build checks that only one side reports; a file that fails to convert has none to compare."""
    if mine["failed"] != theirs["failed"]:
        return ["verdict of the checks"]
    if mine["failed"]:
        return []
    left, right = ({tuple(found) for found in plain(side["warnings"] or [])} for side in (mine, theirs))
    return [
        f"check {name} only {who}"
        for who, some in (("ours", left - right), ("theirs", right - left))
        for name in sorted({found[0] for found in some})
    ]


def plain(value: Any) -> Any:
    """`value` with bytes that are no UTF-8 as the references show them."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return [plain(item) for item in value] if isinstance(value, list) else value


def ask(arguments_: list[str], files: list[Path]) -> Iterator[Answer]:
    """The answers of a child, file by file."""
    with subprocess.Popen(arguments_, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for path in files:
            child.stdin.write(f"{path}\n")
        child.stdin.close()
        for line in child.stdout:
            yield json.loads(line)


def main() -> None:
    """Run the comparison and print its figures."""
    options = argparse.ArgumentParser(description="compare the reading of Dockerfiles with BuildKit's")
    options.add_argument("folder", type=Path)
    options.add_argument("--every", type=int, default=1, help="take every Nth file")
    options.add_argument("--wheel", help="a Python that has the package dockerfile")
    options.add_argument("--buildkit", help="a program that answers for BuildKit")
    options.add_argument("--show", type=int, default=3, help="files to name for each kind of difference")
    chosen = options.parse_args()
    files = sorted(path for path in chosen.folder.rglob("*") if path.is_file())[:: chosen.every]
    references = []
    if chosen.wheel:
        references.append((Tally("dockerfile 3.4", chosen.show), [chosen.wheel, "-c", WHEEL]))
    if chosen.buildkit:
        references.append((Tally("buildkit", chosen.show), [chosen.buildkit]))
    parsed: list[float] = []
    typed: list[float] = []
    for start in range(0, len(files), 500):
        some = files[start : start + 500]
        mine = [ours(path.read_bytes()) for path in some]
        parsed += [answer["seconds"] for answer in mine]
        typed += [answer["typed"] for answer in mine if "typed" in answer]
        for tally, child in references:
            for path, left, right in zip(some, mine, ask(child, some), strict=True):
                tally.add(path, left, right)
    print(f"holdall, nodes: {figures(parsed)}")
    print(f"holdall, typed instructions: {figures(typed)}")
    for tally, _ in references:
        tally.print()


if __name__ == "__main__":
    main()
