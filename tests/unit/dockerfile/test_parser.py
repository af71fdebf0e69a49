"""Lines, directives, heredocs and the grammars of lines."""

from __future__ import annotations

import pytest

from holdall.dockerfile.lines import MAX_LINE, MAX_SIZE
from holdall.dockerfile.node import Node
from holdall.dockerfile.parser import parse
from holdall.errors import DockerfileError


def only(text: str) -> Node:
    (node,) = parse(text).nodes
    return node


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("RUN a\\\nb", ("ab",)),
        ("RUN a \\  \n  b", ("a   b",)),
        ("RUN a \\\n# comment\n\n   # another\n b", ("a  b",)),
        ("RUN a \\\\\n", ("a \\\\",)),
        ("RUN a \\", ("a",)),
        ("\\\nRUN a", ("a",)),
        ("run\ta", ("a",)),
        ("RUN a # no comment", ("a # no comment",)),
        ('CMD ["a", "b\\u00e9"]', ("a", "bé")),
        ("CMD ['a']", ("['a']",)),
        ('CMD ["a"] b', ('["a"] b',)),
        ('CMD ["a",]', ('["a",]',)),
        ("CMD [NaN]", ("[NaN]",)),
        ("ENV a=b c='d e' f=\"g h\" i=j\\ k", ("a", "b", "=", "c", "'d e'", "=", "f", '"g h"', "=", "i", "j\\ k", "=")),
        ("ENV a b  c", ("a", "b  c", "")),
        ("ENV a=b=c", ("a", "b=c", "=")),
        ("ARG a b='c d'", ("a", "b='c d'")),
        ("EXPOSE 1  2\t3", ("1", "2", "3")),
        ('COPY ["a b", "c"]', ("a b", "c")),
        ("COPY a\u00a0b c", ("a\u00a0b", "c")),
        ("HEALTHCHECK  CMD   x y", ("CMD", "x y")),
        ("USER a b", ("a b",)),
    ],
)
def test_arguments(text: str, arguments: tuple[str, ...]) -> None:
    assert only(text).arguments == arguments


def test_exec_form_is_marked() -> None:
    assert only('RUN ["a"]').is_json
    assert only("RUN []").is_json
    assert not only("RUN [ a ]").is_json


@pytest.mark.parametrize("text", ["CMD [1]", 'CMD ["a", null]', 'CMD [["a"]]', "CMD [1.5e3]", f"CMD [{'9' * 5000}]"])
def test_arrays_of_other_things_are_refused(text: str) -> None:
    with pytest.raises(DockerfileError, match="strings only"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "flags", "arguments"),
    [
        ("RUN --a --b=c d", ("--a", "--b=c"), ("d",)),
        ("RUN --a='x y' d", ("--a=x y",), ("d",)),
        ('RUN --a=\\"q d', ('--a="q',), ("d",)),
        ("RUN --a -- --b c", ("--a",), ("--b c",)),
        ("RUN -a --b", (), ("-a --b",)),
        ("RUN --a=é d", ("--a=é",), ("d",)),
        ("RUN --a", ("--a",), ()),
    ],
)
def test_flags(text: str, flags: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    node = only(text)
    assert (node.flags, node.arguments) == (flags, arguments)


def test_locations_and_comments() -> None:
    tree = parse("# lost\n\n# one\n# two\nFROM a\n\nRUN b \\\n\n c\n")
    assert [(node.location.start, node.location.end) for node in tree.nodes] == [(5, 5), (7, 9)]
    assert tree.nodes[0].comments == ("one", "two")
    assert [place.start for place in tree.empty_continuations] == [9]


def test_an_empty_comment_separates_descriptions() -> None:
    assert only("# a\n#\n# b\nFROM x").comments == ("b",)


def test_directives() -> None:
    found = parse("# Syntax = docker/dockerfile:1 extra\n#check=skip=all\n# escape=`\nFROM a\n").directives
    assert (found.syntax, found.check, found.escape, found.count) == ("docker/dockerfile:1", "skip=all", "`", 3)


@pytest.mark.parametrize(
    "text", ["# a comment\n# escape=`\nFROM a", "\n# escape=`\nFROM a", "# key=x\n# escape=`\nFROM a"]
)
def test_directives_stand_first(text: str) -> None:
    assert parse(text).directives.escape == "\\"


def test_directives_after_a_shebang() -> None:
    found = parse("#!/usr/bin/env x\n# syntax=y\nFROM a").directives
    assert found.syntax == "y"


@pytest.mark.parametrize(
    "text", ["# escape=x\nFROM a", "# escape=`\n# escape=`\nFROM a", "# syntax=a\n# syntax=b\nFROM a"]
)
def test_bad_directives(text: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    assert caught.value.start in (1, 2)


@pytest.mark.parametrize(
    ("line", "names", "expand", "chomp"),
    [
        ("RUN <<EOF", ["EOF"], True, False),
        ("RUN <<-EOF", ["EOF"], True, True),
        ("RUN <<'EOF'", ["EOF"], False, False),
        ('RUN 3<<-"E O F"', ["E O F"], False, True),
        ("RUN cat << EOF", ["EOF"], True, False),
        ("ONBUILD RUN <<EOF", ["EOF"], True, False),
        ("COPY --link <<EOF /x", ["EOF"], True, False),
    ],
)
def test_heredocs(line: str, names: list[str], expand: bool, chomp: bool) -> None:
    node = only(f"{line}\n\tbody\r\n{names[0]}\n")
    assert [found.name for found in node.heredocs] == names
    found = node.heredocs[0]
    assert (found.expand, found.chomp, found.content) == (expand, chomp, "\tbody\r\n")
    assert found.body == ("body\r\n" if chomp else "\tbody\r\n")


@pytest.mark.parametrize(
    "line", ['RUN echo "<<EOF"', "RUN cat <<<EOF", "CMD <<EOF", 'RUN ["<<EOF"]', "RUN echo ${#x} <<EOF"]
)
def test_no_heredocs(line: str) -> None:
    assert only(line).heredocs == ()


def test_bytes_that_are_no_utf8_are_kept() -> None:
    (node,) = parse(b"RUN echo \xff\xfe").nodes
    assert node.arguments[0].encode("utf-8", "surrogateescape") == b"echo \xff\xfe"


def test_bounds() -> None:
    assert parse("RUN " + "x" * (MAX_LINE - 4))
    with pytest.raises(DockerfileError, match="line longer") as caught:
        parse("FROM a\nRUN " + "x" * (MAX_LINE - 3))
    assert caught.value.start == 2
    with pytest.raises(DockerfileError, match="larger than"):
        parse(b" " * (MAX_SIZE + 1))
    with pytest.raises(DockerfileError, match="inside each other"):
        parse("ONBUILD " * 50 + "RUN x")


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n", " \t\n"])
def test_no_instructions(text: str) -> None:
    with pytest.raises(DockerfileError, match="no instructions"):
        parse(text)


def test_a_lone_continuation_is_an_instruction_without_a_keyword() -> None:
    assert only("\\\n\\\n# x").keyword == ""


def test_depth_of_brackets_is_no_problem() -> None:
    assert only("CMD " + "[" * 30_000).arguments == ("[" * 30_000,)
