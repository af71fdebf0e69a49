"""A registry's bytes in an S3-compatible object store. Counterpart of `storage.Blobs`.

PREFIX/blobs/ALGORITHM/XX/HEX    a blob; it comes to this name whole, by one request
PREFIX/uploads/ID/begun          an upload exists
PREFIX/uploads/ID/OFFSET         a segment of it: bytes that are safe, in an object of their own
PREFIX/trash/ALGORITHM/HEX       somebody is removing the blob
PREFIX/owner                     the registry whose bytes these are

Nothing about an upload is in a process: its offset is where its segments end, and whoever takes it goes on from there.
A removal whose answer never came may still happen later; so a blob is placed again only when nobody has begun to
remove it for the last `LATE_SECONDS`, which the object under trash/ tells.
"""

from __future__ import annotations

import email.utils
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from botocore.exceptions import ClientError

from holdall.oci.digest import ALGORITHMS, Digest
from holdall.registry.server import s3_client
from holdall.registry.server.s3_client import asking
from holdall.registry.server.s3_file import S3File
from holdall.registry.server.s3_segments import Segment, chain
from holdall.registry.server.s3_upload import S3Writing

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Any, BinaryIO

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

    from holdall.registry.server.s3_client import Bucket

THREADS = 8
LATE_SECONDS = 120.0
LINK_SECONDS = 1_200
STALE_SECONDS = 24 * 3_600.0


