"""`holdall version`."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Show the versions of Holdall, Python and the kernel."


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--short", help="one line")
    parser.value("--format", "-f", help='a template, or "json"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall import __version__

    if options.short:
        state.print(f"holdall version {__version__}")
        return 0
    system = os.uname()
    python = ".".join(map(str, sys.version_info[:3]))
    facts = {
        "Version": __version__, "PythonVersion": python, "KernelVersion": system.release, "Os": "linux",
        "Arch": system.machine,
    }  # fmt: skip
    if options.format:
        import json

        from holdall.cli.format.template import Template

        both = {"Client": facts, "Server": facts}
        state.print(json.dumps(both) if options.format == "json" else Template(options.format).render(both))
        return 0
    for name, value in (
        ("Holdall", __version__),
        ("Python", python),
        ("Kernel", system.release),
        ("Arch", system.machine),
    ):
        state.print(f"{name + ':':<10} {value}")
    return 0
