"""`holdall doctor`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Say what this machine allows, what it lacks and the one command that mends it, and what crashes left behind."
MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--clean", help="remove what crashes left behind, then report")
    parser.value("--format", "-f", help='a template for each finding, or "json"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command: 1 when something keeps containers from running."""
    system = state.engine.system
    if options.clean:
        for line in system.mend():
            state.note(f"removed {line}")
    findings = system.doctor()
    if options.format:
        from holdall.cli.table import show

        rows = [{"Level": f.level, "Subject": f.subject, "Message": f.message, "Mend": f.mend} for f in findings]
        show(state, rows, default="", heads={}, pattern=options.format)
    else:
        for finding in findings:
            state.print(f"{MARKS[finding.level]}  {finding.subject}: {finding.message}")
            if finding.mend:
                state.print(f"      mend: {finding.mend}")
    return 1 if any(finding.level == "fail" for finding in findings) else 0
