"""An upload to an object store. See `storage.Writing`, `s3_blobs` and `s3_shipping`.

At the end the store itself copies the segments to the blob's name: as parts that are prepared before the exclusive
section, and completed by one request within it.
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from holdall.registry.server import s3_client
from holdall.registry.server.catalog_values import Unavailable
from holdall.registry.server.s3_client import asking
from holdall.registry.server.s3_shipping import Shipping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack
    from types import TracebackType
    from typing import Self

    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from holdall.oci.digest import Digest
    from holdall.registry.server.s3_blobs import S3Blobs
    from holdall.registry.server.s3_segments import Segment
    from holdall.registry.server.s3_shipping import Spool

TYPE = "application/octet-stream"


class S3Writing:
    """An upload that this caller alone writes to. See `Writing`."""

    def __init__(self, blobs: S3Blobs, upload: str, segments: Sequence[Segment], held: ExitStack) -> None:
        self._blobs = blobs
        self._upload = upload
        self._held = held
        self._shipping = Shipping(blobs, upload, segments)
        self._parts: list[CompletedPartTypeDef] = []
        self._multipart = ""
        self._target = ""
        self._left = b""
        self._kept = self._gone = False
        self.offset = self._shipping.end

    @property
    def note(self) -> bytes:
        """See `Writing`."""
        return self._shipping.note()

    @note.setter
    def note(self, value: bytes) -> None:
        self._left = value

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `Writing`."""
        self._left = b""
        try:
            self._shipping.write(data)
        finally:
            self.offset = self._shipping.end

    def sync(self, digest: Digest) -> None:
        """See `Writing`. Has the store copy the segments, unless it has the blob."""
        self._shipping.settle()
        if self._shipping.segments and self._blobs.size(digest) != self.offset:
            self._prepare(digest)

    def read(self, offset: int, size: int) -> bytes:
        """See `Writing`."""
        return self._shipping.read(offset, size)

    def keep(self, digest: Digest) -> None:
        """See `Writing`. The bytes get to the blob's name by one request, or are there."""
        blobs, shipping = self._blobs, self._shipping
        if wait := blobs.removed_lately(digest):
            raise Unavailable("this blob is just being removed", round(wait) + 1)
        if blobs.size(digest) == self.offset:
            self._abort()
        elif shipping.segments:
            if not self._multipart:  # it was there a moment ago
                self._prepare(digest)
            self._complete(digest)
        else:
            body = b"" if shipping.spool is None else shipping.spool.body()
            with asking():
                blobs.client.put_object(Bucket=blobs.bucket, Key=blobs.key(digest), Body=body, ContentType=TYPE)
        self._kept = True

    def discard(self) -> None:
        """See `Writing`."""
        self._gone = True
        self._shipping.close()
        self._abort()
        mark = f"{self._blobs.upload_key(self._upload)}begun"
        found = [one["Key"] for one in self._blobs.entries(self._upload)]
        # its mark goes last: as long as it is there, a collection finds what is left
        self._blobs.delete([key for key in found if key != mark])
        self._blobs.delete([mark])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._kept and kind is None:
                self._forget()
            elif not self._gone:
                self._abort()
                self._shipping.flush(self._left)
        except OSError:
            if kind is None:
                raise
        finally:
            self._shipping.close()
            self._held.close()

    def _prepare(self, digest: Digest) -> None:
        blobs, segments, spool = self._blobs, self._shipping.segments, self._shipping.spool
        self._target = blobs.key(digest)
        with asking():
            made = blobs.client.create_multipart_upload(Bucket=blobs.bucket, Key=self._target, ContentType=TYPE)
        self._multipart = made["UploadId"]
        copies = [blobs.pool.submit(self._copy_part, number, segment) for number, segment in enumerate(segments, 1)]
        try:
            self._parts = [one.result() for one in copies]
            if spool is not None:
                self._parts.append(self._last_part(len(segments) + 1, spool))
            if blobs.segments(self._upload) != segments:
                # not all stores know the condition that the copies have
                raise Unavailable("somebody else wrote to the upload", s3_client.RETRY_AFTER)
        except BaseException:
            for one in copies:
                one.cancel()
            self._abort()
            raise

    def _copy_part(self, number: int, segment: Segment) -> CompletedPartTypeDef:
        blobs = self._blobs
        with asking():
            done = blobs.client.upload_part_copy(
                Bucket=blobs.bucket,
                Key=self._target,
                UploadId=self._multipart,
                PartNumber=number,
                CopySource={"Bucket": blobs.bucket, "Key": self._shipping.key(segment)},
                CopySourceIfMatch=segment.tag,
            )
        return {"PartNumber": number, "ETag": done["CopyPartResult"]["ETag"]}

    def _last_part(self, number: int, spool: Spool) -> CompletedPartTypeDef:
        blobs = self._blobs
        with asking():
            done = blobs.client.upload_part(
                Bucket=blobs.bucket,
                Key=self._target,
                UploadId=self._multipart,
                PartNumber=number,
                Body=spool.body(),
            )
        return {"PartNumber": number, "ETag": done["ETag"]}

    def _complete(self, digest: Digest) -> None:
        blobs, number = self._blobs, self._multipart
        try:
            with asking():
                blobs.client.complete_multipart_upload(
                    Bucket=blobs.bucket, Key=self._target, UploadId=number, MultipartUpload={"Parts": self._parts}
                )
        except FileNotFoundError as err:  # an answer was lost: it may have been done by the first attempt
            if blobs.size(digest) != self.offset:
                raise Unavailable("the object store lost the parts of an upload", s3_client.RETRY_AFTER) from err
        self._multipart = ""

    def _abort(self) -> None:
        """Give the parts up, if there are any; what cannot be aborted now the janitor will."""
        number, self._multipart = self._multipart, ""
        if not number:
            return
        try:
            self._blobs.client.abort_multipart_upload(Bucket=self._blobs.bucket, Key=self._target, UploadId=number)
        except (BotoCoreError, ClientError):
            return

    def _forget(self) -> None:
        """Remove the upload of a blob that is in its place; what is left the janitor removes."""
        mark = f"{self._blobs.upload_key(self._upload)}begun"
        try:
            self._blobs.delete([self._shipping.key(one) for one in self._shipping.segments])
            self._blobs.delete([mark])
        except OSError:
            return
