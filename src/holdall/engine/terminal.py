"""The local terminal while a container is attached: raw mode, window size, and putting all back as it was."""

from __future__ import annotations

import signal

from holdall.linux import tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def window_size(fd: int) -> tuple[int, int] | None:
    """(rows, columns) of a terminal in characters, None where there is none."""
    try:
        return tty.get_winsize(fd)
    except OSError:
        return None


class RawTerminal:
    """Raw mode on `local` and its size passed on to `remote`, for the time of a `with` block."""

    def __init__(self, local: int, remote: int) -> None:
        self.local = local
        self.remote = remote
        self._saved: list[object] = []
        self._old: Any = None

    def __enter__(self) -> RawTerminal:  # noqa: PYI034 (Self would import typing)
        self._saved = tty.set_raw(self.local)
        self.resize()
        try:
            self._old = signal.signal(signal.SIGWINCH, lambda _number, _frame: self.resize())
        except ValueError:
            # not the main thread, which alone may do this: whoever has that calls `resize`
            pass
        return self

    def __exit__(self, *_: object) -> None:
        if self._old is not None:
            signal.signal(signal.SIGWINCH, self._old)
        tty.set_attributes(self.local, self._saved)

    def resize(self) -> None:
        """Pass the present size on."""
        size = window_size(self.local)
        if size is None:
            return
        try:
            tty.set_winsize(self.remote, *size)
        except OSError:
            # the container's end may be gone already: then nobody needs the size
            pass
