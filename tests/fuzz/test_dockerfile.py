"""Whatever the text, the Dockerfile language answers with a result or a DockerfileError, and soon."""

from __future__ import annotations

import os
import random
import time

from holdall.dockerfile import arguments, ignore, stages
from holdall.dockerfile.lint.check import Situation, check
from holdall.dockerfile.shell import Lexer
from holdall.errors import DockerfileError
from holdall.oci.platform import Platform

ROUNDS = 30_000 if os.environ.get("HOLDALL_SOAK") else 1_500
SLOW = 2.0
PLATFORM = Platform("linux", "amd64")
KNOWN = arguments.predefined(PLATFORM, PLATFORM)
PIECES = (
    "FROM a\n|FROM a AS b\n|RUN |run |CMD |ENV |ARG |LABEL |COPY |ADD |ONBUILD |HEALTHCHECK |SHELL |EXPOSE |USER |"
    "--mount=type=cache,target=/x |--mount=|--from=b |--link |--chown=$a |--interval=1s |--|\\\n|\\|`|# |# escape=`\n|"
    '# check=skip=all\n|\n|\n|\r\n|\t| |<<EOF|<<-EOF|EOF\n|EOF|\'|"|[|]|["a", "b"]|,|=|a=b |$a|${a}|${a:-|${a#*|'
    "${a//|}|{|/|*|?|:|%|é|\ufeff|\x00|\x85|\u2028|\udcff|80/tcp|NONE|1|-"
).split("|")
WORDS = ["$", "{", "}", "${a", "${b:-", "#", "%", "/", "*", "?", ":", "'", '"', "\\", "x", " ", "\n", "<<"]
GLOBS = ["a", "/", "*", "**", "?", "[", "]", "^", "-", "\\", "!", "#", "\n", " ", ".", "..", "é", "\udcff"]


def soup(dice: random.Random, pieces: list[str], most: int) -> str:
    return "".join(dice.choices(pieces, k=dice.randint(1, most)))


def read_whole(data: bytes | str) -> None:
    error = read_and_check(data)
    if error is not None:
        assert error.cause
        error.excerpt.encode()


def read_and_check(data: bytes | str) -> DockerfileError | None:
    try:
        found = stages.read(data)
        report = check(found, Situation(KNOWN, {"a": "1"}))
    except DockerfileError as err:
        return err
    for warning in report.warnings:
        warning.render(found.source)
    return report.error


def test_pieces_of_dockerfiles() -> None:
    dice = random.Random(4)
    for _ in range(ROUNDS):
        text = "FROM a\n" * dice.randint(0, 1) + soup(dice, PIECES, 40)
        started = time.perf_counter()
        read_whole(text if dice.random() < 0.5 else text.encode("utf-8", "surrogatepass"))
        assert time.perf_counter() - started < SLOW, text


def test_raw_bytes() -> None:
    dice = random.Random(5)
    for _ in range(ROUNDS):
        read_whole(b"FROM a\nRUN " + dice.randbytes(dice.randint(0, 60)))


def test_words() -> None:
    dice = random.Random(6)
    env = {"a": "x*/?y" * 20, "b": ""}
    for _ in range(ROUNDS):
        text = soup(dice, WORDS, 25)
        lexer = Lexer(dice.choice("\\`"), env, raw_quotes=dice.random() < 0.2, keep_unset=dice.random() < 0.2)
        try:
            lexer.word(text)
            lexer.words(text)
        except DockerfileError:
            # the lexer must be of use again
            assert lexer.word("'\\'") in ("\\", "'\\'")


def test_ignore_files() -> None:
    dice = random.Random(7)
    for _ in range(ROUNDS):
        try:
            rules = ignore.IgnoreRules(ignore.read(soup(dice, GLOBS, 30)))
        except DockerfileError:
            continue
        started = time.perf_counter()
        rules.ignores("a/" * 40 + "b")
        assert time.perf_counter() - started < SLOW


def test_long_inputs_stay_linear() -> None:
    for text in (
        "FROM a\n" * 900,
        "FROM a\nRUN " + "x \\\n" * 50_000 + "y\n",
        "FROM a\nRUN x \\\n" + "\n" * 100_000 + "y\n",
        "# c\n" * 100_000 + "FROM a\n",
        "FROM a\nENV " + "a=b " * 16_000,
        "FROM a\nENV a=" + "'" * 60_001,
        "FROM a\nENV a=" + '"\\' * 30_000,
        "FROM a\nENV a=" + "${b:-" * 10_000,
        "FROM a\nENV a=" + "$a" * 30_000,
        "FROM a\nRUN " + "<<a " * 16_000,
        "FROM a\nRUN " + "--a='" * 10_000,
        "FROM a\nCMD " + '["' * 30_000,
        "FROM " + "a-" * 30_000,
        "FROM a\nRUN <<EOF\n" + "x\n" * 100_000 + "EOF\n",
    ):
        started = time.perf_counter()
        read_whole(text)
        assert time.perf_counter() - started < 5 * SLOW, text[:40]
