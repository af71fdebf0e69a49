"""inotify(7): wait until something happens in a folder, instead of asking again and again."""

from __future__ import annotations

import os
import select

from holdall.linux.libc import check, libc

IN_MODIFY = 0x2
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE_SELF = 0x400
IN_CLOEXEC = 0o2000000
IN_NONBLOCK = 0o4000
EVENTS = 65536


class Watch:
    """An inotify instance over some folders; a context manager that closes it."""

    def __init__(self, *folders: str, mask: int = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF) -> None:
        self.fd = check(libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK))
        try:
            for folder in folders:
                check(libc.inotify_add_watch(self.fd, os.fsencode(folder), mask), folder)
        except OSError:
            os.close(self.fd)
            raise

    def __enter__(self) -> Watch:  # noqa: PYI034 (Self would import typing)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def wait(self, seconds: float) -> bool:
        """Wait for an event at most `seconds`; True when there was one. Events are only drained, not told apart."""
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        if not poller.poll(int(seconds * 1000)):
            return False
        try:
            os.read(self.fd, EVENTS)
        except BlockingIOError:
            pass
        return True
