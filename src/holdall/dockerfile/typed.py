"""Nodes to typed instructions, each instruction by its own function."""

from __future__ import annotations

from holdall.dockerfile import typed_files, typed_image, typed_run
from holdall.dockerfile.instructions import Instruction
from holdall.dockerfile.suggest import hint
from holdall.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.dockerfile.location import Source
    from holdall.dockerfile.node import Node

_MAKERS: dict[str, Callable[[Node], Instruction]] = {
    "ADD": typed_files.add,
    "ARG": typed_image.arg,
    "CMD": typed_run.cmd,
    "COPY": typed_files.copy,
    "ENTRYPOINT": typed_run.entrypoint,
    "ENV": typed_image.env,
    "EXPOSE": typed_image.expose,
    "FROM": typed_image.from_,
    "HEALTHCHECK": typed_run.healthcheck,
    "LABEL": typed_image.label,
    "MAINTAINER": typed_image.maintainer,
    "ONBUILD": typed_image.onbuild,
    "RUN": typed_run.run,
    "SHELL": typed_run.shell,
    "STOPSIGNAL": typed_image.stopsignal,
    "USER": typed_image.user,
    "VOLUME": typed_image.volume,
    "WORKDIR": typed_image.workdir,
}
NAMES = tuple(_MAKERS)


def instruction(node: Node, source: Source) -> Instruction:
    """The instruction a node stands for. Raises DockerfileError with the node's place."""
    maker = _MAKERS.get(node.name)
    if maker is None:
        known = hint(node.keyword, NAMES, ignore_case=True)
        raise source.error(f'unknown instruction "{node.keyword}"', node.location, known or _continuation(node))
    try:
        return maker(node)
    except DockerfileError as err:
        raise source.error(err.cause, node.location, err.hint) from err


def _continuation(node: Node) -> str | None:
    if node.keyword[:2] == "&&" or node.keyword in ("||", "|", ";"):
        return "end the line before with a backslash to continue its command"
    return None
