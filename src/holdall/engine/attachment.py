"""An open line to a running process: its output, its input and its end. Over the supervisor's connection."""

from __future__ import annotations

import os

from holdall.engine.relay import Relay, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.supervisor.client import Connection, Exit

CHUNK = 65536


class Attachment:
    """Streams of a container or of an exec in it. Owns its descriptors and the connection; a context manager.

    `stdout` and `stderr` are readable descriptors (with a terminal all comes by `stdout`, or by `terminal` for an
    exec), `stdin` is a writable one; each may be None. `wait` gives the exit code.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        stdout: int | None,
        stderr: int | None,
        stdin: int | None,
        terminal: int | None,
    ) -> None:
        self.connection = connection
        self.stdout = stdout
        self.stderr = stderr
        self.stdin = stdin
        self.terminal = terminal
        self.detached = False
        self._exit: Exit | None = None

    @classmethod
    def open(
        cls,
        connection: Connection,
        container_id: str,
        *,
        start: bool,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        terminal: bool,
    ) -> Attachment:
        """Attach to a container, starting it first when `start`. Closes the connection when that fails."""
        ends: list[int] = []
        try:
            out_read, out_write = _pipe(ends, wanted=stdout)
            err_read, err_write = _pipe(ends, wanted=stderr and not terminal)
            call = connection.start if start else connection.attach
            started = call(container_id, stdout=out_write, stderr=err_write, stdin=stdin)
        except BaseException:
            for fd in ends:
                os.close(fd)
            connection.close()
            raise
        for end in (out_write, err_write):
            if end is not None:
                os.close(end)
        return cls(connection, stdout=out_read, stderr=err_read, stdin=started.stdin, terminal=started.terminal)

    def __enter__(self) -> Attachment:  # noqa: PYI034 (Self would import typing)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def relay(self, *, stdin: int | None = 0, stdout: int = 1, stderr: int = 2, detach_keys: bytes = b"") -> None:
        """Copy between these streams and local descriptors until the process' output ends or the user detaches."""
        outputs = {fd: local for fd, local in ((self.stdout, stdout), (self.stderr, stderr)) if fd is not None}
        relay = Relay(
            outputs,
            stdin=self.stdin,
            terminal=self.terminal,
            local_stdin=stdin,
            detach_keys=detach_keys,
            watched=(self.connection.fileno(), self._poll),
        )
        self.stdin = self.stdout = self.stderr = self.terminal = None
        relay.run()
        self.detached = relay.detached

    def communicate(self, data: bytes | None) -> tuple[bytes, bytes]:
        """Send `data`, close the input, and return all output. Bytes of both streams are kept in memory."""
        out_file, err_file = os.memfd_create("stdout"), os.memfd_create("stderr")
        try:
            local = None
            if data is not None:
                source = os.memfd_create("stdin")
                write_all(source, data)
                os.lseek(source, 0, os.SEEK_SET)
                local = source
            self.relay(stdin=local, stdout=out_file, stderr=err_file)
            if local is not None:
                os.close(local)
            return _content(out_file), _content(err_file)
        finally:
            for fd in (out_file, err_file):
                os.close(fd)

    def wait(self) -> int | None:
        """Wait for the end and return the exit code, None when nobody can know it."""
        if self._exit is None:
            self._exit = self.connection.wait()
        return self._exit.code

    def _poll(self) -> bool:
        if self._exit is None:
            self._exit = self.connection.poll_exit()
        return self._exit is not None

    def close(self) -> None:
        """Close everything; the process goes on."""
        for fd in {self.stdout, self.stderr, self.stdin, self.terminal} - {None}:
            if fd is not None:
                os.close(fd)
        self.stdout = self.stderr = self.stdin = self.terminal = None
        self.connection.close()


def _pipe(ends: list[int], *, wanted: bool) -> tuple[int, int] | tuple[None, None]:
    if not wanted:
        return None, None
    pair = os.pipe2(os.O_CLOEXEC)
    ends.extend(pair)
    return pair


def _content(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    return os.pread(fd, size, 0) if size else b""
