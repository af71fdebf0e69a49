"""`holdall start`."""

from __future__ import annotations

from holdall.cli.each import for_each
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Start containers that were made or have ended."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--attach", "-a", help="connect to its output and wait for its end")
    parser.flag("--interactive", "-i", help="connect to its input as well")
    parser.value("--detach-keys", help="keys that detach from it (default ctrl-p,ctrl-q)", metavar="KEYS")
    parser.word("containers", help="names or IDs", nargs="+", metavar="CONTAINER")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    if not (options.attach or options.interactive):
        return for_each(state, options.containers, lambda word: state.engine.containers.get(word).start())
    if len(options.containers) > 1:
        raise InvalidOption("only one container can be attached at a time")
    from holdall.cli.session import follow

    container = state.engine.containers.get(options.containers[0])
    stdin = options.interactive and container.config.options.open_stdin
    with container.open(start=not container.running, stdin=stdin) as attachment:
        code = follow(attachment, stdin=stdin, send=container.deliver, keys=options.detach_keys)
        if code is not None and container.config.options.auto_remove:
            container.remove(volumes=True, connection=attachment.connection)
    return code or 0
