"""`holdall pack`."""

from __future__ import annotations

import shlex

from holdall.engine.syntax import parse_labels
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = (
    "Make an image from programs of this machine: each with its interpreter, libraries and, for Python, its modules. "
    "Packed twice, the digest is the same."
)


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--tag", "-t", help="NAME[:TAG] to give the image", metavar="NAME")
    parser.values("--add", help="copy a file or a tree as it is", metavar="SOURCE:DESTINATION")
    parser.value("--entrypoint", help="what it executes (default: the first program)", metavar="COMMAND")
    parser.value("--cmd", help="default arguments of the entrypoint", metavar="ARGUMENTS")
    parser.values("--env", "-e", help="set a variable", metavar="NAME=VALUE")
    parser.value("--workdir", "-w", help="working directory", default="", metavar="DIR")
    parser.value("--user", "-u", help="user it runs as", default="", metavar="USER")
    parser.values("--label", "-l", help="set a label", metavar="KEY[=VALUE]")
    parser.values("--expose", help="declare a port", metavar="PORT[/PROTOCOL]")
    parser.values("--volume", help="declare a volume", metavar="PATH")
    parser.value("--stop-signal", help="signal that `stop` sends", default="", metavar="SIGNAL")
    parser.value("--compression", help="gzip (default), zstd or none", default="gzip", metavar="KIND")
    parser.flag("--bytecode", help="add Python's compiled modules (default true)", default=True)
    parser.flag("--dry-run", help="list what would go in, each with its reason, and make nothing")
    parser.flag("--quiet", "-q", help="only print the image's ID")
    parser.word("programs", help="names in $PATH or paths", nargs="*", metavar="PROGRAM")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.pack.options import Added, PackOptions
    from holdall.pack.pack import plan_pack

    if not options.programs and not options.add:
        raise InvalidOption("nothing to pack", hint="holdall pack PROGRAM -t NAME")
    asked = PackOptions(
        add=tuple(map(Added.parse, options.add)),
        entrypoint=_words(options.entrypoint),
        cmd=_words(options.cmd),
        env=tuple(options.env),
        working_dir=options.workdir,
        user=options.user,
        labels=parse_labels(options.label),
        expose=tuple(options.expose),
        volumes=tuple(options.volume),
        stop_signal=options.stop_signal,
        compression=options.compression,
        bytecode=options.bytecode,
    )
    if options.dry_run:
        for line in plan_pack(options.programs, asked).describe():
            state.print(line)
        return 0
    image = state.engine.images.pack(options.programs, options.tag, asked, reporter=state.progress(quiet=options.quiet))
    state.print(image.id)
    return 0


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(shlex.split(text))
