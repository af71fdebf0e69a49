"""`holdall stop`."""

from __future__ import annotations

from holdall.cli.each import for_each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Stop containers: the stop signal, then SIGKILL after the timeout."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--time", "-t", help="seconds to wait before SIGKILL (-1: for ever)", type=int, metavar="SECONDS")
    parser.value("--timeout", help="the same as --time", type=int, metavar="SECONDS")
    parser.value("--signal", "-s", help="signal to send instead of the container's stop signal")
    parser.word("containers", help="names or IDs", nargs="+", metavar="CONTAINER")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    return end_each(state, options, "stop")


def end_each(state: State, options: Namespace, verb: str) -> int:
    """Call `stop` or `restart` of each container with the command's timeout and signal."""
    timeout = options.time if options.timeout is None else options.timeout

    def act(word: str) -> None:
        getattr(state.engine.containers.get(word), verb)(timeout=timeout, signal=options.signal)

    return for_each(state, options.containers, act)
