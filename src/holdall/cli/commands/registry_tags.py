"""`holdall registry tags`."""

from __future__ import annotations

from holdall.cli import transfer_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "List the tags of a repository at a registry, one a line."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--format", "-f", help='a template for each tag, or "json" for all as one object', metavar="TEMPLATE")
    transfer_options.add(parser)
    parser.word("name", help="HOST/NAME", metavar="NAME")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.format.template import Template
    from holdall.oci.reference import Reference

    found = state.engine.registries.tags(options.name, options=transfer_options.read(options))
    repository = Reference.parse(options.name.removeprefix("docker://")).name
    if options.format == "json":
        state.print(Template("{{json .}}").render({"Repository": repository, "Tags": list(found)}))
        return 0
    template = Template(options.format or "{{.Tag}}")
    for tag in found:
        state.print(template.render({"Repository": repository, "Tag": tag}))
    return 0
