"""Signal names and numbers as `--stop-signal` and `kill` take them (signal(7))."""

from __future__ import annotations

import signal

from holdall.errors import InvalidOption


def parse_signal(text: str) -> int:
    """Number of "TERM", "SIGTERM", "15" or "SIGRTMIN+3". Raises InvalidOption."""
    name = text.strip().upper()
    if name.isdigit():
        number = int(name)
    else:
        bare = name.removeprefix("SIG")
        base, sign, offset = bare, 1, "0"
        for mark, value in (("+", 1), ("-", -1)):
            if mark in bare and bare.startswith("RT"):
                base, _, offset = bare.partition(mark)
                sign = value
        found = getattr(signal, "SIG" + base, None)
        number = int(found) + sign * int(offset) if isinstance(found, signal.Signals) and offset.isdigit() else 0
    if not 0 < number <= signal.SIGRTMAX:
        raise InvalidOption(f'invalid signal "{text}"', hint="give a name such as SIGTERM or a number")
    return number
