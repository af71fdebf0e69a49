"""The bytes of one upload on their way to an object store.

What arrives goes to a temporary file without a name (memory stays small whatever the clients do); when that is long
enough it becomes a segment in the store, while the next one fills.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque

from holdall.registry.server import s3_segments
from holdall.registry.server.s3_client import asking
from holdall.registry.server.s3_file import S3File
from holdall.registry.server.s3_segments import Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from typing import BinaryIO

    from holdall.registry.server.s3_blobs import S3Blobs

UNDER_WAY = 2
"""Segments of one upload on their way at the same time."""
COPY = 1 << 20


class Spool:
    """Bytes from `offset` on that are not in the store yet, in a file without a name."""

    def __init__(self, offset: int, folder: str = "") -> None:
        self.offset = offset
        self.size = 0
        self.file: BinaryIO = tempfile.TemporaryFile(buffering=0, dir=folder or None)

    def write(self, data: memoryview) -> None:
        """Append. Raises OSError (ENOSPC)."""
        while data:
            done = self.file.write(data)
            self.size += done
            data = data[done:]

    def body(self) -> BinaryIO:
        """The file, to be sent from its start."""
        self.file.seek(0)
        return self.file


class Shipping:
    """Segments that are in the store, those under way, and a spool. One thread at a time."""

    def __init__(self, blobs: S3Blobs, upload: str, segments: Sequence[Segment]) -> None:
        self.segments = list(segments)
        self.spool: Spool | None = None
        self._blobs = blobs
        self._prefix = blobs.upload_key(upload)
        self._pending: deque[tuple[Future[Segment], Spool]] = deque()
        self._broken = False
        self._reader: tuple[Segment, S3File] | None = None

    @property
    def end(self) -> int:
        """How many bytes were written."""
        if self.spool is not None:
            return self.spool.offset + self.spool.size
        if self._pending:
            last = self._pending[-1][1]
            return last.offset + last.size
        return self.segments[-1].end if self.segments else 0

    def key(self, segment: Segment) -> str:
        """Where a segment is."""
        return f"{self._prefix}{segment.name}"

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append. Raises OSError."""
        view = memoryview(data)
        while view:
            if self.spool is None:
                self.spool = self._begin()
            room = s3_segments.full_size(self.spool.offset) - self.spool.size
            if room:
                self.spool.write(view[:room])
                view = view[room:]
            else:
                self._send({})

    def settle(self) -> None:
        """Wait for the segments under way. Raises OSError when one of them did not arrive."""
        while self._pending:
            self._arrive()

    def flush(self, note: bytes) -> None:
        """Get all bytes into the store, with a note for whoever takes the upload next."""
        self.settle()
        if not self._broken:
            self._send(s3_segments.metadata(self.segments, note))
            self.settle()

    def note(self) -> bytes:
        """What the last writer left, if it is for exactly these bytes."""
        if self.spool is not None or self._pending or not self.segments:
            return b""
        last = self.segments[-1]
        try:
            with asking():
                found = self._blobs.client.head_object(Bucket=self._blobs.bucket, Key=self.key(last), IfMatch=last.tag)
        except OSError:
            return b""
        return s3_segments.note_in(found["Metadata"], self.segments[:-1])

    def read(self, offset: int, size: int) -> bytes:
        """Bytes that were written; those that follow each other come through one request."""
        if self.spool is not None and offset >= self.spool.offset:
            return os.pread(self.spool.file.fileno(), size, offset - self.spool.offset)
        self.settle()
        if self._reader is None or not self._reader[0].offset <= offset < self._reader[0].end:
            self._close_reader()
            segment = next(one for one in self.segments if one.offset <= offset < one.end)
            self._reader = segment, self._open(segment)
        segment, file = self._reader
        file.seek(offset - segment.offset)
        return file.read(size)

    def close(self) -> None:
        """Let go of everything; what was not flushed is lost."""
        self._broken = True
        for future, _ in self._pending:
            future.cancel()
        for future, spool in self._pending:
            if not future.cancelled():
                future.exception()
            spool.file.close()
        self._pending.clear()
        self._close_reader()
        if self.spool is not None:
            self.spool.file.close()

    def _begin(self) -> Spool:
        """A spool for the next bytes; a short last segment is taken back into it, to be written again, longer."""
        if self._pending or not self.segments or not s3_segments.is_short(self.segments[-1]):
            return Spool(self.end, self._blobs.scratch)
        last = self.segments[-1]
        spool = Spool(last.offset, self._blobs.scratch)
        try:
            with self._open(last) as file:
                while data := file.read(COPY):
                    spool.write(memoryview(data))
        except BaseException:
            spool.file.close()
            raise
        self.segments.pop()
        return spool

    def _send(self, metadata: dict[str, str]) -> None:
        if self.spool is None:
            return
        while len(self._pending) >= UNDER_WAY:
            self._arrive()
        spool, self.spool = self.spool, None
        self._pending.append((self._blobs.pool.submit(self._put, spool, metadata), spool))

    def _arrive(self) -> None:
        future, spool = self._pending[0]
        try:
            segment = future.result()
        except BaseException:
            self._broken = True  # whatever comes after it would come after a gap
            raise
        self._pending.popleft()
        spool.file.close()
        self.segments.append(segment)

    def _put(self, spool: Spool, metadata: dict[str, str]) -> Segment:
        key = f"{self._prefix}{s3_segments.name_of(spool.offset)}"
        with asking():
            done = self._blobs.client.put_object(
                Bucket=self._blobs.bucket, Key=key, Body=spool.body(), Metadata=metadata
            )
        return Segment(spool.offset, spool.size, done["ETag"])

    def _open(self, segment: Segment) -> S3File:
        return S3File(self._blobs.client, self._blobs.bucket, self.key(segment), segment.size, segment.tag)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader[1].close()
            self._reader = None
