"""A build cache in S3 or what speaks its protocol: PREFIX + blobs/DIGEST, and the manifest at PREFIX + manifests/NAME.

boto3 (the extra `s3`) does the talking; credentials are looked for where it looks, unless they are given.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from holdall.errors import BlobNotFound, IntegrityError, LimitExceeded, ManifestUnknown, RegistryError, Unsupported
from holdall.image import verify
from holdall.image.verify import VerifyingReader
from holdall.oci import mediatype
from holdall.oci.manifest import Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, BinaryIO

    from holdall.build.cache_options import Bucket
    from holdall.image.blobs import BlobSource
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest

MAX_MANIFEST = 4 << 20
MAX_TOUCHED = 5 << 30
"""S3 copies no larger object in one go."""
MISSING = ("404", "NoSuchKey", "NotFound")


class ArtifactBucket:
    """Artifacts under names; a BlobSource over the bucket's blobs."""

    def __init__(self, options: Bucket) -> None:
        self.options = options
        self._made: Any = None

    @property
    def _client(self) -> Any:
        if self._made is None:
            try:
                import boto3
                from botocore.config import Config
            except ImportError as err:
                raise Unsupported("a cache of type s3 needs boto3", hint="pip install holdall[s3]") from err
            options = self.options
            self._made = boto3.session.Session().client(
                "s3",
                region_name=options.region,
                endpoint_url=options.endpoint or None,
                aws_access_key_id=options.key or None,
                aws_secret_access_key=options.secret or None,
                aws_session_token=options.token or None,
                config=Config(
                    s3={"addressing_style": "path" if options.path_style else "auto"},
                    retries={"max_attempts": 5, "mode": "standard"},
                ),
            )
        return self._made

    def find(self) -> tuple[tuple[Manifest, bytes], ...]:
        """The manifests under the names that there are, with their configurations.

        Raises ManifestUnknown (none), RegistryError, InvalidManifest, BlobNotFound, IntegrityError, LimitExceeded.
        """
        found = []
        for name in self.options.names:
            raw = self._read(self.options.prefix + self.options.manifests + name)
            if raw is not None:
                manifest = Manifest.parse(raw, mediatype.OCI_MANIFEST)
                found.append((manifest, verify.read_blob(self, manifest.config)))
        if not found:
            raise ManifestUnknown(f'bucket "{self.options.bucket}" has no cache "{self.options.names[0]}"')
        return tuple(found)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of a blob, not verified. Raises BlobNotFound, IntegrityError (another size), RegistryError."""
        with self._named(descriptor.digest):
            got = self._client.get_object(Bucket=self.options.bucket, Key=self._key(descriptor.digest))
        if got["ContentLength"] != descriptor.size:
            got["Body"].close()
            raise IntegrityError(f'blob "{descriptor.digest}" has {got["ContentLength"]} bytes, not {descriptor.size}')
        return _Body(got["Body"], self._named)  # type: ignore[return-value]  # read and close are all that is asked

    def present(self, descriptors: Sequence[Descriptor]) -> frozenset[Digest]:
        """Those of the blobs that are there; old ones among them are touched. Raises RegistryError."""
        with ThreadPoolExecutor(self.options.parallel, "s3") as pool:
            found = pool.map(self._look, descriptors)
            return frozenset([one.digest for one, there in zip(descriptors, found, strict=True) if there])

    def put(
        self, manifest: Manifest, config: bytes, source: BlobSource, tell: Callable[[Descriptor, bool], None]
    ) -> None:
        """Write an artifact under all the names; `tell` hears of each blob and whether it had to be sent.

        Raises BlobNotFound, IntegrityError, RegistryError.
        """
        there = self.present(manifest.layers)

        def send(one: Descriptor) -> None:
            if one.digest not in there:
                with source.open(one) as blob, VerifyingReader(blob, one) as verified, self._named():
                    self._client.upload_fileobj(verified, self.options.bucket, self._key(one.digest))
            tell(one, one.digest not in there)

        with ThreadPoolExecutor(self.options.parallel, "s3") as pool:
            for _ in pool.map(send, manifest.layers):
                pass
        self._write(self._key(manifest.config.digest), config)
        for name in self.options.names:
            self._write(self.options.prefix + self.options.manifests + name, manifest.raw)

    def _key(self, digest: Digest) -> str:
        return f"{self.options.prefix}{self.options.blobs}{digest}"

    def _look(self, one: Descriptor) -> bool:
        bucket, key = self.options.bucket, self._key(one.digest)
        try:
            with self._named(one.digest):
                head = self._client.head_object(Bucket=bucket, Key=key)
        except BlobNotFound:
            return False
        if head["ContentLength"] != one.size:
            return False
        if time.time() - head["LastModified"].timestamp() > self.options.refresh and one.size < MAX_TOUCHED:
            with self._named():
                self._client.copy_object(
                    Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": key},
                    MetadataDirective="REPLACE", Metadata={"touched": str(int(time.time()))},
                )  # fmt: skip
        return True

    def _read(self, key: str) -> bytes | None:
        try:
            with self._named(key):
                got = self._client.get_object(Bucket=self.options.bucket, Key=key)
                raw: bytes = got["Body"].read(MAX_MANIFEST + 1)
        except BlobNotFound:
            return None
        if len(raw) > MAX_MANIFEST:
            raise LimitExceeded(f'"{key}" has more than {MAX_MANIFEST} bytes')
        return raw

    def _write(self, key: str, data: bytes) -> None:
        with self._named():
            self._client.put_object(Bucket=self.options.bucket, Key=key, Body=data)

    @contextmanager
    def _named(self, what: object = "") -> Iterator[None]:
        """Errors of the library as ours; what is missing is `what`."""
        from botocore.exceptions import BotoCoreError, ClientError
        from s3transfer.exceptions import RetriesExceededError

        try:
            yield
        except ClientError as err:
            code = str(err.response.get("Error", {}).get("Code", ""))
            if what and code in MISSING:
                raise BlobNotFound(f'bucket "{self.options.bucket}" has no "{what}"') from err
            raise RegistryError(f'bucket "{self.options.bucket}" answered {code}: {_first(err)}') from err
        except (BotoCoreError, RetriesExceededError) as err:
            raise RegistryError(f'cannot reach bucket "{self.options.bucket}": {_first(err)}') from err


def _first(err: Exception) -> str:
    return ascii(str(err).partition("\n")[0][:200])[1:-1]


class _Body:
    """A response's body; what goes wrong while it is read is our error."""

    def __init__(self, body: Any, named: Callable[[], Any]) -> None:
        self._body = body
        self._named = named

    def read(self, size: int = -1, /) -> bytes:
        with self._named():
            data: bytes = self._body.read(None if size < 0 else size)
            return data

    def close(self) -> None:
        self._body.close()

    def __enter__(self) -> _Body:  # noqa: PYI034
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
