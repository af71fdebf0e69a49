"""Options of `build` about its result and cache: --output, --push, --load, --annotation, --cache-to, --cache-from."""

from __future__ import annotations

from holdall.build import annotating, cache_options, outputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from holdall.cli.arguments import Parser


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.values(
        "--output", "-o", metavar="OUTPUT",
        help="what to make of the result: type=image|registry|docker|oci|local|tar|cacheonly,"
        'KEY=VALUE,…; a folder alone is type=local, "-" is type=tar to standard output',
    )  # fmt: skip
    parser.flag("--push", help="send the image to the registries its names say, as --output type=registry")
    parser.flag("--load", help="keep the image in the store under its names, which is done in any case")
    parser.values(
        "--annotation", metavar="[TYPE[PLATFORM]:]KEY=VALUE",
        help="a note on the manifest, or on TYPE: index, manifest-descriptor, index-descriptor",
    )  # fmt: skip
    parser.values("--cache-to", help="send the cache to type=registry|local|s3|inline,KEY=VALUE,…", metavar="PLACE")
    parser.values(
        "--cache-from", help="take layers from the cache at type=registry|local|s3,KEY=VALUE,…", metavar="PLACE"
    )


def read(options: Namespace) -> dict[str, Any]:
    """Fields of `BuildOptions`. Raises InvalidOption."""
    return {
        "outputs": outputs.chosen(options.output, push=options.push, load=options.load),
        "annotations": annotating.parse(options.annotation),
        "cache_to": cache_options.parse_all(options.cache_to, cache_options.TO),
        "cache_from": cache_options.parse_all(options.cache_from, cache_options.FROM),
    }
