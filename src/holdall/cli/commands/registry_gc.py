"""`holdall registry gc`."""

from __future__ import annotations

from holdall.cli import registry_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = (
    "Remove what nothing needs from a registry's storage, also while it serves: abandoned uploads, blobs that no"
    " manifest names and that were not touched for an hour; with --policy, tags and manifests that it lets go."
)


DEFAULT = "{{.Kind}} {{.Name}}{{if .Reason}}: {{.Reason}}{{end}}"


def arguments(parser: Parser) -> None:
    """Options of the command."""
    registry_options.add(parser)
    parser.flag("--dry-run", help="only say what would be removed")
    parser.value("--policy", help="file of retention rules, as registry serve has it", metavar="FILE")
    parser.value("--untagged", help="age at which manifests without a tag go (default: never)", metavar="DURATION")
    parser.value("--format", help='a template for each thing, or "json"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command. An interrupt ends it between two steps; what is told of is done."""
    from holdall.cli.format.template import Template
    from holdall.engine.times import parse_duration, size
    from holdall.registry.server.garbage import Collector
    from holdall.registry.server.policy import read
    from holdall.registry.server.shelf import open_existing

    untagged = -1.0 if options.untagged is None else parse_duration(options.untagged) / 1e9
    pattern = "{{json .}}" if options.format == "json" else options.format or DEFAULT
    template = Template(pattern)
    policy = read(options.policy) if options.policy else None
    catalog, blobs = open_existing(registry_options.read(options))
    total = 0
    for found in Collector(catalog, blobs, untagged=untagged, policy=policy, dry_run=options.dry_run).steps():
        for one in found:
            if one.kind in ("blob", "upload"):
                total += one.size
            if one.kind != "freed":
                facts = {"Kind": one.kind, "Name": one.name, "Size": one.size, "Reason": one.reason}
                state.print(template.render(facts))
    catalog.close()
    if not options.format:
        state.print(f"Total {'reclaimable' if options.dry_run else 'reclaimed'} space: {size(total)}")
    return 0
