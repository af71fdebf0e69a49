"""`holdall builder prune`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.store.build_usage import Item

HELP = (
    "Let go of what only builds need: layers that no image has, cache mounts, clones; what was used longest ago goes"
    " first. Images and their layers stay."
)


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--all", "-a", help="also forget steps whose layers images have, contents of files, records of builds")
    parser.values(
        "--filter", metavar="FILTER",
        help="KEY=VALUE: until (a duration), id, type (regular, exec.cachemount, source.git.checkout), description,"
        " mutable, shared",
    )  # fmt: skip
    parser.value("--max-used-space", help="let so much stay, as 10GB", default="", metavar="BYTES")
    parser.value("--reserved-space", help="let so much stay in any case", default="", metavar="BYTES")
    parser.value("--min-free-space", help="go on until so much of the disk is free", default="", metavar="BYTES")
    parser.value("--keep-storage", help="older name of --reserved-space", default="", metavar="BYTES")
    parser.flag("--force", "-f", help="do not ask")
    parser.flag("--verbose", help="tell everything that is known of each thing that went")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.prompt import confirmed
    from holdall.engine import build_filters
    from holdall.engine.times import size
    from holdall.store.build_usage import Keep

    chosen = build_filters.read(options.filter)
    keep = Keep(
        most=_bytes(options.max_used_space),
        least=_bytes(options.reserved_space or options.keep_storage),
        free=_bytes(options.min_free_space),
    )
    what = "all of the build cache" if options.all else "what only the build cache needs"
    if not confirmed(state, f"This removes {what}.", force=options.force):
        return 0
    gone, freed = state.engine.builds.prune(
        everything=options.all, before=chosen.before, wanted=chosen.keeps if chosen.tests else None, keep=keep
    )
    _tell(state, gone, verbose=options.verbose)
    state.print(f"Total reclaimed space: {size(freed)}")
    return 0


def _tell(state: State, gone: tuple[Item, ...], *, verbose: bool) -> None:
    from holdall.cli.table import show
    from holdall.engine import build_filters

    if verbose:
        for one in gone:
            state.print(build_filters.paragraph(one))
    elif gone:
        rows = [build_filters.row(one) for one in gone]
        table = "table {{.ID}}\t{{.Reclaimable}}\t{{.Size}}\t{{.LastUsedAt}}"
        show(state, rows, default=table, heads=build_filters.HEADS)


def _bytes(text: str) -> int:
    from holdall.errors import InvalidOption
    from holdall.store.settings import Budget

    if not text:
        return 0
    found = Budget.parse(text)
    if found.size is None:
        raise InvalidOption(f'invalid size "{text}"', hint="write a size as 10GB or 512MiB")
    return found.size
