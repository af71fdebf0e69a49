"""Events on their way to webhooks, in files: a log that many processes append to and one reads.

    events/000000000001     lines of JSON; the next number begins when one is full
    events/lock             holds the number that is written to; whoever appends holds its lock (flock) meanwhile
    events/sent-NAME        how far a webhook is: number and offset
    events/sender.lock      held by the process that sends

An event is in the page cache when its request is answered, so killing every process loses none; the sender syncs once
a second, which is what a power cut may cost. When the log is larger than it may be, its oldest file goes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re

from holdall.record import record

SEGMENT = 1 << 20
LIMIT = 64 << 20
MAX_READ = 1 << 20
_NAME = re.compile(r"[0-9]{12}")


@record
class Place:
    """A place in the log: behind it is what was not read yet."""

    number: int
    offset: int


def folder_of(storage: str) -> str:
    """Where a storage folder has its events."""
    return os.path.join(storage, "events")


def _numbers(folder: str) -> list[int]:
    return sorted(int(name) for name in os.listdir(folder) if _NAME.fullmatch(name))


class Spool:
    """The writers' end. Raises OSError."""

    def __init__(self, folder: str, *, segment: int = SEGMENT, limit: int = LIMIT) -> None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._folder = folder
        self._segment = segment
        self._limit = limit
        self._lock = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._number = 0
        self._file = -1

    def append(self, data: bytes) -> int:
        """Append whole lines, all or none; returns how many older ones had to go for them."""
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self._follow()
            size = os.fstat(self._file).st_size
            done = os.write(self._file, data)
            if done != len(data):
                os.ftruncate(self._file, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._folder)
            return self._next() if size + done >= self._segment else 0
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files."""
        for fd in (self._file, self._lock):
            if fd >= 0:
                os.close(fd)
        self._file = self._lock = -1

    def _follow(self) -> None:
        """Have the file open that is written to."""
        text = os.pread(self._lock, 16, 0)
        number = int(text) if text.isdigit() else 0
        if number and number == self._number:
            return
        # a power cut may have lost the number, or the file
        self._open(max([number, 1, *_numbers(self._folder)]))

    def _open(self, number: int) -> None:
        if self._file >= 0:
            os.close(self._file)
        path = f"{self._folder}/{number:012d}"
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._lock, b"%012d" % number, 0)
        self._number = number
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # a line that a power cut tore

    def _next(self) -> int:
        """Begin the next file, and remove the oldest if there are too many; returns the lines in those."""
        self._open(self._number + 1)
        lost = 0
        for number in _numbers(self._folder)[: -max(1, self._limit // self._segment)]:
            path = f"{self._folder}/{number:012d}"
            try:
                with open(path, "rb") as file:
                    lost += sum(1 for _ in file)
                os.unlink(path)
            except FileNotFoundError:
                continue
        return lost


class Reader:
    """The sender's end. Raises OSError."""

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._folder = folder
        self._synced: dict[int, int] = {}

    def start(self) -> Place:
        """Where the log begins."""
        return Place(min(_numbers(self._folder), default=1), 0)

    def read(self, place: Place) -> tuple[list[tuple[bytes, Place]], Place]:
        """The next lines, each with the place behind it, and the place behind them all; none when all was read."""
        numbers = _numbers(self._folder)
        if place.number not in numbers:
            later = [number for number in numbers if number > place.number]
            if not later:
                return [], place
            place = Place(later[0], 0)
        with open(f"{self._folder}/{place.number:012d}", "rb", buffering=0) as file:
            data = os.pread(file.fileno(), MAX_READ, place.offset)
            whole = data[: data.rfind(b"\n") + 1]
        found, offset = [], place.offset
        for line in whole.splitlines(keepends=True):
            offset += len(line)
            found.append((line, Place(place.number, offset)))
        # nobody appends to a file that is not the last one, and it was not when the names were read
        if not found and (place.number != numbers[-1] or len(data) == MAX_READ):
            later = [number for number in numbers if number > place.number]
            return self.read(Place(later[0], 0)) if later else ([], Place(place.number, place.offset + len(data)))
        return found, found[-1][1] if found else place

    def sync(self) -> None:
        """Make what was appended durable."""
        sizes: dict[int, int] = {}
        for number in _numbers(self._folder)[-2:]:
            try:
                fd = os.open(f"{self._folder}/{number:012d}", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                sizes[number] = os.fstat(fd).st_size
                if self._synced.get(number) != sizes[number]:
                    os.fdatasync(fd)
            finally:
                os.close(fd)
        if sizes.keys() - self._synced.keys():
            self._sync_folder()
        self._synced = sizes

    def _sync_folder(self) -> None:
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def sent(self, name: str) -> Place | None:
        """How far a webhook is, None for a new one."""
        try:
            with open(f"{self._folder}/sent-{name}", "rb") as file:
                words = file.read(100).split()
        except FileNotFoundError:
            return None
        if len(words) != 2 or not b"".join(words).isdigit():
            return None
        return self._within(Place(int(words[0]), int(words[1])))

    def _within(self, place: Place) -> Place:
        """A place that is there: a power cut may have taken the end of the log, but not what is appended since."""
        numbers = _numbers(self._folder)
        if not numbers or place.number > numbers[-1]:
            return self.start()
        try:
            return Place(place.number, min(place.offset, os.stat(f"{self._folder}/{place.number:012d}").st_size))
        except FileNotFoundError:
            return place

    def mark(self, name: str, place: Place) -> None:
        """Note how far a webhook is."""
        path = f"{self._folder}/sent-{name}"
        with open(path + ".new", "wb") as file:
            file.write(b"%d %d\n" % (place.number, place.offset))
        os.rename(path + ".new", path)

    def tidy(self, names: set[str]) -> None:
        """Remove what these webhooks, which are all there are, have behind them."""
        places = [self.sent(name) or self.start() for name in names]
        numbers = _numbers(self._folder)
        end = min([place.number for place in places], default=numbers[-1] if numbers else 0)
        for number in numbers[:-1]:
            if number < end:
                os.unlink(f"{self._folder}/{number:012d}")
        for file in os.listdir(self._folder):
            if file.startswith("sent-") and file.removesuffix(".new").removeprefix("sent-") not in names:
                os.unlink(f"{self._folder}/{file}")

    def hold(self) -> int | None:
        """Be the one that sends: a descriptor to keep open, or None when another process is."""
        fd = os.open(f"{self._folder}/sender.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd
