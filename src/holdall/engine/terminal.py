"""The local terminal while a container is attached: raw mode, window size, and putting all back as it was."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def is_terminal(fd: int) -> bool:
    """Whether a descriptor is a terminal."""
    try:
        return os.isatty(fd)
    except OSError:
        return False


def window_size(fd: int) -> tuple[int, int] | None:
    """(rows, columns) of a terminal in characters, None where there is none."""
    try:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return None
    return rows, columns


def set_window_size(fd: int, size: tuple[int, int]) -> None:
    """Give a terminal its size in characters; a terminal that is gone is no error."""
    try:
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    except OSError:
        pass


class RawTerminal:
    """Raw mode on `local` and its size passed on to `remote`, for the time of a `with` block."""

    def __init__(self, local: int, remote: int) -> None:
        self.local = local
        self.remote = remote
        self._saved: list[Any] | None = None
        self._old: Any = None

    def __enter__(self) -> RawTerminal:
        self._saved = termios.tcgetattr(self.local)
        raw = termios.tcgetattr(self.local)
        # cfmakeraw(3), but for output processing, which Docker leaves off as well
        raw[0] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
            | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        raw[1] &= ~termios.OPOST
        raw[2] = (raw[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
        raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self.local, termios.TCSADRAIN, raw)
        self._resize()
        self._old = signal.signal(signal.SIGWINCH, lambda _number, _frame: self._resize())
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGWINCH, self._old)
        if self._saved is not None:
            termios.tcsetattr(self.local, termios.TCSADRAIN, self._saved)

    def _resize(self) -> None:
        size = window_size(self.local)
        if size:
            set_window_size(self.remote, size)
