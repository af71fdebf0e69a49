"""The keeper: a tiny companion that holds descriptors while the supervisor is dead, and calls the next one.

It holds what a file name cannot bring back: pseudo-terminal masters, reading ends of pipes with output nobody has read
yet, sockets that reserve ports, and pidfds, by which the kernel tells the exit code of a process that ended meanwhile.
When the supervisor vanishes it brings up another at once, with ever longer pauses if that one does not live; when it
went on purpose, as soon as a container ends. With nothing to hold and nobody to serve it is gone.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time

from holdall.errors import HoldallError
from holdall.linux import process
from holdall.supervisor import bringup, protocol
from holdall.supervisor.ownlog import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.paths import Paths

PID = "pid"
FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
STEADY_SECONDS = 60.0


def keeper_socket(paths: Paths) -> str:
    """Where supervisors find the keeper."""
    return paths.run_root + "/keeper.sock"


class Keeper:
    """The companion's own life; runs in a forked child and never returns."""

    def __init__(self, paths: Paths, listener: socket.socket) -> None:
        self._paths = paths
        self._listener = listener
        self._owner: socket.socket | None = None
        self._held: dict[str, list[tuple[str, int]]] = {}
        self._epoll = select.epoll()
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._left_on_purpose = False
        self._call_at: float | None = None
        self._delay = FIRST_DELAY
        self._called_at = 0.0
        self._end = 0.0

    def run(self) -> None:
        """Serve until nothing is held and nobody is connected (but give the first supervisor time to do so)."""
        self._end = time.monotonic() + FIRST_DELAY
        while self._held or self._owner is not None or time.monotonic() < self._end:
            for fd, _mask in self._epoll.poll(self._timeout()):
                if fd == self._listener.fileno():
                    self._accept()
                elif self._owner is not None and fd == self._owner.fileno():
                    self._serve(self._owner)
                elif self._owner is None:
                    self._call("a container ended while no supervisor ran")
            if self._call_at is not None and self._owner is None and time.monotonic() >= self._call_at:
                self._bring_up()

    def _timeout(self) -> float:
        if self._owner is not None:
            return -1
        return 1.0 if self._call_at is None else max(0.0, self._call_at - time.monotonic())

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._left_on_purpose = False
        self._call_at = None
        self._end = 0.0
        if self._owner is not None:
            self._drop_owner()
        self._owner = connection
        self._epoll.register(connection.fileno(), select.EPOLLIN)
        for fds in self._held.values():
            self._watch(fds, on=False)

    def _serve(self, owner: socket.socket) -> None:
        try:
            message = protocol.receive(owner)
        except (OSError, ValueError, HoldallError):
            message = None
        if message is None:
            self._drop_owner()
            if self._held and not self._left_on_purpose:
                self._call("the supervisor vanished")
            return
        body = message.body
        if "keep" in body:
            self._keep(body["keep"], list(zip(body["names"], message.fds, strict=True)), fresh=body["fresh"])
        elif "drop" in body:
            self._drop(body["drop"])
            if body["answer"]:
                protocol.send(owner, {"dropped": body["drop"]})
        elif "take" in body:
            self._give_all(owner)
        elif "leave" in body:
            self._left_on_purpose = True

    def _keep(self, key: str, pairs: list[tuple[str, int]], *, fresh: bool) -> None:
        if fresh:
            self._drop(key)
        self._held.setdefault(key, []).extend(pairs)

    def _drop(self, key: str) -> None:
        for _, fd in self._held.pop(key, []):
            os.close(fd)

    def _give_all(self, owner: socket.socket) -> None:
        for key, held in self._held.items():
            for start in range(0, len(held), protocol.MAX_DESCRIPTORS):
                part = held[start : start + protocol.MAX_DESCRIPTORS]
                protocol.send(owner, {"held": key, "names": [name for name, _ in part]}, [fd for _, fd in part])
        protocol.send(owner, {"held": "", "names": []})

    def _drop_owner(self) -> None:
        if self._owner is not None:
            self._epoll.unregister(self._owner.fileno())
            self._owner.close()
            self._owner = None
        for fds in self._held.values():
            self._watch(fds, on=True)

    def _watch(self, fds: list[tuple[str, int]], *, on: bool) -> None:
        for name, fd in fds:
            if name != PID:
                continue
            try:
                if on:
                    self._epoll.register(fd, select.EPOLLIN)
                else:
                    self._epoll.unregister(fd)
            except (FileExistsError, FileNotFoundError):
                pass

    def _call(self, why: str) -> None:
        """A supervisor is wanted; no more than one try at a time, and ever fewer while none lives long."""
        log(f"keeper: {why}: bringing one up")
        for fds in self._held.values():
            self._watch(fds, on=False)
        now = time.monotonic()
        if now - self._called_at > STEADY_SECONDS:
            self._delay = FIRST_DELAY
        self._call_at = now if self._delay == FIRST_DELAY else now + self._delay

    def _bring_up(self) -> None:
        self._called_at = time.monotonic()
        self._call_at = self._called_at + self._delay
        self._delay = min(self._delay * 2, LONGEST_DELAY)
        try:
            bringup.bring_up(self._paths)
        except (OSError, HoldallError) as err:
            log(f"keeper: cannot bring up a supervisor: {err}")


def become(paths: Paths, listener: socket.socket) -> None:
    """Run as the keeper in this (just forked) process, and end it."""
    try:
        gc.freeze()  # nothing of the supervisor's may be collected, and so closed, under the numbers of our own files
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        process.close_all_but((0, 1, 2, listener.fileno()))
        process.set_title(f"holdall-keeper --root {paths.root}")
        Keeper(paths, listener).run()
    except Exception as err:  # noqa: BLE001  (the end of a process)
        log(f"keeper: {type(err).__name__}: {err}")
    finally:
        sys.stderr.flush()
        os._exit(0)
