"""`holdall port`."""

from __future__ import annotations

from holdall.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "List a container's published ports, or say where one is published."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.word("container", help="name or ID")
    parser.word("port", help="PORT[/PROTOCOL] in the container", nargs="?")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    container = state.engine.containers.get(options.container)
    current = container.state
    bound = current.ports if current.alive else ()
    wanted = None if options.port is None else options.port if "/" in options.port else f"{options.port}/tcp"
    found = 0
    for port in sorted(bound, key=lambda p: (p.container_port, p.protocol, p.host_port)):
        inner = f"{port.container_port}/{port.protocol}"
        host = f"{port.host_ip or '0.0.0.0'}:{port.host_port}"
        if wanted is None:
            state.print(f"{inner} -> {host}")
        elif wanted == inner:
            state.print(host)
            found += 1
    if wanted is not None and not found:
        raise NotFound(f'no public port "{wanted}" published for container "{container.name}"')
    return 0
