"""A foreground session with a container or an exec: relay, signals, terminal, exit code as Docker gives it."""

from __future__ import annotations

import os
import signal

from holdall.engine.relay import DEFAULT_KEYS, parse_detach_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.engine.attachment import Attachment

# what a shell or a service manager sends to stop or poke us; Docker passes every catchable signal on
FORWARDED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT,
)  # fmt: skip
UNKNOWN = 125


def follow(
    attachment: Attachment, *, stdin: bool, send: Callable[[int], None] | None, keys: str | None = None
) -> int | None:
    """Relay until the end and return the exit code; None after detaching. `send` passes a signal on, None keeps it.

    The caller closes the attachment.
    """
    detach = parse_detach_keys(DEFAULT_KEYS if keys is None else keys)
    local = 0 if stdin else None
    if attachment.terminal is not None and stdin and os.isatty(0):
        from holdall.engine.terminal import RawTerminal

        with RawTerminal(0, attachment.terminal):
            attachment.relay(stdin=local, detach_keys=detach)
    else:
        old = _forward(send) if send is not None else {}
        try:
            attachment.relay(stdin=local, detach_keys=detach)
        finally:
            _restore(old)
    if attachment.detached:
        return None
    code = attachment.wait()
    return UNKNOWN if code is None else code


def _forward(send: Callable[[int], None]) -> dict[int, object]:
    old: dict[int, object] = {}
    for number in FORWARDED:
        old[number] = signal.signal(number, lambda received, _frame: send(received))
    return old


def _restore(old: dict[int, object]) -> None:
    for number, handler in old.items():
        signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave us
