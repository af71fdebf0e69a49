"""Compose files: build sections as targets, variables with defaults, .env, and YAML read without surprises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdall.bake import compose, dotenv, files, yaml_file
from holdall.errors import InvalidInput, LimitExceeded

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

SERVICES = """
x-args: &args
  SHARED: "1"
services:
  web:
    image: reg.test/web:${TAG:-latest}
    ports: ["80:80"]
    environment: {FROM_SERVICE: s}
    build:
      context: ./web
      dockerfile: Dockerfile.web
      target: run
      args:
        <<: *args
        VERSION: 1.10
        DEBUG: on
        EMPTY: ""
        FROM_SERVICE:
        FROM_ENV:
        NOWHERE:
      labels:
        - a=b
      cache_from: [reg.test/cache, "type=local,src=c"]
      cache_to: ["type=local,dest=c"]
      platforms: [linux/amd64]
      secrets:
        - token
        - source: key
      ssh: [default]
      additional_contexts:
        base: service:base
        src: ../src
      network: none
      no_cache: true
      extra_hosts: ["h:1.2.3.4"]
      ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}
      shm_size: 1m
      privileged: false
      x-bake:
        tags: reg.test/a reg.test/b
        output: [type=docker]
        no-cache-filter: [one]
  base:
    build: {dockerfile_inline: "FROM scratch\\n"}
  api.v1:
    build: ./api
  db:
    image: postgres
secrets:
  token: {environment: TOKEN}
  key: {file: ./key.pem}
