"""`holdall --help`: the commands, grouped the way a newcomer meets them."""

from __future__ import annotations

from holdall.cli.table_of_commands import COMMANDS, GROUPS

SECTIONS = (
    ("Run containers", "run create start stop restart kill rm pause unpause update rename wait"),
    ("Look at containers", "ps logs top stats port diff inspect"),
    ("Work inside containers", "exec attach cp"),
    ("Images", "pack pull push images tag rmi history save load import export commit login logout"),
    ("The store and this machine", "info doctor version prune"),
)

GLOBALS = """Global options (before the command):
  --root DIR        the store (HOLDALL_ROOT); each store has its own images, containers and networks
  --run-root DIR    transient state (HOLDALL_RUN_ROOT)
  --storage-driver NAME
                    erofs, overlay or copy for new layers and containers (HOLDALL_DRIVER; default: the best one here)
  -D, --debug       print plans and tracebacks
  -v, --version     print the version
"""


def overview(group: str | None) -> str:
    """Text of `holdall --help`, or of `holdall GROUP --help`."""
    if group is not None:
        verbs = GROUPS[group]
        rows = [f"  {verb:<10} {COMMANDS[module]}" for verb, module in sorted(verbs.items())]
        within = [name for name in GROUPS if name.startswith(group + " ")]
        rows += [f"  {name.removeprefix(group + ' '):<10} {', '.join(GROUPS[name])}" for name in within]
        return f"usage: holdall {group} COMMAND\n\n" + "\n".join(rows) + "\n"
    parts = ["usage: holdall [GLOBAL OPTIONS] COMMAND [OPTIONS] [WORDS]\n"]
    for title, names in SECTIONS:
        parts.append(f"{title}:")
        parts += [f"  {name:<10} {COMMANDS[name]}" for name in names.split()]
        parts.append("")
    parts.append("Groups (holdall GROUP --help lists their commands):")
    parts.append("  " + ", ".join(sorted(GROUPS)) + "\n")
    parts.append(GLOBALS)
    parts.append("holdall COMMAND --help shows a command's options.")
    return "\n".join(parts) + "\n"
