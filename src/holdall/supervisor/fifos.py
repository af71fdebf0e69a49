"""Named pipes that carry a container's stdio, in its run folder; see fifo(7).

The container's side is open for reading and writing, so the death of the supervisor is neither SIGPIPE nor end of
file to it, and a successor opens the same pipes by name.
"""

from __future__ import annotations

import os

STREAMS = ("stdout", "stderr")
STDIN = "stdin"
_MODE = 0o600


def create(folder: str, *, stdin: bool) -> None:
    """Make the pipes of a container without terminal."""
    for name in (*STREAMS, STDIN) if stdin else STREAMS:
        os.mkfifo(f"{folder}/{name}", _MODE)


def open_reader(folder: str, name: str) -> int:
    """The supervisor's end of an output pipe, non-blocking."""
    return os.open(f"{folder}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def open_inside(folder: str, name: str) -> int:
    """The container's end of a pipe, blocking, never at its end."""
    return os.open(f"{folder}/{name}", os.O_RDWR | os.O_CLOEXEC)


def open_inside_once(folder: str) -> tuple[int, int]:
    """(the container's end, a writing end) of a standard input that ends when its last writer closes."""
    writer = os.open(f"{folder}/{STDIN}", os.O_RDWR | os.O_CLOEXEC)
    try:
        inside = os.open(f"{folder}/{STDIN}", os.O_RDONLY | os.O_CLOEXEC)
        outside = open_writer(folder)
    finally:
        os.close(writer)
    return inside, outside


def open_writer(folder: str) -> int:
    """A writing end of standard input, non-blocking. Raises OSError(ENXIO) when nothing reads it any more."""
    return os.open(f"{folder}/{STDIN}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
