"""Ask before something is deleted."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.cli.state import State


def confirmed(state: State, warning: str, *, force: bool) -> bool:
    """Whether to go on: with `force` always, else when the user types y."""
    if force:
        return True
    state.note(f"warning: {warning}")
    sys.stderr.write("Are you sure you want to continue? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
