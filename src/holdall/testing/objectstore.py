"""moto's server program: an S3-compatible object store in memory, on loopback."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import uuid
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType
    from typing import IO

    from mypy_boto3_s3 import S3Client

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
BUCKET = "tests"
SIGN = "Running on "
SECONDS = 60.0


class ObjectStore:
    """The server, with a bucket; a context manager. `url` is its endpoint. Clients need `ENVIRONMENT`."""

    def __init__(self) -> None:
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def client(self) -> S3Client:
        """A client of boto3's own making."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def place(self) -> str:
        """A part of the bucket that nobody else uses, as `--storage` takes it."""
        return f"s3://{BUCKET}/{uuid.uuid4().hex}"

    def __enter__(self) -> Self:
        with tempfile.NamedTemporaryFile("r", errors="replace", prefix="hmoto-") as log:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log.fileno(),
            )  # fmt: skip
            deadline = time.monotonic() + SECONDS
            while SIGN not in (said := _whole(log)) or "\n" not in said.partition(SIGN)[2]:
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    process.wait()
                    raise RuntimeError(said)
                time.sleep(0.02)
        self.url = said.partition(SIGN)[2].splitlines()[0].strip()
        client = self.client()
        client.create_bucket(Bucket=BUCKET)
        client.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait()


def _whole(log: IO[str]) -> str:
    log.seek(0)
    return log.read()
