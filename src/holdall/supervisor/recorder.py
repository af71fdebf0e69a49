"""From a container's output to its log: chunk → journal → entries → file, exactly once whatever is killed when."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import termios
import time

from holdall.oci import timestamp
from holdall.supervisor import lines
from holdall.supervisor.durable import read_bounded
from holdall.supervisor.journal import MAX_CHUNK
from holdall.supervisor.logfile import LogFile
from holdall.supervisor.ownlog import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.supervisor.journal import Journal, Unfinished
    from holdall.supervisor.launch import LogLimits


_INT = struct.Struct("i")


def recorder(container_id: str, folder: str, limits: LogLimits, run: str, journal: Journal) -> Recorder | Unrecorded:
    """What reads the output of a container: into its log, or past it when that is to have no files."""
    if limits.max_files == 0:
        return Unrecorded()
    return Recorder(container_id, LogFile(folder, limits), run, journal)


class Recorder:
    """The log of one running container. `run` is its transient folder, where begun entries are kept.

    When the disk is full entries are dropped and the supervisor's log says so: stopping the container would be worse.
    """

    __slots__ = ("_id", "_journal", "_pending", "_run", "log")

    def __init__(self, container_id: str, log: LogFile, run: str, journal: Journal) -> None:
        self._id = container_id
        self._run = run
        self._journal = journal
        self._pending: dict[str, bytes] = {}
        self.log = log

    def read(self, fd: int, stream: str) -> bytes | None:
        """Read one chunk from a non-blocking descriptor and log it; b"" at the stream's end, None if nothing waits."""
        pending = self._pending.get(stream, b"")
        room = self._journal.begin(self._id, stream, pending)
        waiting = self._waiting(fd)
        if waiting:
            self._journal.intend(waiting, self.log.size)
            room = room[:waiting]
        try:
            count = os.readv(fd, [room])
        except BlockingIOError:
            return None
        except OSError:  # EIO: the last process let go of the terminal (pty(7))
            count = 0
        if count == 0:
            return b""
        data = self._journal.filled(count, self.log.size)
        self._record(stream, data, final=False)
        return data[len(pending) :]

    def _waiting(self, fd: int) -> int:
        """How many bytes a pipe has for us, the next read's number; 0 when it is not known (a terminal) or none."""
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            return 0
        answer = fcntl.ioctl(fd, termios.FIONREAD, _INT.pack(0))
        return min(int(_INT.unpack(answer)[0]), MAX_CHUNK)

    def end(self, stream: str) -> None:
        """The stream has ended: log what stands behind its last newline."""
        pending = self._pending.get(stream, b"")
        if pending:
            self._journal.begin(self._id, stream, pending)
            self._record(stream, self._journal.filled(0, self.log.size, final=True), final=True)

    def resume(self, streams: tuple[str, ...], unfinished: Unfinished | None) -> None:
        """Go on where a killed supervisor stopped."""
        for stream in streams:
            try:
                self._pending[stream] = read_bounded(self._pending_path(stream), lines.MAX_ENTRY)
            except FileNotFoundError:
                pass
        if unfinished is not None and unfinished.stream in streams:
            self.log.truncate(unfinished.log_size)
            self._record(unfinished.stream, unfinished.data, final=unfinished.final)

    def _record(self, stream: str, data: bytes, *, final: bool) -> None:
        entries, rest = lines.cut(data)
        if final and rest:
            entries.append(rest)
            rest = b""
        if entries:
            self._append(entries, lines.encode(entries, stream, timestamp.render(time.time_ns())))
        self._keep(stream, rest)
        self._journal.finish()

    def _append(self, entries: list[bytes], encoded: list[bytes]) -> None:
        def progress(done: int) -> None:
            self._journal.progress(sum(map(len, entries[:done])), self.log.size)

        try:
            self.log.append(encoded, progress)
        except OSError as err:
            log(f"{self._id}: {len(entries)} log entries dropped: {err}")

    def _keep(self, stream: str, rest: bytes) -> None:
        """Hold the beginning of an entry, in memory and where a successor finds it."""
        before = self._pending.get(stream, b"")
        self._pending[stream] = rest
        if rest == before:
            return
        path = self._pending_path(stream)
        if not rest:
            try:
                os.unlink(path)
            except FileNotFoundError:  # a successor had read it, and its predecessor deleted it
                pass
            return
        fd = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, rest)
        finally:
            os.close(fd)
        os.rename(path + ".tmp", path)

    def _pending_path(self, stream: str) -> str:
        return f"{self._run}/begun.{stream}"

    def limit(self, limits: LogLimits) -> None:
        """Change the log's bounds."""
        self.log.limit(limits)

    def close(self) -> None:
        """Close the log."""
        self.log.close()


class Unrecorded:
    """Reads output that only whoever is attached gets: nothing of it is ever on disk."""

    __slots__ = ()

    def read(self, fd: int, _stream: str) -> bytes | None:
        """Read one chunk; see `Recorder.read`."""
        try:
            return os.read(fd, MAX_CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def end(self, stream: str) -> None:
        """The stream has ended."""

    def resume(self, streams: tuple[str, ...], unfinished: Unfinished | None) -> None:
        """Nothing was begun."""

    def limit(self, limits: LogLimits) -> None:
        """There are no bounds."""

    def close(self) -> None:
        """There is nothing to close."""
