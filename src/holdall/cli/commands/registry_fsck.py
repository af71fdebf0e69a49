"""`holdall registry fsck`."""

from __future__ import annotations

from holdall.cli import registry_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = (
    "Check a registry's storage, also while it serves: the bytes of each blob and manifest, and that nothing named is"
    " missing. The exit code is 1 when something is wrong and was not mended."
)


def arguments(parser: Parser) -> None:
    """Options of the command."""
    registry_options.add(parser)
    parser.flag("--repair", help="take away what is damaged, so that it can be pushed again")
    parser.flag("--quick", help="compare the sizes of blobs instead of reading them")
    parser.value("--format", help='a template for each problem, or "json"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.format.template import Template
    from holdall.registry.server.fsck import Check
    from holdall.registry.server.shelf import open_existing

    default = "{{.Kind}} {{.Name}}: {{.Problem}}{{if .Mended}} ({{.Mended}}){{end}}"
    template = Template("{{json .}}" if options.format == "json" else options.format or default)
    catalog, blobs = open_existing(registry_options.read(options))
    left = 0
    for one in Check(catalog, blobs, repair=options.repair, quick=options.quick).problems():
        left += not one.mended
        facts = {"Kind": one.kind, "Name": one.name, "Problem": one.what, "Mended": one.mended}
        state.print(template.render(facts))
    catalog.close()
    if not options.format:
        state.print("clean" if not left else f"{left} problem{'s' if left > 1 else ''}")
    return 1 if left else 0
