"""Text to nodes. Grammar: the Dockerfile reference; where it is silent, BuildKit's parser decides."""

from __future__ import annotations

from holdall.dockerfile import directives, heredoc, lines, words
from holdall.dockerfile.directives import Directives
from holdall.dockerfile.grammar import GRAMMARS
from holdall.dockerfile.lines import LineReader, LogicalLine
from holdall.dockerfile.location import Location, Source, at
from holdall.dockerfile.node import Node
from holdall.dockerfile.space import SPACE, split_once
from holdall.errors import DockerfileError
from holdall.record import record, replace

MAX_ONBUILD = 10
_WITH_HEREDOCS = ("ADD", "COPY", "RUN")


@record
class Tree:
    """A parsed text: its nodes in order, and the last lines of instructions with an empty line inside them."""

    source: Source
    directives: Directives
    nodes: tuple[Node, ...]
    empty_continuations: tuple[Location, ...] = ()


def parse(data: bytes | str, name: str = "Dockerfile") -> Tree:
    """Parse a Dockerfile; `name` is for messages. Raises DockerfileError."""
    physical = _split(data, name)
    source = Source(name, physical)
    try:
        found = directives.read(physical)
    except DockerfileError as err:
        raise source.error(err.cause, Location(err.start, err.start), err.hint) from err
    reader = LineReader(physical, found.escape, found.count)
    nodes: list[Node] = []
    empty: list[Location] = []
    while (line := reader.next()) is not None:
        nodes.append(_node(line, reader, source, found.escape))
        if line.blank_inside:
            empty.append(Location(line.end, line.end))
    if not nodes:
        raise DockerfileError("no instructions in it", file=name)
    return Tree(source, found, tuple(nodes), tuple(empty))


def _split(data: bytes | str, name: str) -> tuple[str, ...]:
    try:
        return lines.split(data)
    except DockerfileError as err:
        raise DockerfileError(err.cause, file=name, start=err.start) from err


def _node(line: LogicalLine, reader: LineReader, source: Source, escape: str) -> Node:
    location = Location(line.start, line.end)
    try:
        node = parse_line(line.text, escape, location)
        bodies = _heredocs(node, line.text, reader)
    except DockerfileError as err:
        raise at(source, Location(line.start, reader.position), err) from err
    return replace(node, heredocs=bodies, comments=line.comments, location=Location(line.start, reader.position))


def parse_line(text: str, escape: str, location: Location, depth: int = 0) -> Node:
    """The node of one logical line, without its heredocs. Raises DockerfileError without a place."""
    keyword, rest = split_once(text.strip(SPACE))
    flags: tuple[str, ...] = ()
    if rest is not None:
        flags, rest = words.leading_flags(rest, escape)
    rest = (rest or "").strip(SPACE)
    grammar = GRAMMARS.get(keyword.upper())
    arguments, is_json = grammar(rest, escape) if grammar else ((), False)
    child = None
    if keyword.upper() == "ONBUILD" and rest:
        if depth >= MAX_ONBUILD:
            raise DockerfileError(f"more than {MAX_ONBUILD} ONBUILD inside each other")
        child = parse_line(rest, escape, location, depth + 1)
    return Node(keyword, text, location, flags, arguments, is_json, child=child)


def _heredocs(node: Node, text: str, reader: LineReader) -> tuple[heredoc.Heredoc, ...]:
    holder = node.child or node
    if "<<" not in text or holder.name not in _WITH_HEREDOCS or holder.is_json:
        return ()
    done = []
    for announced in heredoc.in_line(text):
        body = reader.take_until(announced.name, chomp=announced.chomp)
        if body is None:
            raise DockerfileError(
                f'here-document "{announced.name}" has no end', hint=f"end it with a line that reads {announced.name}"
            )
        done.append(replace(announced, content=body))
    return tuple(done)
