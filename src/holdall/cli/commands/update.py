"""`holdall update`."""

from __future__ import annotations

from holdall.cli.each import for_each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Change limits and restart policy of containers, also while they run."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--memory", "-m", help="memory limit", metavar="SIZE")
    parser.value("--memory-reservation", help="soft memory limit", metavar="SIZE")
    parser.value("--memory-swap", help="memory and swap together; -1 for no limit", metavar="SIZE")
    parser.value("--cpus", help="number of cores", metavar="N")
    parser.value("--cpu-shares", "-c", help="relative weight", type=int, metavar="N")
    parser.value("--cpu-period", help="CFS period in microseconds", type=int, metavar="US")
    parser.value("--cpu-quota", help="CFS quota in microseconds", type=int, metavar="US")
    parser.value("--cpuset-cpus", help="cores it may use: 0-2,4", metavar="LIST")
    parser.value("--cpuset-mems", help="memory nodes it may use", metavar="LIST")
    parser.value("--pids-limit", help="number of processes; -1 for no limit", type=int, metavar="N")
    parser.value("--restart", help="no, always, unless-stopped or on-failure[:N]", metavar="POLICY")
    parser.word("containers", help="names or IDs", nargs="+", metavar="CONTAINER")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.container_options import resources
    from holdall.engine.syntax import parse_restart

    asked = resources(options)
    restart = parse_restart(options.restart) if options.restart else None
    return for_each(state, options.containers, lambda word: state.engine.containers.get(word).update(asked, restart))
