"""BuildKit's own test data, read from a checkout named by HOLDALL_BUILDKIT (skipped without one).

The folder is the repository's root; frontend/dockerfile/{parser/testfiles*,shell/*Test} are read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from holdall.dockerfile.node import Node
from holdall.dockerfile.parser import parse
from holdall.dockerfile.shell import Lexer
from holdall.errors import DockerfileError

ROOT = Path(os.environ.get("HOLDALL_BUILDKIT", "/nonexistent")) / "frontend" / "dockerfile"
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="HOLDALL_BUILDKIT names no checkout of BuildKit")


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\\u0000", "\\x00")


def dump(node: Node) -> str:
    words = [node.keyword.lower()]
    if node.flags:
        words.append("[" + " ".join(map(quoted, node.flags)) + "]")
    if node.child:
        words.append(f"({dump(node.child)})")
    else:
        words += map(quoted, node.arguments)
    return " ".join(words)


@pytest.mark.parametrize("case", sorted((ROOT / "parser/testfiles").glob("*")), ids=lambda p: p.name)
def test_nodes(case: Path) -> None:
    tree = parse((case / "Dockerfile").read_bytes())
    wanted = (case / "result").read_text().replace("\n)", ")").strip()
    assert "\n".join(f"({dump(node)})" for node in tree.nodes) == wanted


@pytest.mark.parametrize("case", sorted((ROOT / "parser/testfiles-negative").glob("*")), ids=lambda p: p.name)
def test_refusals(case: Path) -> None:
    with pytest.raises(DockerfileError):
        parse((case / "Dockerfile").read_bytes())


def test_line_numbers() -> None:
    tree = parse((ROOT / "parser/testfile-line/Dockerfile").read_bytes())
    assert [(node.location.start, node.location.end) for node in tree.nodes] == [(5, 5), (11, 12), (17, 31)]


def lines_of(name: str) -> list[str]:
    path = ROOT / "shell" / name
    return [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def test_expansion_of_one_word() -> None:
    env = {"PWD": "/home", "SHELL": "bash", "KOREAN": "한국어", "NULL": ""}
    seen = 0
    for line in lines_of("envVarTest"):
        platform, word, wanted = (part.strip() for part in line.split("|"))
        if platform == "W":
            continue
        seen += 1
        try:
            assert Lexer("\\", env).word(word) == wanted, line
        except DockerfileError:
            assert wanted == "error", line
    assert seen > 100


def test_splitting_into_words() -> None:
    env: dict[str, str] = {}
    seen = 0
    for line in lines_of("wordsTest"):
        if line.startswith("ENV "):
            name, _, value = line[4:].lstrip(" ").partition("=")
            env[name] = value
            continue
        seen += 1
        text, _, wanted = line.partition("|")
        try:
            found = Lexer("\\", env).words(text.strip())
        except DockerfileError:
            found = ["error"]
        assert (found or [""]) == wanted.lstrip(" ").split(","), line
    assert seen > 20
