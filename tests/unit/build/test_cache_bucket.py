"""A build cache in S3, on moto's server: only what is missing is sent, what is wrong is refused, errors are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdall.build.cache_artifact import Cache, CachedStep
from holdall.build.cache_bucket import ArtifactBucket
from holdall.build.cache_options import FROM, TO, parse
from holdall.build.cache_places import place
from holdall.errors import BlobNotFound, IntegrityError, ManifestUnknown, RegistryError
from holdall.image.memory import MemoryBlobs
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.manifest import Manifest
from holdall.oci.platform import host
from holdall.registry.options import Options
from holdall.testing.objectstore import BUCKET

if TYPE_CHECKING:
    from holdall.build.cache_options import Bucket
    from holdall.testing.objectstore import ObjectStore

CONFIG = "application/vnd.test+json"


def options(store: ObjectStore, prefix: str, more: str = "", bucket: str = BUCKET) -> Bucket:
    text = (
        f"type=s3,region=us-east-1,bucket={bucket},prefix={prefix}/,endpoint_url={store.url},access_key_id=test,"
        f"secret_access_key=test,use_path_style=true{more}"
    )
    found = parse(text, TO)[0].bucket
    assert found is not None
    return found


def artifact(*layers: bytes) -> tuple[Manifest, bytes, MemoryBlobs]:
    blobs = MemoryBlobs()
    config = b"{%d}" % len(layers)
    described = [blobs.add(mediatype.OCI_LAYER, one) for one in layers]
    return Manifest.build(Descriptor(CONFIG, Digest.of(config), len(config)), described), config, blobs


def put(bucket: ArtifactBucket, *layers: bytes) -> dict[str, bool]:
    sent: dict[str, bool] = {}
    manifest, config, blobs = artifact(*layers)
    bucket.put(manifest, config, blobs, lambda one, written: sent.update({str(one.digest): written}))
    return sent


def test_what_is_put_is_found_and_sent_only_once(objectstore: ObjectStore) -> None:
    bucket = ArtifactBucket(options(objectstore, "once", ",name=one;two"))
    large = bytes(9 << 20)
    assert all(put(bucket, b"a", large).values())
    assert put(bucket, large, b"c") == {str(Digest.of(large)): False, str(Digest.of(b"c")): True}
    found = ArtifactBucket(options(objectstore, "once", ",name=two")).find()
    assert [config for _, config in found] == [b"{2}"]
    layer = found[0][0].layers[0]
    with bucket.open(layer) as stream:
        data = b""
        while piece := stream.read(1 << 20):
            data += piece
    assert data == large
    keys = {one["Key"] for one in objectstore.client().list_objects_v2(Bucket=BUCKET, Prefix="once/")["Contents"]}
    assert {"once/manifests/one", "once/manifests/two", f"once/blobs/{layer.digest}"} <= keys


def test_blobs_that_are_used_again_are_touched(objectstore: ObjectStore) -> None:
    put(ArtifactBucket(options(objectstore, "touch")), b"a")
    client = objectstore.client()
    key = f"touch/blobs/{Digest.of(b'a')}"
    assert client.head_object(Bucket=BUCKET, Key=key)["Metadata"] == {}
    put(ArtifactBucket(options(objectstore, "touch", ",touch_refresh=0s")), b"a")
    assert "touched" in client.head_object(Bucket=BUCKET, Key=key)["Metadata"]


def test_what_is_not_there_or_not_what_it_was_is_refused(objectstore: ObjectStore) -> None:
    bucket = ArtifactBucket(options(objectstore, "wrong"))
    with pytest.raises(ManifestUnknown):
        bucket.find()
    put(bucket, b"abc")
    manifest = bucket.find()[0][0]
    client = objectstore.client()
    client.put_object(Bucket=BUCKET, Key=f"wrong/blobs/{manifest.layers[0].digest}", Body=b"ab")
    with pytest.raises(IntegrityError):
        bucket.open(manifest.layers[0])
    assert bucket.present(manifest.layers) == frozenset()
    client.put_object(Bucket=BUCKET, Key=f"wrong/blobs/{manifest.config.digest}", Body=b"{2}")
    with pytest.raises(IntegrityError):
        bucket.find()
    client.delete_object(Bucket=BUCKET, Key=f"wrong/blobs/{manifest.layers[0].digest}")
    with pytest.raises(BlobNotFound):
        bucket.open(manifest.layers[0])


def test_wrong_bytes_are_not_left_there(objectstore: ObjectStore) -> None:
    bucket = ArtifactBucket(options(objectstore, "bytes"))
    manifest, config, blobs = artifact(b"good")
    blobs.blobs[Digest.of(b"good")] = b"evil"
    with pytest.raises(IntegrityError):
        bucket.put(manifest, config, blobs, lambda one, written: None)
    assert bucket.present(manifest.layers) == frozenset()
    with pytest.raises(ManifestUnknown):
        bucket.find()


def test_errors_of_the_server_are_ours(objectstore: ObjectStore) -> None:
    with pytest.raises(RegistryError, match="NoSuchBucket"):
        put(ArtifactBucket(options(objectstore, "x", bucket="no-such-bucket")), b"a")
    gone = options(objectstore, "x")
    text = f"type=s3,region=r,bucket={gone.bucket},endpoint_url=http://127.0.0.1:1,access_key_id=a,secret_access_key=b"
    dead = parse(text, FROM)[0].bucket
    assert dead is not None
    bucket = ArtifactBucket(dead)
    bucket._made = _impatient(dead)
    with pytest.raises(RegistryError, match="cannot reach"):
        bucket.find()


def _impatient(bucket: Bucket) -> object:
    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": 0}, connect_timeout=1)
    return boto3.client("s3", region_name=bucket.region, endpoint_url=bucket.endpoint, aws_access_key_id="a",
                        aws_secret_access_key="b", config=config)  # fmt: skip


class NoOrigins:
    def of(self, digest: Digest) -> tuple[str, ...]:
        return ()

    def note(self, digest: Digest, repository: str) -> None: ...

    def forget(self, digest: Digest, repository: str) -> None: ...


def test_a_cache_as_a_place(objectstore: ObjectStore) -> None:
    from holdall.build import cache_artifact

    blobs = MemoryBlobs()
    layer = blobs.add(mediatype.OCI_LAYER, b"tar")
    cache = Cache((CachedStep("a" * 64, layer, layer.digest, 3, "RUN x"),))
    option = parse(
        f"type=s3,region=us-east-1,bucket={BUCKET},prefix=place/,endpoint_url={objectstore.url},access_key_id=test,"
        "secret_access_key=test,use_path_style=true",
        TO,
    )[0]
    there = place(option, Options(), NoOrigins())
    there.save(*cache_artifact.write(cache), blobs, lambda event: None)
    assert there.load([host()]) == cache
    assert there.present([layer]) == {layer.digest}
    assert there.repository == ""
