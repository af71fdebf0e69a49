"""`holdall attach`."""

from __future__ import annotations

from holdall.errors import ContainerStateConflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Connect this terminal to the first process of a running container."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--no-stdin", help="do not connect the input")
    parser.flag("--sig-proxy", help="pass signals on to it (default true)", default=True)
    parser.value("--detach-keys", help="keys that detach from it (default ctrl-p,ctrl-q)", metavar="KEYS")
    parser.word("container", help="name or ID")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.session import follow

    container = state.engine.containers.get(options.container)
    if container.state.status == "paused":
        raise ContainerStateConflict(
            f'container "{container.name}" is paused', hint=f"thaw it with holdall unpause {container.name}"
        )
    stdin = not options.no_stdin and container.config.options.open_stdin
    with container.open(stdin=stdin) as attachment:
        send = container.deliver if options.sig_proxy else None
        code = follow(attachment, stdin=stdin, send=send, keys=options.detach_keys)
    return code or 0