class S3Blobs:
    """All bytes of one registry. `hold` has a name alone among all instances (`Catalog.hold`)."""

    near = False

    def __init__(self, bucket: Bucket, hold: Callable[[str], AbstractContextManager[None] | None]) -> None:
        self.bucket = bucket.name
        if bucket.scratch:
            os.makedirs(bucket.scratch, mode=0o700, exist_ok=True)
        self.client = s3_client.connect(bucket)
        self.pool = ThreadPoolExecutor(THREADS, "segments")
        self.scratch = bucket.scratch
        self._root = bucket.prefix
        self._where = bucket
        self._hold = hold
        self._lock = threading.Lock()
        self._once: S3Client | None = None

    def key(self, digest: Digest) -> str:
        """Where a blob is, or would be."""
        return f"{self._root}blobs/{digest.algorithm}/{digest.encoded[:2]}/{digest.encoded}"

    def upload_key(self, upload: str) -> str:
        """What the names of an upload's objects begin with."""
        return f"{self._root}uploads/{upload}/"

    def owner(self) -> str | None:
        """See `Blobs`."""
        try:
            with asking():
                return self.client.get_object(Bucket=self.bucket, Key=f"{self._root}owner")["Body"].read(100).decode()
        except FileNotFoundError:
            return None

    def claim(self, name: str) -> None:
        """See `Blobs`."""
        try:
            self._create(f"{self._root}owner", name.encode())
        except FileExistsError:
            return

    def begin(self, upload: str) -> None:
        """See `Blobs`."""
        self._create(f"{self.upload_key(upload)}begun", b"")

    def take(self, upload: str) -> S3Writing | None:
        """See `Blobs`."""
        held = self._hold(f"upload {upload}")
        if held is None:
            return None
        with ExitStack() as stack:
            stack.enter_context(held)
            entries = self.entries(upload)
            if not entries:
                raise FileNotFoundError(upload)
            segments, rest = chain(self._segments(upload, entries))
            self.delete([f"{self.upload_key(upload)}{one.name}" for one in rest])
            return S3Writing(self, upload, segments, stack.pop_all())

    def offset(self, upload: str) -> int | None:
        """See `Blobs`."""
        entries = self.entries(upload)
        if not entries:
            return None
        segments, _ = chain(self._segments(upload, entries))
        return segments[-1].end if segments else 0

    def follow(self, upload: str) -> BinaryIO | None:  # noqa: ARG002
        """See `Blobs`. What is written last is nowhere but in the writer's process."""
        return None

    def touched(self, upload: str) -> float | None:
        """See `Blobs`."""
        times = [entry["LastModified"].timestamp() for entry in self.entries(upload)]
        return max(times, default=None)

    def open(self, digest: Digest) -> BinaryIO:
        """See `Blobs`."""
        key = self.key(digest)
        with asking():
            found = self.client.head_object(Bucket=self.bucket, Key=key)
        file: Any = S3File(self.client, self.bucket, key, found["ContentLength"], found["ETag"])
        opened: BinaryIO = file
        return opened

    def link(self, digest: Digest) -> str | None:
        """See `Blobs`."""
        if not self._where.redirect:
            return None
        with asking():
            return self.client.generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket, "Key": self.key(digest)}, ExpiresIn=LINK_SECONDS
            )

    def condemn(self, digest: Digest) -> None:
        """See `Blobs`."""
        with asking():
            self.client.put_object(Bucket=self.bucket, Key=self._trash(digest), Body=b"")

    def remove(self, digest: Digest) -> None:
        """See `Blobs`. Asked for once only: a second attempt could hide that the first one is still on its way."""
        with self._lock:
            if self._once is None:
                self._once = s3_client.connect(self._where, attempts=1)
        with asking():
            self._once.delete_object(Bucket=self.bucket, Key=self.key(digest))
            self.client.delete_object(Bucket=self.bucket, Key=self._trash(digest))

    def removed_lately(self, digest: Digest) -> float:
        """For how many seconds more a removal that was begun may still come, 0 for none."""
        try:
            with asking():
                found = self.client.head_object(Bucket=self.bucket, Key=self._trash(digest))
        except FileNotFoundError:
            return 0.0
        return max(LATE_SECONDS - _age(found["LastModified"], found["ResponseMetadata"]["HTTPHeaders"]), 0.0)

    def size(self, digest: Digest) -> int | None:
        """How long a blob is, None when it is not there."""
        try:
            with asking():
                return self.client.head_object(Bucket=self.bucket, Key=self.key(digest))["ContentLength"]
        except FileNotFoundError:
            return None

    def empty_trash(self, step: int) -> Iterator[int]:  # noqa: ARG002  # files only
        """See `Blobs`. What is left to free are uploads of parts that a killed instance did not finish."""
        for page in self._pages(f"{self._root}trash/"):
            headers = page["ResponseMetadata"]["HTTPHeaders"]
            late = [one["Key"] for one in page.get("Contents", ()) if _age(one["LastModified"], headers) > LATE_SECONDS]
            self.delete(late)
        with asking():
            pages = self.client.get_paginator("list_multipart_uploads")
            for found in pages.paginate(Bucket=self.bucket, Prefix=f"{self._root}blobs/"):
                headers = found["ResponseMetadata"]["HTTPHeaders"]
                for one in found.get("Uploads", ()):
                    if _age(one["Initiated"], headers) > STALE_SECONDS:
                        yield self._abort(one["Key"], one["UploadId"])

    def strays(self, before: float) -> Iterator[Sequence[tuple[str, int]]]:
        """See `Blobs`."""
        for algorithm, length in ALGORITHMS.items():
            for page in self._pages(f"{self._root}blobs/{algorithm}/"):
                named = [(one["Key"].rpartition("/")[2], one) for one in page.get("Contents", ())]
                yield [
                    (f"{algorithm}:{name}", one["Size"])
                    for name, one in named
                    if len(name) == length and one["LastModified"].timestamp() < before
                ]

    def uploads(self) -> Iterator[str]:
        """See `Blobs`."""
        root = f"{self._root}uploads/"
        for page in self._pages(root, Delimiter="/"):
            for one in page.get("CommonPrefixes", ()):
                yield one["Prefix"].removeprefix(root).rstrip("/")

    def close(self) -> None:
        """See `Blobs`."""
        self.pool.shutdown()
        self.client.close()
        if self._once is not None:
            self._once.close()

    def segments(self, upload: str) -> list[Segment]:
        """What of an upload counts now."""
        return chain(self._segments(upload, self.entries(upload)))[0]

    def entries(self, upload: str) -> list[ObjectTypeDef]:
        """All objects of an upload."""
        return [one for page in self._pages(self.upload_key(upload)) for one in page.get("Contents", ())]

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there are no error. One by one: not all stores agree how to name many."""
        list(self.pool.map(self._delete, keys))

    def _delete(self, key: str) -> None:
        with asking():
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def _create(self, key: str, data: bytes) -> None:
        """Write an object that must not be there; where the store cannot say so, what is there is written over."""
        with asking():
            try:
                self.client.put_object(Bucket=self.bucket, Key=key, Body=data, IfNoneMatch="*")
            except ClientError as err:
                if s3_client.is_present(err):
                    raise FileExistsError(key) from err
                if s3_client.code(err) != "NotImplemented":
                    raise
                self.client.put_object(Bucket=self.bucket, Key=key, Body=data)

    def _segments(self, upload: str, entries: Sequence[ObjectTypeDef]) -> list[Segment]:
        start = len(self.upload_key(upload))
        named = [(entry["Key"][start:], entry) for entry in entries]
        return [Segment(int(name), entry["Size"], entry["ETag"]) for name, entry in named if name.isdigit()]

    def _pages(self, prefix: str, **more: Any) -> Iterator[Any]:
        with asking():
            yield from self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, **more)

    def _trash(self, digest: Digest) -> str:
        return f"{self._root}trash/{digest.algorithm}/{digest.encoded}"

    def _abort(self, key: str, number: str) -> int:
        try:
            parts = self.client.get_paginator("list_parts").paginate(Bucket=self.bucket, Key=key, UploadId=number)
            freed = sum(part["Size"] for page in parts for part in page.get("Parts", ()))
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=number)
        except ClientError as err:
            if s3_client.is_missing(err):
                return 0
            raise
        return freed


def _age(changed: dt.datetime, headers: dict[str, str]) -> float:
    """Seconds by the store's own clock."""
    return (email.utils.parsedate_to_datetime(headers["date"]) - changed).total_seconds()
