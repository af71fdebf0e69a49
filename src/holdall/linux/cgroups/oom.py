"""Hearing of the out-of-memory killer at once: a descriptor that becomes readable, for both versions."""

from __future__ import annotations

import os

from holdall.linux.cgroups import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class OomWatch:
    """Readable (`fileno`) when the group ran out of memory, or went away; a context manager that closes it."""

    def __init__(self, descriptors: tuple[int, ...], count: Callable[[], int]) -> None:
        self._descriptors = descriptors
        self._count = count
        self._seen = count()

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._descriptors[0]

    def drain(self) -> int:
        """How many processes the killer took since the last call. Does not block."""
        try:
            os.read(self.fileno(), 4096)
        except BlockingIOError:
            pass
        count = self._count()
        news, self._seen = max(0, count - self._seen), max(count, self._seen)
        return news

    def close(self) -> None:
        """Stop watching; once more does nothing."""
        descriptors, self._descriptors = self._descriptors, ()
        for fd in descriptors:
            os.close(fd)

    def __enter__(self) -> OomWatch:  # noqa: PYI034
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def watch_v1(memory: str, count: Callable[[], int]) -> OomWatch:
    """By an eventfd on memory.oom_control (admin-guide/cgroup-v1/memory.rst, section 10)."""
    control = os.open(f"{memory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
    try:
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            files.write(f"{memory}/cgroup.event_control", f"{event} {control}")
            return OomWatch((event, control), count)
        except OSError:
            os.close(event)
            raise
    except OSError:
        os.close(control)
        raise


def watch_v2(folder: str, count: Callable[[], int]) -> OomWatch:
    """By inotify on memory.events."""
    from holdall.linux.inotify import IN_MODIFY, Watch

    return OomWatch((Watch(f"{folder}/memory.events", mask=IN_MODIFY).fd,), count)
