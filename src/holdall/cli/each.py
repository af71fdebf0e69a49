"""Commands over several words: do each, print what Docker prints, go on after an error and end with 1."""

from __future__ import annotations

import sys

from holdall.errors import HoldallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from holdall.cli.state import State


def for_each(state: State, words: Iterable[str], action: Callable[[str], object]) -> int:
    """Call `action` for each word and print its answer (the word itself for None); return 1 if any failed."""
    code = 0
    for word in words:
        try:
            answer = action(word)
        except HoldallError as err:
            sys.stdout.flush()
            state.note(f"holdall: {err.message}")
            if err.hint:
                state.note(f"hint: {err.hint}")
            code = 1
            continue
        state.print(word if answer is None else str(answer))
    return code
