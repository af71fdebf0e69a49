"""COPY and ADD from their nodes."""

from __future__ import annotations

from holdall.dockerfile import heredoc
from holdall.dockerfile.flags import MANY, ONE, SWITCH, Flags
from holdall.dockerfile.instructions import Add, Copy, InlineFile
from holdall.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.dockerfile.node import Node

_SHARED = {"chown": ONE, "chmod": ONE, "link": SWITCH, "exclude": MANY}
_COPY_FLAGS = {**_SHARED, "from": ONE, "parents": SWITCH}
_ADD_FLAGS = {**_SHARED, "checksum": ONE, "keep-git-dir": SWITCH, "unpack": SWITCH}


def copy(node: Node) -> Copy:
    """COPY. Raises DockerfileError."""
    sources, files, destination = _paths(node)
    flags = Flags(node.flags, _COPY_FLAGS)
    return Copy(
        *node.head(),
        sources=sources,
        files=files,
        destination=destination,
        chown=flags.one("chown"),
        chmod=flags.one("chmod"),
        link=bool(flags.switch("link")),
        excludes=flags.many("exclude"),
        source=flags.one("from"),
        parents=bool(flags.switch("parents")),
    )


def add(node: Node) -> Add:
    """ADD. Raises DockerfileError."""
    sources, files, destination = _paths(node)
    flags = Flags(node.flags, _ADD_FLAGS)
    return Add(
        *node.head(),
        sources=sources,
        files=files,
        destination=destination,
        chown=flags.one("chown"),
        chmod=flags.one("chmod"),
        link=bool(flags.switch("link")),
        excludes=flags.many("exclude"),
        checksum=flags.one("checksum"),
        keep_git_dir=flags.switch("keep-git-dir"),
        unpack=flags.switch("unpack"),
    )


def _paths(node: Node) -> tuple[tuple[str, ...], tuple[InlineFile, ...], str]:
    if len(node.arguments) < 2:
        raise DockerfileError(f"{node.name} needs at least two arguments: sources and a destination")
    *words, destination = node.arguments
    if heredoc.parse_word(destination):
        raise DockerfileError(f"{node.name} cannot have a here-document as its destination")
    bodies = {found.name: found for found in node.heredocs}
    sources: list[str] = []
    files: list[InlineFile] = []
    for word in words:
        announced = heredoc.parse_word(word)
        if announced is None:
            sources.append(word)
        else:
            body = bodies.get(announced.name, announced)
            files.append(InlineFile(announced.name, body.body, announced.expand))
    return tuple(sources), tuple(files), destination
