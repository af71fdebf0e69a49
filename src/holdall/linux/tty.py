"""Terminals: raw mode, window size, and pseudo-terminals of a given devpts (pty(7), ioctl_tty(2))."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441

_WINSIZE = struct.Struct("=HHHH")

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6


def get_winsize(fd: int) -> tuple[int, int]:
    """(rows, columns) of the terminal behind `fd`. Raises OSError(ENOTTY)."""
    rows, columns, _x, _y = _WINSIZE.unpack(fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(_WINSIZE.size)))
    return rows, columns


def set_winsize(fd: int, rows: int, columns: int) -> None:
    """Set the window size; the terminal's foreground processes get SIGWINCH when it changed."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, _WINSIZE.pack(rows & 0xFFFF, columns & 0xFFFF, 0, 0))


def get_attributes(fd: int) -> list[object]:
    """tcgetattr(3), to be handed to `set_attributes` later."""
    return termios.tcgetattr(fd)


def set_attributes(fd: int, attributes: list[object]) -> None:
    """tcsetattr(3), after pending output has been written."""
    termios.tcsetattr(fd, termios.TCSADRAIN, attributes)  # type: ignore[arg-type]


def set_raw(fd: int) -> list[object]:
    """Put the terminal into raw mode (cfmakeraw(3)) and return the attributes it had."""
    before = termios.tcgetattr(fd)
    mode = [*before[:_CC], list(before[_CC])]
    mode[_IFLAG] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
        | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
    )  # fmt: skip
    mode[_OFLAG] &= ~termios.OPOST
    mode[_LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    mode[_CFLAG] = mode[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    mode[_CC][termios.VMIN] = 1
    mode[_CC][termios.VTIME] = 0
    termios.tcsetattr(fd, termios.TCSADRAIN, mode)
    return before


def open_pty(ptmx: int) -> int:
    """Unlock the pseudo-terminal whose master is `ptmx` (an open /dev/pts/ptmx) and return its other end.

    The other end comes from the same devpts instance whatever is mounted or linked at its path (TIOCGPTPEER).
    """
    fcntl.ioctl(ptmx, TIOCSPTLCK, struct.pack("=i", 0))
    return fcntl.ioctl(ptmx, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def make_controlling(fd: int) -> None:
    """Make the terminal the controlling one of our session, which must have none."""
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
