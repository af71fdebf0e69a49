"""`--call`, `--check` and options of docker build that are granted or refused."""

from __future__ import annotations

import pytest

from holdall.cli import build_calls, build_limits
from holdall.cli.arguments import Parser
from holdall.errors import InvalidOption


@pytest.mark.parametrize(
    ("text", "check", "found"),
    [
        ("", False, ("build", "text")),
        ("", True, ("check", "text")),
        ("check", True, ("check", "text")),
        ("build", True, ("check", "text")),
        ("lint,format=json", False, ("check", "json")),
        ("outline", False, ("outline", "text")),
        ("targets,format=json", False, ("targets", "json")),
    ],
)
def test_calls_are_read_as_docker_reads_them(text: str, check: bool, found: tuple[str, str]) -> None:
    assert build_calls.parse(text, check=check) == found


@pytest.mark.parametrize(("text", "check"), [("nothing", False), ("check,format=xml", False), ("outline", True)])
def test_other_calls_are_refused(text: str, check: bool) -> None:
    with pytest.raises(InvalidOption, match="--call"):
        build_calls.parse(text, check=check)


def read(*words: str) -> object:
    parser = Parser("build", "")
    build_limits.add(parser)
    options = parser.read(list(words))
    assert options is not None
    return build_limits.read(options)


def test_limits_of_commands_are_read() -> None:
    found = read(
        "-m", "64m", "--memory-swap", "-1", "--ulimit", "nofile=10:20", "--add-host", "a:1.2.3.4", "--shm-size=1m"
    )
    assert found.__dict__["memory"] == 64 << 20
    assert found.__dict__["memory_swap"] == -1
    assert found.__dict__["ulimits"] == (("nofile", 10, 20),)
    assert found.__dict__["add_hosts"] == ("a:1.2.3.4",)
    assert found.__dict__["shm_size"] == 1 << 20


@pytest.mark.parametrize(
    "words",
    [
        ["--rm"], ["--rm=true"], ["--force-rm"], ["--force-rm=false"], ["--compress"], ["--stream"],
        ["--disable-content-trust"], ["--provenance=false"], ["--sbom=false"], ["--isolation", "default"],
        ["--builder=default"],
    ],
)  # fmt: skip
def test_what_is_so_anyway_is_accepted(words: list[str]) -> None:
    read(*words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rm=false"], "--rm=false is not supported: the container of a step is always removed"),
        (["--squash"], "--squash=true is not supported: layers stay"),
        (["--sbom"], "--sbom=true is not supported"),
        (["--attest", "type=sbom"], "--attest=type=sbom is not supported"),
        (["--isolation=process"], "--isolation=process is not supported"),
        (["--cgroup-parent", "x"], "--cgroup-parent=x is not supported: steps have the store's own control groups"),
        (["--security-opt", "seccomp=unconfined"], "--security-opt=seccomp=unconfined is not supported"),
    ],
)
def test_what_is_not_done_is_refused_by_name_with_the_reason(words: list[str], said: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read(*words)
    assert caught.value.message.startswith(said)
