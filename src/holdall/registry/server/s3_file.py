"""An object as a file that is read from the start or from any place, a part of it under way at a time."""

from __future__ import annotations

import io
import os

from botocore.exceptions import BotoCoreError
from urllib3.exceptions import HTTPError

from holdall.registry.server.catalog_values import Unavailable
from holdall.registry.server.s3_client import RETRY_AFTER, asking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

WINDOW = 64 << 20
"""Bytes asked for at once: what a reader who stops early may leave behind on the wire."""
TRIES = 4


class S3File(io.RawIOBase):
    """Unbuffered. Raises Unavailable when the store does not answer, or the object became another one."""

    def __init__(self, client: S3Client, bucket: str, key: str, size: int, tag: str) -> None:
        super().__init__()
        self._client = client
        self._bucket = bucket
        self._key = key
        self._size = size
        self._tag = tag
        self._at = 0
        self._body: StreamingBody | None = None
        self._end = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move; nothing is asked of the store before the next read."""
        to = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if to != self._at:
            self._drop()
            self._at = to
        return to

    def read(self, size: int = -1, /) -> bytes:
        """Bytes from here on, fewer than asked for only at the end of a part or of the object."""
        if size < 0:
            return self.readall()
        for left in range(TRIES, 0, -1):
            if not size or self._at >= self._size:
                return b""
            try:
                data = bytes(self._part().read(size))
            except (BotoCoreError, HTTPError, OSError) as err:
                self._drop()
                if isinstance(err, Unavailable) or left == 1:
                    raise Unavailable(f"the object store broke off: {err}", RETRY_AFTER) from err
                continue
            if data:
                self._at += len(data)
                return data
            self._drop()
        raise Unavailable("the object store sends less than it has", RETRY_AFTER)

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """As `read`, into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Let go of the connection."""
        self._drop()
        super().close()

    def _part(self) -> StreamingBody:
        if self._body is None or self._at >= self._end:
            self._drop()
            self._end = min(self._at + WINDOW, self._size)
            with asking():
                self._body = self._client.get_object(
                    Bucket=self._bucket, Key=self._key, IfMatch=self._tag, Range=f"bytes={self._at}-{self._end - 1}"
                )["Body"]
        return self._body

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
