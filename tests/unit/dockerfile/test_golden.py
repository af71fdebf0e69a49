"""Whole Dockerfiles in tests/golden/dockerfile: what they are read as, how they expand, what the checks say.

HOLDALL_GOLDEN=write rewrites the expectations; read the difference before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdall.dockerfile import arguments, dependencies, ignore, stages
from holdall.dockerfile.instructions import Instruction
from holdall.dockerfile.lint.check import Situation, check
from holdall.dockerfile.scope import Scope, Settings
from holdall.errors import DockerfileError
from holdall.oci.platform import Platform

FOLDER = Path(__file__).parents[2] / "golden" / "dockerfile"
CASES = sorted(path.parent for path in FOLDER.glob("*/Dockerfile"))
PLATFORM = Platform("linux", "arm64", "v8")
COMMON = ("keyword", "text", "location", "comments")


def shown(instruction: Instruction) -> str:
    own = {name: value for name, value in instruction.__dict__.items() if name not in COMMON}
    kept = ", ".join(f"{name}={value!r}" for name, value in own.items() if value not in ("", (), None, False))
    return f"{instruction.location.start}-{instruction.location.end} {type(instruction).__name__} {kept}"


def walked(dockerfile: stages.Dockerfile) -> list[str]:
    known = arguments.predefined(PLATFORM, PLATFORM)
    values = arguments.global_arguments(dockerfile, known, {})
    settings = Settings(values, {}, dockerfile.escape, dockerfile.source)
    out = [shown(instruction) for instruction in dockerfile.arguments]
    for stage in dockerfile.stages:
        base = arguments.base(dockerfile, stage, values)
        out.append(f"stage {stage.index} {stage.name!r} from {base.image!r} {base.platform!r}")
        scope = Scope.of_image(["PATH=/bin", "HOME=/root"])
        for instruction in stage.instructions:
            expansion, scope = scope.step(instruction, settings)
            out.append("  " + shown(expansion.instruction))
            needed = dependencies.needs(dockerfile, stage, instruction)
            out += [
                f"    needs {need.word} {'stage ' + str(need.stage.index) if need.stage else 'image'}"
                for need in needed
            ]
            if expansion.used or expansion.missing:
                out.append(f"    used {sorted(expansion.used)} missing {sorted(expansion.missing)}")
    return out


def answer(case: Path) -> str:
    try:
        dockerfile = stages.read((case / "Dockerfile").read_bytes())
        lines = walked(dockerfile)
    except DockerfileError as err:
        return "\n".join([err.message, err.excerpt, f"hint: {err.hint}", ""])
    patterns = case / ".dockerignore"
    rules = ignore.IgnoreRules(ignore.read(patterns.read_bytes())) if patterns.exists() else None
    known = arguments.predefined(PLATFORM, PLATFORM)
    report = check(dockerfile, Situation(known, {}, ignore=rules))
    lines += [f"{w.location.start} {w.rule.name}: {w.message}" for w in report.warnings]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_case(case: Path) -> None:
    found = answer(case)
    expected = case / "expected.txt"
    if os.environ.get("HOLDALL_GOLDEN") == "write":
        expected.write_text(found)
    assert found == expected.read_text()


def test_there_are_cases() -> None:
    assert len(CASES) > 10
