"""Options and words of `holdall build` that say where files come from."""

from __future__ import annotations

import sys

from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any, BinaryIO

    from holdall.cli.arguments import Parser

STDIN = "-"
MAX_TEXT = 16 << 20


def add(parser: Parser) -> None:
    """Add --build-context and the word that names the context."""
    parser.values(
        "--build-context",
        help="files or an image under a name that FROM, --from and from= can use: a folder, a file, docker-image://IMAGE,"
        " oci-layout://FOLDER[:TAG|@DIGEST], the address of a git repository or of an archive",
        metavar="NAME=VALUE",
    )
    parser.word(
        "path",
        help='the build context: a folder, the address of a git repository (…#REF:FOLDER) or of an archive, or "-" for'
        " an archive or a Dockerfile from standard input",
        metavar="PATH",
    )


def read(options: Namespace) -> dict[str, Any]:
    """Fields of BuildOptions. Raises InvalidOption."""
    found: dict[str, Any] = {
        "context": options.path, "dockerfile": options.file, "contexts": dict(map(_named, options.build_context)),
    }  # fmt: skip
    if options.file == STDIN and options.path == STDIN:
        raise InvalidOption("the Dockerfile and the build context cannot both come from standard input")
    if options.file == STDIN:
        found.update(dockerfile="", text=sys.stdin.buffer.read(MAX_TEXT + 1))
    elif options.path == STDIN:
        found["stdin"] = _kept(sys.stdin.buffer) if options.verify else sys.stdin.buffer
    return found


def _named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise InvalidOption(f'invalid value "{text}" for --build-context', hint="write NAME=VALUE, as base=../base")
    return name, value


def _kept(stream: BinaryIO) -> BinaryIO:
    """What can be read twice."""
    import tempfile

    kept = tempfile.TemporaryFile()
    while data := stream.read(1 << 20):
        kept.write(data)
    return kept
