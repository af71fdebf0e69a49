"""Whatever stands in bake files, compose files, .env files and options: an answer or a HoldallError, and soon."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from typing import TYPE_CHECKING

from holdall.bake import dotenv, expression, files, yaml_file
from holdall.bake.plain import MAX_MESSAGE
from holdall.build import annotating, cache_options, outputs
from holdall.dockerfile.location import visible
from holdall.engine import bake_options
from holdall.errors import HoldallError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 30_000 if os.environ.get("HOLDALL_SOAK") else 700
SLOW = 5.0
TEMPLATES = (
    "${|%{|}|a|b|n|.|[|]|(|)|\"|'|+|-|*|/|%|?|:|==|!=|<|>=|&&|!|null|true|1|2.5|1e9|upper|join|range|format|replace|,| "
    "|{|$|$$|\\|\\n|9999999999|é|\x00|\udcff|for|=>|..."
).split("|")
ENVIRONMENT = "$|${|}|A|B|:-|-|:+|:?|?|+|=|\"|'|\n|#| |export |\\|\\n|é|\x00|$$|${A}|${B:-${A}}|\r\n".split("|")
YAML = (
    "services:|  a:|    build:|      context: .|      args:|        A: b|        - A=b|&x |*x|<<: *x|- |? |: |{|}|[|]|,"
    "|'|\"|#|\n|\n  |\n    |\t|!!python/object:os.system |!!binary |---|...|>||yes|1e3|0x10|2020-01-01|%YAML 1.2|\x00|é"
).split("|")
OPTIONS = (
    'type=|image|oci|docker|local|tar|registry|s3|inline|,|dest=|ref=|mode=max|compression=|zstd|gzip|"|=|name=|a/b:1'
    "|@|annotation.|index:|manifest-descriptor[linux/amd64]|[|]|:|push=true|level|\\|\n|é|\x00|-|region=r|bucket=b|true"
).split("|")
KEYS = (
    "target group variable function a b default targets inherits contexts args tags matrix name output cache-to secret "
    "platforms labels attest dockerfile-inline entitlements ulimits shm-size network description x-bake type ssh"
).split()
LEAVES = (None, True, 0, -1, 1.5, "", "a", "b", "target:a", "target:b", "linux/arm64", "type=oci,dest=x", "${a}",
          "id=x", "1 << 20", "host", "a-${b}", "${upper(a)}", "%{", "x" * 300, "é\x07")  # fmt: skip


def soup(dice: random.Random, pieces: list[str], most: int) -> str:
    return "".join(dice.choices(pieces, k=dice.randint(1, most)))


def survive(read: Callable[[], object], *, files_of_others: bool = False) -> None:
    message, began = "read", time.thread_time()
    try:
        read()
    except HoldallError as err:
        message = err.message
    if files_of_others:
        assert visible(message) == message
        assert len(message) <= MAX_MESSAGE
    assert time.thread_time() - began < SLOW


def lookup(name: str) -> object:
    return {"a": "text", "b": ["x", "y"], "n": 5}.get(name, {})


def baked(raw: bytes, name: str, folder: str) -> None:
    found = files.parse([(name, raw)], {"A": "1", "a": "2"}, folder)
    chosen = found.choose([*found.targets][:3], ["*.args.x=y", "*.tags+=z"], {})
    for one, target in chosen.targets.items():
        bake_options.options(one, target, {})


def tree(dice: random.Random, depth: int = 0) -> object:
    if depth > 4 or dice.random() < 0.2 * depth:
        return dice.choice(LEAVES)
    if dice.random() < 0.25:
        return [tree(dice, depth + 1) for _ in range(dice.randint(0, 3))]
    return {dice.choice(KEYS): tree(dice, depth + 1) for _ in range(dice.randint(0, 4))}


def test_templates() -> None:
    dice = random.Random(1)
    for _ in range(ROUNDS * 3):
        text = soup(dice, TEMPLATES, 14)
        survive(lambda text=text: expression.value("${" + text + "}" if dice.random() < 0.7 else text, lookup, "here"))


def test_templates_that_nest_and_grow() -> None:
    texts = [sign * 5_000 for sign in ("(", "!", "[", "1+", "a?", "upper(", "${", "9", "a[0]", '"')]
    for text in (*texts, "a" + "[0]" * 5_000, "range(1000000000)", "replace(" * 20, "1e99999"):
        survive(lambda text=text: expression.value("${" + text + "}", lookup, "here"))


def test_environment_files_and_substitution() -> None:
    dice = random.Random(2)
    for _ in range(ROUNDS):
        text = soup(dice, ENVIRONMENT, 20)
        survive(lambda text=text: dotenv.parse(text.encode(), {"A": "${A}", "B": "b"}, "here"))
        survive(lambda text=text: dotenv.substituted(text, {"A": "${A}", "B": "b"}, "here"))
    survive(lambda: dotenv.substituted("${A:-" * 5_000, {}, "here"))
    survive(lambda: dotenv.parse(b"\xff\xfeA=1\n", {}, "here"))


def test_trees_as_bake_files(tmp_path: Path) -> None:
    dice = random.Random(3)
    for _ in range(ROUNDS):
        whole = {"target": {"a": tree(dice, 1), "b": tree(dice, 1)}, dice.choice(KEYS): tree(dice, 2)}
        survive(lambda whole=whole: baked(json.dumps(whole).encode(), "bake.json", str(tmp_path)), files_of_others=True)


def test_bytes_as_files(tmp_path: Path) -> None:
    dice = random.Random(4)
    seed = bytearray(
        json.dumps({"target": {"a": {"args": {"x": "${a}"}, "tags": ["t"]}}, "variable": {"a": {}}}).encode()
    )
    for _ in range(ROUNDS):
        raw = bytearray(seed)
        for _ in range(dice.randint(1, 4)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        survive(lambda raw=raw: baked(bytes(raw), "bake.json", str(tmp_path)), files_of_others=True)
    survive(lambda: baked(b'{"target":' * 50_000, "bake.json", str(tmp_path)), files_of_others=True)


def test_yaml(tmp_path: Path) -> None:
    dice = random.Random(5)
    for _ in range(ROUNDS):
        text = soup(dice, YAML, 20).encode()
        survive(lambda text=text: yaml_file.load(text, "here"))
        survive(lambda text=text: baked(text, "compose.yaml", str(tmp_path)), files_of_others=True)


def test_yaml_that_grows(tmp_path: Path) -> None:
    names = [f"x{number}" for number in range(40)]
    bomb = "x0: &x0 [a, a]\n" + "".join(
        [f"{name}: &{name} [*{before}, *{before}, *{before}]\n" for before, name in itertools.pairwise(names)]
    )
    survive(
        lambda: baked((bomb + "services: {a: {build: {context: *x39}}}\n").encode(), "compose.yaml", str(tmp_path)),
        files_of_others=True,
    )
    survive(lambda: baked(b"[" * 100_000, "compose.yaml", str(tmp_path)), files_of_others=True)
    survive(lambda: baked(b"a: &a\n  b: *a\n", "compose.yaml", str(tmp_path)), files_of_others=True)
    survive(lambda: baked(b"- " * 50_000, "compose.yaml", str(tmp_path)), files_of_others=True)


def test_targets_that_stand_on_each_other_a_thousand_times(tmp_path: Path) -> None:
    for key in ("inherits", "contexts", "groups"):
        for width in (1, 2):
            targets: dict[str, object] = {"t0": {}, "t1": {}}
            groups: dict[str, object] = {}
            for number in range(2, 900 if width == 1 else 90):
                below = [f"t{number - step}" for step in range(1, width + 1)]
                if key == "groups":
                    groups[f"g{number}"] = {"targets": [one.replace("t", "g") if number > 3 else one for one in below]}
                contexts = {one: f"target:{one}" for one in below}
                targets[f"t{number}"] = {key: below if key == "inherits" else contexts} if key != "groups" else {}
            raw = json.dumps({"target": targets, "group": groups}).encode()

            def read(raw: bytes = raw, last: str = [*(groups or targets)][-1]) -> None:
                files.parse([("bake.json", raw)], {}, str(tmp_path)).choose([last], [], {})

            survive(read, files_of_others=True)


def test_values_that_double() -> None:
    known: dict[str, object] = {"v0": ["x"] * 10, "s0": "x" * 10}
    for number in range(40):
        for kind, template in (("v", "${{concat(v{0}, v{0})}}"), ("s", "${{s{0}}}${{s{0}}}")):
            try:
                known[f"{kind}{number + 1}"] = expression.value(template.format(number), known.__getitem__, "here")
            except HoldallError:
                known[f"{kind}{number + 1}"] = "" if kind == "s" else []
    long = "x" * 1_000_000
    survive(lambda: expression.value('${replace(a, "", a)}', lambda _: long, "here"))
    survive(lambda: expression.value("${join(a, " + "[a, a, a], " * 5_000 + "[])}", lambda _: long, "here"))


def test_options() -> None:
    dice = random.Random(6)
    for _ in range(ROUNDS * 3):
        text = soup(dice, OPTIONS, 12)
        survive(lambda text=text: outputs.parse(text))
        survive(lambda text=text: annotating.parse([text]))
        for option in (cache_options.TO, cache_options.FROM):
            survive(lambda text=text, option=option: cache_options.parse(text, option, {}))
