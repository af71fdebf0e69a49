"""Options of all commands that open a registry's storage."""

from __future__ import annotations

from holdall.registry.server.location import Location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.value("--storage", help="folder for blobs and rows, or an object store for blobs", metavar="DIR|s3://…")
    parser.value(
        "--catalog", help="rows elsewhere than in --storage: a folder or a database", metavar="DIR|postgresql://…"
    )
    parser.value("--s3-endpoint", help="the object store, unless AWS's (default $AWS_ENDPOINT_URL)", metavar="URL")
    parser.value("--s3-region", help="its region (default $AWS_REGION)", metavar="NAME")
    parser.value("--s3-addressing", help="how it is told the bucket: auto, path, virtual", default="auto")


def read(options: Namespace, *, redirect: bool = True, scratch: str = "") -> Location:
    """The options as one value. Raises InvalidOption."""
    found = Location(
        options.storage or "",
        options.catalog or "",
        options.s3_endpoint or "",
        options.s3_region or "",
        options.s3_addressing,
        redirect,
        scratch,
    )
    found.check()
    return found
