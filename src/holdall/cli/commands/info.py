"""`holdall info`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = "Show facts about the store and this machine."
LINES = (
    ("Version", "ServerVersion"), ("Store", "DockerRootDir"), ("Run folder", "RunRoot"), ("Containers", "Containers"),
    ("  Running", "ContainersRunning"), ("  Paused", "ContainersPaused"), ("  Stopped", "ContainersStopped"),
    ("Images", "Images"), ("Storage driver", "Driver"), ("Cgroup version", "CgroupVersion"),
    ("Supervisor", "SupervisorPid"), ("Kernel", "KernelVersion"), ("System", "OperatingSystem"),
    ("Platform", "Platform"), ("CPUs", "NCPU"), ("Memory", "MemTotal"), ("Host name", "Name"),
)  # fmt: skip


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value("--format", "-f", help='a template, or "json"', metavar="TEMPLATE")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    facts = state.engine.system.info()
    if options.format == "json":
        import json

        state.print(json.dumps(facts))
        return 0
    if options.format:
        from holdall.cli.format.template import Template

        state.print(Template(options.format).render(facts))
        return 0
    from holdall.engine.times import binary_size

    for title, name in LINES:
        value = facts[name]
        if name == "MemTotal":
            value = binary_size(value)
        elif name == "SupervisorPid":
            value = "not running" if value is None else f"process {value}"
        state.print(f"{title}: {value}")
        if name == "Driver":
            for label, text in facts["DriverStatus"]:
                state.print(f"  {label}: {text}")
    return 0
