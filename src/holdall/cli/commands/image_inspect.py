"""`holdall image inspect`."""

from __future__ import annotations

from holdall.cli.commands.inspect import show_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.engine.image import Image

HELP = "Show everything about images as JSON, or what each of their layers adds, overwrites, removes and wastes."
HEADS = ["LAYER", "BLOB", "ADDS", "OVERWRITES", "REMOVES", "WASTED", "CREATED BY"]
WIDTH = 60


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--layers", help="a table of layers; with --format json, names as well")
    parser.flag("--no-trunc", help="whole digests and commands")
    parser.value("--format", "-f", help='a template, or "json" for one line each', metavar="TEMPLATE")
    parser.word("names", help="names or IDs", nargs="+", metavar="IMAGE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    images = state.engine.images
    if not options.layers:
        return show_all(state, options.names, lambda name: images.get(name).inspect(), options.format)
    if options.format:
        from holdall.engine.inspect_image import layers_json

        return show_all(state, options.names, lambda name: layers_json(images.get(name)), options.format)
    from holdall.cli.each import for_each

    return for_each(state, options.names, lambda name: _table(images.get(name), full=options.no_trunc))


def _table(image: Image, *, full: bool) -> str:
    """Newest layer last: each line changes what stands above it."""
    from holdall.cli.table import columns
    from holdall.engine.times import size

    lines = [HEADS]
    layers = image.layers()
    for layer in layers:
        report = layer.report
        by = " ".join(layer.created_by.split())
        lines.append(
            [
                _short(report.diff_id, full=full), _short(layer.digest, full=full),
                f"{report.adds.count} ({size(report.adds.bytes)})",
                f"{report.overwrites.count} ({size(report.overwrites.bytes)})",
                f"{report.removes.count} ({size(report.removes.bytes)})", size(report.wasted),
                by if full or len(by) <= WIDTH else by[: WIDTH - 1] + "…",
            ]
        )  # fmt: skip
    total = sum(layer.report.wasted for layer in layers)
    return "\n".join([*columns(lines), f"{len(layers)} layers, {size(image.size)}, {size(total)} wasted"])


def _short(digest: str, *, full: bool) -> str:
    return digest if full else digest.partition(":")[2][:12]
