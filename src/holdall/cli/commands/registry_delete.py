"""`holdall registry delete`."""

from __future__ import annotations

from holdall.cli import transfer_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = (
    "Delete at a registry: a tag alone (NAME:TAG), or a manifest and with it all tags that point to it (NAME@DIGEST)."
    " Its layers go when the registry collects garbage."
)


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--manifest", help="with NAME:TAG, the manifest that the tag points to, and all its tags")
    transfer_options.add(parser)
    parser.word("names", help="HOST/NAME:TAG or HOST/NAME@DIGEST", nargs="+", metavar="NAME")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.each import for_each
    from holdall.errors import InvalidOption

    registries, chosen = state.engine.registries, transfer_options.read(options)

    def delete(name: str) -> str:
        last = name.rpartition("/")[2]
        if ":" not in last and "@" not in last:
            raise InvalidOption(f'"{name}" has neither tag nor digest', hint="name what is to be deleted")
        digest = registries.delete(name, manifest=options.manifest, options=chosen)
        return digest or name

    return for_each(state, options.names, delete)
