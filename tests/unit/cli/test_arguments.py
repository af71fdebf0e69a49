"""Docker's manner of options."""

from __future__ import annotations

import pytest

from holdall.cli import container_options
from holdall.cli.arguments import Parser
from holdall.cli.main import find_command, split_globals
from holdall.errors import InvalidOption


def run_parser() -> Parser:
    parser = Parser("run", "text")
    parser.flag("--detach", "-d", help="x")
    container_options.add(parser)
    parser.rest("words", help="x")
    return parser


def read(*words: str):  # type: ignore[no-untyped-def]
    return run_parser().read(list(words))


def test_clusters_values_and_the_end_of_options() -> None:
    found = read("-dit", "-eA=1", "-e", "B=2", "--name=n", "--rm", "img", "-x", "--rm=false", "--", "z")
    assert (found.detach, found.interactive, found.tty, found.rm) == (True, True, True, True)
    assert found.env == ["A=1", "B=2"]
    assert found.name == "n"
    assert found.words == ["img", "-x", "--rm=false", "--", "z"]


def test_flags_with_values() -> None:
    assert read("--rm=false", "img").rm is False
    assert read("--rm=1", "img").rm is True
    with pytest.raises(InvalidOption):
        read("--rm=perhaps", "img")


def test_values_that_look_like_options() -> None:
    assert read("--memory-swap", "-1", "img").memory_swap == "-1"
    assert read("-e", "-X=1", "img").env == ["-X=1"]


def test_double_dash_ends_options() -> None:
    assert read("--", "--rm").words == ["--rm"]


@pytest.mark.parametrize("words", [["--nosuch"], ["-Z"], ["--name"], ["--cpu-shares", "x", "img"], ["-it-"]])
def test_refusals(words: list[str]) -> None:
    with pytest.raises(InvalidOption):
        read(*words)


def test_a_near_miss_is_named() -> None:
    with pytest.raises(InvalidOption) as caught:
        read("--volum", "a:/b", "img")
    assert caught.value.hint == "did you mean --volume?"


def test_globals_and_groups() -> None:
    words, options = split_globals(["--root", "/r", "--run-root=/x", "--debug", "ps", "--root"])
    assert (words, options) == (["ps", "--root"], {"--root": "/r", "--run-root": "/x", "--debug": "1"})
    assert find_command(["container", "ls", "-a"]) == ("ps", ["-a"])
    assert find_command(["image", "rm", "x"]) == ("rmi", ["x"])
    for wrong in (["pss"], ["container", "fly"]):
        with pytest.raises(InvalidOption):
            find_command(wrong)
    with pytest.raises(InvalidOption):
        split_globals(["--nosuch", "ps"])


def test_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert read("--help") is None
    text = capsys.readouterr().out
    for option in ("--env", "--volume", "--publish", "--cap-add", "--stop-timeout", "--cidfile"):
        assert option in text
