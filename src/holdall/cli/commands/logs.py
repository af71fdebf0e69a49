"""`holdall logs`."""

from __future__ import annotations

import sys

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Show what a container printed."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--follow", "-f", help="go on until the container ends")
    parser.flag("--timestamps", "-t", help="put the time before each line")
    parser.value(
        "--since", help="only what came after: a time, Unix seconds, or a duration such as 10m", metavar="TIME"
    )
    parser.value("--until", help="only what came before", metavar="TIME")
    parser.value("--tail", "-n", help="number of lines from the end (default all)", default="all", metavar="N")
    parser.word("container", help="name or ID")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.engine.times import parse_time

    container = state.engine.containers.get(options.container)
    lines = container.logs(
        follow=options.follow,
        since=parse_time(options.since) if options.since else None,
        until=parse_time(options.until) if options.until else None,
        tail=_tail(options.tail),
    )
    for line in lines:
        out = sys.stderr if line.stream == "stderr" else sys.stdout
        text = f"{line.time} {line.text}" if options.timestamps else line.text
        out.buffer.write(text.encode(errors="surrogateescape"))
        if options.follow or out is sys.stderr:
            out.flush()
    return 0


def _tail(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdigit():
        raise InvalidOption(f'invalid value "{text}" for --tail', hint='give a number or "all"')
    return int(text)
