"""Signals for containers: names and numbers as Docker takes them, and delivery by pidfd."""

from __future__ import annotations

import signal

from holdall.errors import InvalidOption
from holdall.linux import pidfd as _pidfd

MAX_SIGNAL = 64


def parse_signal(text: str) -> int:
    """Number of "TERM", "SIGTERM", "RTMIN+3", "15". Raises InvalidOption."""
    name = text.upper().removeprefix("SIG")
    if name.isdecimal():
        number = int(name)
    else:
        base, sign, offset = name.partition("+")
        if not sign:
            base, sign, offset = name.partition("-")
        number = getattr(signal, "SIG" + base, 0) if base.isalnum() else 0
        if sign:
            if base not in ("RTMIN", "RTMAX") or not offset.isdecimal():
                raise InvalidOption(f'invalid signal: "{text}"')
            number += int(offset) if sign == "+" else -int(offset)
    if not 1 <= number <= MAX_SIGNAL:
        raise InvalidOption(f'invalid signal: "{text}"')
    return int(number)


def kill(pidfd: int, number: int) -> bool:
    """Send a signal to the process behind `pidfd`; False when it is gone already."""
    try:
        _pidfd.send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True
