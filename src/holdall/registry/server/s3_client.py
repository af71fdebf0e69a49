"""The object store as this server speaks to it: where it is, a client for it, and its errors as ours."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from holdall.errors import InvalidOption, SystemFailure
from holdall.record import record
from holdall.registry.server.catalog_values import Unavailable
from holdall.registry.server.location import S3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from mypy_boto3_s3 import S3Client

    from holdall.registry.server.location import Location

    Style = Literal["auto", "path", "virtual"]

STYLES: tuple[Style, ...] = ("auto", "path", "virtual")
CONNECT_SECONDS = 5
READ_SECONDS = 60
ATTEMPTS = 4
CONNECTIONS = 48
RETRY_AFTER = 5
_MISSING = ("404", "NoSuchKey", "NotFound", "NoSuchUpload")
_PRESENT = ("412", "PreconditionFailed", "409", "ConditionalRequestConflict")
_FULL = ("507", "InsufficientStorage", "XMinioStorageFull", "QuotaExceeded")
_session = boto3.session.Session()  # what the parent of the workers has loaded, they need not load again


@record
class Bucket:
    """A part of a bucket. `endpoint` and `region` empty are what the environment or AWS says.

    `scratch` is a folder for bytes that are not in the store yet, "" where temporary files go.
    """

    name: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    style: Style = "auto"
    redirect: bool = True
    scratch: str = ""


def parse(where: Location) -> Bucket:
    """The part of a bucket that "s3://BUCKET/PREFIX" names. Raises InvalidOption."""
    name, _, prefix = where.storage.removeprefix(S3).partition("/")
    prefix = prefix.strip("/")
    if not name or not all(character.isalnum() or character in ".-_" for character in name):
        raise InvalidOption(f'"{where.storage}" is not of the form s3://BUCKET/PREFIX')
    known = [one for one in STYLES if one == where.addressing]
    if not known:
        raise InvalidOption(f"--s3-addressing must be one of {', '.join(STYLES)}")
    return Bucket(
        name, f"{prefix}/" if prefix else "", where.endpoint, where.region, known[0], where.redirect, where.scratch
    )


def connect(bucket: Bucket, *, attempts: int = ATTEMPTS) -> S3Client:
    """A client; with credentials by boto3's usual search. Raises InvalidOption."""
    try:
        return _session.client(
            "s3",
            endpoint_url=bucket.endpoint or None,
            region_name=bucket.region or os.environ.get("AWS_REGION") or _session.region_name or "us-east-1",
            config=Config(
                retries={"mode": "standard", "total_max_attempts": attempts},
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                max_pool_connections=CONNECTIONS,
                tcp_keepalive=True,
                signature_version="s3v4",
                # stores other than Amazon's do not know its newer checksums; TLS or the signature protect the bytes
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": bucket.style, "payload_signing_enabled": False},
            ),
        )
    except (BotoCoreError, ValueError) as err:
        raise InvalidOption(f"the object store cannot be used so: {err}") from err


def check(client: S3Client, bucket: Bucket) -> None:
    """Whether the bucket is there and may be read. Raises SystemFailure."""
    try:
        client.list_objects_v2(Bucket=bucket.name, Prefix=bucket.prefix, MaxKeys=1)
    except (BotoCoreError, ClientError) as err:
        raise SystemFailure(
            f'cannot use the bucket "{bucket.name}": {err}', hint="look at the endpoint, the region and the credentials"
        ) from err


def code(err: ClientError) -> str:
    """What kind of error the store says it is."""
    return str(err.response.get("Error", {}).get("Code", ""))


def is_missing(err: ClientError) -> bool:
    """Whether the object, or the upload, is not there."""
    return code(err) in _MISSING


def is_present(err: ClientError) -> bool:
    """Whether a condition on the object did not hold."""
    return code(err) in _PRESENT


@contextmanager
def asking() -> Iterator[None]:
    """Errors of the store within the block become FileNotFoundError, OSError (ENOSPC), or Unavailable."""
    try:
        yield
    except ClientError as err:
        if is_missing(err):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(err)) from err
        if code(err) in _FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "object store") from err
        raise Unavailable(f"the object store refuses: {err}", RETRY_AFTER) from err
    except BotoCoreError as err:
        raise Unavailable(f"the object store does not answer: {err}", RETRY_AFTER) from err