"""


def parsed(text: str, **environ: str) -> dict[str, dict[str, Any]]:
    _, targets = compose.parse([("compose.yaml", text.encode())], environ)
    return {one.name: dict(one.values) for one in targets}


def test_services_with_a_build_section_are_targets() -> None:
    groups, targets = compose.parse([("compose.yaml", SERVICES.encode())], {})
    assert [(one.name, one.targets) for one in groups] == [("default", ("web", "base", "api_v1"))]
    assert [one.name for one in targets] == ["web", "base", "api_v1"]


def test_what_a_section_says() -> None:
    web = parsed(SERVICES, FROM_ENV="e", TAG="7")["web"]
    assert web == {
        "context": "./web", "dockerfile": "Dockerfile.web", "target": "run", "network": "none", "shm-size": "1m",
        "no-cache": True, "labels": {"a": "b"}, "platforms": ["linux/amd64"],
        "args": {"SHARED": "1", "VERSION": "1.10", "DEBUG": "on", "EMPTY": "", "FROM_SERVICE": "s", "FROM_ENV": "e"},
        "cache-from": ["reg.test/cache", "type=local,src=c"], "cache-to": ["type=local,dest=c"],
        "secret": ["id=token,env=TOKEN", "id=key,src=./key.pem"], "ssh": ["default"],
        "contexts": {"base": "target:base", "src": "../src"}, "extra-hosts": {"h": "1.2.3.4"},
        "ulimits": ["nofile=1:2", "nproc=3"], "tags": ["reg.test/a", "reg.test/b"], "output": ["type=docker"],
        "no-cache-filter": ["one"],
    }  # fmt: skip
    others = parsed(SERVICES)
    assert others["base"] == {"dockerfile-inline": "FROM scratch\n"}
    assert others["api_v1"] == {"context": "./api"}


def test_the_image_is_the_tag_when_there_is_no_other() -> None:
    assert parsed("services: {a: {image: 'x:${TAG-1}', build: .}}")["a"]["tags"] == ["x:1"]


def test_later_files_add_to_earlier_ones() -> None:
    two = "services: {base: {build: {context: other, args: [X=1]}}, web: {build: {args: {VERSION: '2'}}}}"
    _, targets = compose.parse([("a.yaml", SERVICES.encode()), ("b.yaml", two.encode())], {})
    found = {one.name: one.values for one in targets}
    assert found["base"] == {"context": "other", "dockerfile-inline": "FROM scratch\n", "args": {"X": "1"}}
    assert found["web"]["args"]["VERSION"] == "2"
    assert found["web"]["args"]["SHARED"] == "1"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[]", "mapping"),
        ("services: []", "mappings"),
        ("services: {a: []}", "mapping"),
        ("services: {a: {build: []}}", "text or a mapping"),
        ("services: {a: {build: {what: 1}}}", "what"),
        ("services: {a: {build: {sbom: true}}}", "sbom"),
        ("services: {a: {build: {privileged: true}}}", "privileged"),
        ("services: {a: {build: {x-bake: {what: 1}}}}", "what"),
        ("services: {a: {build: {args: 5}}}", "args"),
        ("services: {a: {build: {secrets: [s]}}}\nsecrets: {s: {external: true}}", "external"),
        ("services: {a: {extends: b, build: .}}", "extends"),
        ("include: [x.yaml]", "include"),
        ("services: {a: {build: '${B:?say B}'}}", "say B"),
        ("services: {a: {build: '${'}}", "closed"),
        ("services: {a: {build: .}, a: {build: .}}", "twice"),
        ("services: {a: {build: .", "YAML"),
        ("a: b\n---\nc: d", "document"),
    ],
)
def test_what_is_refused(text: str, word: str) -> None:
    with pytest.raises(InvalidInput) as err:
        parsed(text)
    assert word in str(err.value) or word == "YAML"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$A-${A}", "a-a"),
        ("${NO}|${NO-d}|${NO:-d}|${EMPTY-d}|${EMPTY:-d}", "|d|d||d"),
        ("${A+x}|${NO+x}|${EMPTY+x}|${EMPTY:+x}", "x||x|"),
        ("${A:?no}${A?no}", "aa"),
        ("$$A $${A}", "$A ${A}"),
        ("${NO:-${A}-${NO:-b}}", "a-b"),
        ("a$", "a$"),
    ],
)
def test_variables(text: str, wanted: str) -> None:
    assert dotenv.substituted(text, {"A": "a", "EMPTY": ""}, "here") == wanted


@pytest.mark.parametrize(
    "text", ["${NO:?needed}", "${NO?needed}", "$1", "${1}", "${A!}", "${A", "${" * 30 + "A" + "}" * 30]
)
def test_variables_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        dotenv.substituted(text, {"A": "a"}, "here")


def test_env_files() -> None:
    text = (
        "# a comment\nA=1\nexport B = two words # comment\nC='$A raw'\nD=\"$A\\n\\$x\"\nE=\nF\nG: yaml\nH=${A}#x\n"
        'I="several\nlines"\n'
    )
    assert dotenv.parse(text.encode(), {"F": "f"}, ".env") == {
        "A": "1", "B": "two words", "C": "$A raw", "D": "1\n$x", "E": "", "F": "f", "G": "yaml", "H": "1#x",
        "I": "several\nlines",
    }  # fmt: skip
    for bad in (b"=x", b'A="open', b"A='x' y", b"A=\xff"):
        with pytest.raises(InvalidInput):
            dotenv.parse(bad, {}, ".env")


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TAG=file\nOTHER=file\n")
    text = b"services: {a: {image: 'x:$TAG-$OTHER', build: .}}"
    found = files.parse([("compose.yml", text)], {"TAG": "env"}, str(tmp_path)).targets["a"].values
    assert found["tags"] == ["x:env-file"]


def test_compose_and_json_together(tmp_path: Path) -> None:
    both = files.parse(
        [("c.yml", b"services: {a: {image: x, build: .}}"), ("b.json", b'{"target": {"a": {"tags": ["y"]}}}')],
        {}, str(tmp_path),
    )  # fmt: skip
    assert both.targets["a"].values["tags"] == ["y"]


def test_yaml_keeps_texts_as_they_are_written() -> None:
    found = yaml_file.load(b"{a: 1.10, b: no, c: 0x10, d: 2020-01-01, e: ~, f: true, g: 'true', h: 1_000}", "x")
    assert found == {
        "a": "1.10", "b": "no", "c": "0x10", "d": "2020-01-01", "e": None, "f": True, "g": "true", "h": "1_000",
    }  # fmt: skip


def test_yaml_bombs_are_refused() -> None:
    bomb = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 10)) for n in range(8)
    )
    for text in (bomb, b"a: &a [*a]", b"[" * 5000, b"x" * (5 << 20)):
        with pytest.raises((LimitExceeded, InvalidInput)):
            yaml_file.load(text, "x")


def test_merged_mappings_give_way_to_ones_own_keys() -> None:
    text = b"x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {c: 3, <<: [*x, *y]}"
    assert yaml_file.load(text, "x")["z"] == {"a": "1", "b": "1", "c": "3"}
