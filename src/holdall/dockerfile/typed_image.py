"""The instructions that describe stages and the image's config, from their nodes."""

from __future__ import annotations

import re

from holdall.dockerfile.flags import ONE, Flags
from holdall.dockerfile.instructions import (
    Arg,
    ArgDefinition,
    Env,
    Expose,
    From,
    Label,
    Maintainer,
    NameValue,
    Onbuild,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from holdall.dockerfile.space import SPACE
from holdall.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.dockerfile.node import Node

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*\Z")
_ONBUILD = re.compile(r"(?i)[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*")


def _needs(node: Node, count: str) -> DockerfileError:
    return DockerfileError(f"{node.name} needs {count}")


def _some(node: Node) -> tuple[str, ...]:
    if not node.arguments:
        raise _needs(node, "at least one argument")
    return node.arguments


def _only(node: Node) -> str:
    if len(node.arguments) != 1:
        raise _needs(node, "exactly one argument")
    return node.arguments[0]


def from_(node: Node) -> From:
    """FROM. Raises DockerfileError."""
    image, as_keyword, written = _from_words(node.arguments)
    stage = written.lower()
    if written and not _STAGE_NAME.match(stage):
        raise DockerfileError(
            f'invalid stage name "{written}"', hint="begin with a letter; then letters, digits, dots, - and _"
        )
    flags = Flags(node.flags, {"platform": ONE})
    description = _description(node.comments, stage)
    return From(*node.head(), image, flags.one("platform"), stage, written, as_keyword, description)


def _from_words(words: tuple[str, ...]) -> tuple[str, str, str]:
    if len(words) == 3 and words[1].lower() == "as":
        return words[0], words[1], words[2]
    if len(words) != 1:
        raise DockerfileError("FROM needs either one or three arguments", hint="write FROM image [AS name]")
    return words[0], "", ""


def arg(node: Node) -> Arg:
    """ARG. Raises DockerfileError."""
    return Arg(*node.head(), tuple(_definition(word, node.comments) for word in _some(node)))


def _definition(word: str, comments: tuple[str, ...]) -> ArgDefinition:
    name, equals, default = word.partition("=")
    if equals and not name:
        raise DockerfileError("ARG names cannot be blank")
    return ArgDefinition(name, default if equals else None, _description(comments, name))


def _description(comments: tuple[str, ...], name: str) -> str:
    if name:
        for line in comments:
            if line.startswith(name + " "):
                return line[len(name) + 1 :]
    return ""


def env(node: Node) -> Env:
    """ENV. Raises DockerfileError."""
    return Env(*node.head(), _pairs(node))


def label(node: Node) -> Label:
    """LABEL. Raises DockerfileError."""
    return Label(*node.head(), _pairs(node))


def _pairs(node: Node) -> tuple[NameValue, ...]:
    Flags(node.flags, {})
    words = _some(node)
    if not all(words[::3]):
        raise DockerfileError(f"{node.name} names cannot be blank")
    return tuple(NameValue(words[at], words[at + 1], words[at + 2] == "") for at in range(0, len(words), 3))


def expose(node: Node) -> Expose:
    """EXPOSE. Raises DockerfileError."""
    ports = _some(node)
    Flags(node.flags, {})
    return Expose(*node.head(), tuple(sorted(ports)))


def volume(node: Node) -> Volume:
    """VOLUME. Raises DockerfileError."""
    paths = tuple(path.strip(SPACE) for path in _some(node))
    Flags(node.flags, {})
    if not all(paths):
        raise DockerfileError("VOLUME cannot be an empty path")
    return Volume(*node.head(), paths)


def user(node: Node) -> User:
    """USER. Raises DockerfileError."""
    name = _only(node)
    Flags(node.flags, {})
    return User(*node.head(), name)


def workdir(node: Node) -> Workdir:
    """WORKDIR. Raises DockerfileError."""
    path = _only(node)
    Flags(node.flags, {})
    return Workdir(*node.head(), path)


def stopsignal(node: Node) -> Stopsignal:
    """STOPSIGNAL. Raises DockerfileError."""
    return Stopsignal(*node.head(), _only(node))


def maintainer(node: Node) -> Maintainer:
    """MAINTAINER. Raises DockerfileError."""
    author = _only(node)
    Flags(node.flags, {})
    return Maintainer(*node.head(), author)


def onbuild(node: Node) -> Onbuild:
    """ONBUILD. Raises DockerfileError."""
    if node.child is None:
        raise _needs(node, "at least one argument")
    Flags(node.flags, {})
    trigger = node.child.name.strip(SPACE)
    if trigger == "ONBUILD":
        raise DockerfileError("ONBUILD cannot be a trigger of ONBUILD")
    if trigger in ("FROM", "MAINTAINER"):
        raise DockerfileError(f"{trigger} cannot be a trigger of ONBUILD")
    expression = _ONBUILD.sub("", node.text, count=1) if _ONBUILD.match(node.text) else node.text
    for found in node.heredocs:
        expression += f"\n{found.content}{found.name}"
    return Onbuild(*node.head(), expression)
