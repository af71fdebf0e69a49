"""`holdall inspect`."""

from __future__ import annotations

import json

from holdall.errors import HoldallError, InvalidOption, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from typing import Any

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Show everything about containers, images, volumes and networks as JSON."
KINDS = ("container", "image", "volume", "network")


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--format", "-f", help='a template, or "json" for one line each', metavar="TEMPLATE")
    parser.value("--type", help=f"look only among these: {', '.join(KINDS)}", metavar="KIND")
    parser.flag("--size", "-s", help="count what a container has written")
    parser.word("names", help="names or IDs", nargs="+", metavar="NAME")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    if options.type is not None and options.type not in KINDS:
        raise InvalidOption(f'invalid value "{options.type}" for --type', hint=f"use one of {', '.join(KINDS)}")
    kinds = KINDS if options.type is None else (options.type,)
    return show_all(state, options.names, lambda name: find(state, name, kinds, size=options.size), options.format)


def find(state: State, name: str, kinds: tuple[str, ...], *, size: bool) -> dict[str, Any]:
    """The first object of that name. Raises NotFound."""
    engine = state.engine
    looks: dict[str, Callable[[], dict[str, Any]]] = {
        "container": lambda: engine.containers.get(name).inspect(size=size),
        "image": lambda: engine.images.get(name).inspect(),
        "volume": lambda: engine.volumes.inspect(name),
        "network": lambda: engine.networks.inspect(name),
    }
    for kind in kinds:
        try:
            return looks[kind]()
        except NotFound:
            if len(kinds) == 1:
                raise
        except HoldallError:
            # a name no image could have may still be a volume's
            if len(kinds) == 1:
                raise
    raise NotFound(f'no such object "{name}"', hint="list them with holdall ps -a, images, volume ls")


def show_all(state: State, names: list[str], look: Callable[[str], dict[str, Any]], pattern: str | None) -> int:
    """Print each by the template, or all as one JSON list; return 1 when one was missing."""
    found, code = [], 0
    for name in names:
        try:
            found.append(look(name))
        except HoldallError as err:
            state.note(f"holdall: {err.message}")
            code = 1
    if pattern is None:
        state.print(json.dumps(found, indent=4, ensure_ascii=False))
    elif pattern == "json":
        for item in found:
            state.print(json.dumps(item, separators=(",", ":"), ensure_ascii=False))
    else:
        from holdall.cli.format.template import Template

        template = Template(pattern)
        for item in found:
            state.print(template.render(item))
    return code
