"""Whose turn it is: how many commands run at once, and one execution of equal steps, here and in other processes."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from holdall.store import locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdall.build.stop import Stop


class Turns:
    """One build's. `folder` is where all builds of the store have their locks, which die with their owner."""

    def __init__(self, jobs: int, folder: str, stop: Stop) -> None:
        self._jobs = threading.Semaphore(jobs)
        self._folder = folder
        self._stop = stop
        self._keys: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    @contextmanager
    def job(self) -> Iterator[None]:
        """One of the commands that may run at once. Raises Cancelled."""
        while not self._jobs.acquire(timeout=0.05):
            self._stop.check()
        try:
            yield
        finally:
            self._jobs.release()

    @contextmanager
    def within(self, key: str) -> Iterator[None]:
        """The only thread of this build that is at a step of this key. Raises Cancelled."""
        with self._lock:
            lock = self._keys.setdefault(key, threading.Lock())
        while not lock.acquire(timeout=0.05):
            self._stop.check()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def alone(self, name: str, waiting: Callable[[], None]) -> Iterator[None]:
        """The only process of this store in a block of this name; `waiting` is called when another is in one.

        The name is part of a file's name. Within one process the caller sees to it that there is one at a time.
        Raises Cancelled.
        """
        path = f"{self._folder}/{name}.lock"
        lock = locks.attempt(path)
        if lock is None:
            waiting()
            lock = self._stop.acquire(path)
        try:
            yield
        finally:
            lock.remove()
