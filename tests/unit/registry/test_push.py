from __future__ import annotations

import io
from typing import BinaryIO

import pytest

from holdall.errors import (
    BlobNotFound,
    ImageNotFound,
    IntegrityError,
    InvalidReference,
    RegistryError,
    Unauthorized,
)
from holdall.events import Event
from holdall.image.image import Image
from holdall.image.index import ImageIndex
from holdall.image.memory import MemoryBlobs
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.manifest import Manifest
from holdall.oci.platform import Platform
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.registry.credential import Credential, Fixed
from holdall.registry.options import MIN_CHUNK, Options
from holdall.registry.pull import pull
from holdall.registry.push import push, push_index
from holdall.testing.images import blobs_of, image_of_files, index_of, random_image, random_index
from holdall.testing.registry import RegistryServer

BIG = 300_000


def big_image() -> Image:
    """One layer that is larger than a chunk."""
    return random_image(seed=9, layers=1, files=1, size=BIG)


def ref(server: RegistryServer, rest: str = "team/app:1") -> Reference:
    return Reference.parse(f"{server.host}/{rest}")


def check_whole(server: RegistryServer, image: Image, tag: str = "1", name: str = "team/app") -> None:
    stored = server.store.repository(name)
    assert stored.tags[tag] == str(image.digest)
    for digest, data in blobs_of(image).items():
        kept = stored.manifests[str(digest)][1] if digest == image.digest else stored.blobs[str(digest)]
        assert kept == data


@pytest.mark.parametrize("docker", [False, True])
@pytest.mark.parametrize("chunk", [0, MIN_CHUNK])
async def test_brings_everything_to_the_registry(quick: Options, chunk: int, docker: bool) -> None:
    image, events = random_image(seed=5, layers=3, size=30_000, docker=docker), list[Event]()
    with RegistryServer() as server:
        options = replace(quick, upload_chunk=chunk)
        got = await push(image, ref(server), options=options, reporter=events.append)
        check_whole(server, image)
        assert (server.count("PATCH") > 0) is (chunk > 0)
        assert server.requests[-1].method == "PUT"
        assert "/manifests/" in server.requests[-1].path
    assert (got.digest, got.media_type, got.size) == (image.digest, image.manifest.media_type, len(image.manifest.raw))
    done = [event.action for event in events if event.done]
    assert done == ["pushed"] * 4 + ["tagged"]


async def test_several_tags_and_none(quick: Options) -> None:
    image = random_image()
    with RegistryServer() as server:
        await push(image, ref(server), tags=["2", "1", "latest"], options=quick)
        assert set(server.store.repository("team/app").tags) == {"1", "2", "latest"}
        await push(image, ref(server, f"other@{image.digest}"), options=quick)
        assert not server.store.repository("other").tags
        assert str(image.digest) in server.store.repository("other").manifests
        with pytest.raises(InvalidReference, match="the image has digest"):
            await push(image, ref(server, f"other@sha256:{'0' * 64}"), options=quick)
        with pytest.raises(InvalidReference, match="invalid tag"):
            await push(image, ref(server), tags=["a b"], options=quick)


async def test_what_is_there_is_not_sent_again(quick: Options) -> None:
    image, events = random_image(), list[Event]()
    with RegistryServer() as server:
        await push(image, ref(server), options=quick)
        before = server.count("POST")
        await push(image, ref(server, "team/app:2"), options=quick, reporter=events.append)
        assert server.count("POST") == before
    assert [event.action for event in events if event.done] == ["already exists"] * 3 + ["tagged"]


@pytest.mark.parametrize("auth", ["none", "token"])
async def test_blobs_are_mounted_from_another_repository(quick: Options, auth: str) -> None:
    image, events = random_image(), list[Event]()
    with RegistryServer(auth=auth, users={"ann": "secret"}) as server:
        options = replace(quick, credentials=Fixed(Credential("ann", "secret")) if auth == "token" else None)
        server.store.add_image("base/image", "1", image)
        origin = {layer.digest: "base/image" for layer in image.manifest.layers}
        origin[image.manifest.config.digest] = "not/there"
        await push(image, ref(server), mount_from=origin, options=options, reporter=events.append)
        check_whole(server, image)
    assert sorted(event.action for event in events if event.done) == ["mounted", "mounted", "pushed", "tagged"]


@pytest.mark.parametrize("auth", ["basic", "token"])
async def test_credentials(quick: Options, auth: str) -> None:
    image = random_image()
    with RegistryServer(auth=auth, users={"ann": "secret"}, anonymous_pull=True) as server:
        with pytest.raises(Unauthorized):
            await push(image, ref(server), options=quick)
        assert not server.store.repository("team/app").blobs
        await push(image, ref(server), options=replace(quick, credentials=Fixed(Credential("ann", "secret"))))
        check_whole(server, image)


@pytest.mark.parametrize("chunk", [0, MIN_CHUNK])
async def test_goes_on_where_a_lost_connection_left_it(quick: Options, chunk: int) -> None:
    image = big_image()
    method = "PATCH" if chunk else "PUT"
    with RegistryServer() as server:
        server.fail("cut-upload", method=method, path="/uploads/", after=20_000)
        server.fail("cut-upload", method=method, path="/uploads/", after=20_000)
        await push(image, ref(server), options=replace(quick, upload_chunk=chunk, concurrency=1))
        check_whole(server, image)
        sent = [one.headers.get("Content-Range", "") for one in server.requests if one.method == method]
    assert any(text.startswith("20000-") for text in sent)
    assert any(text.startswith("40000-") for text in sent)


async def test_starts_anew_where_the_registry_cannot_say(quick: Options) -> None:
    image = big_image()
    with RegistryServer() as server:
        server.fail("cut-upload", method="PUT", path="/uploads/", after=20_000)
        server.fail("status", method="GET", path="/uploads/", status=404)
        await push(image, ref(server), options=replace(quick, concurrency=1))
        check_whole(server, image)
        assert server.count("POST") == 3


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "PATCH"])
@pytest.mark.parametrize("kind", ["close", "status"])
async def test_tries_again(quick: Options, method: str, kind: str) -> None:
    image = big_image()
    with RegistryServer() as server:
        server.fail(kind, method=method, path="/blobs/", status=503, times=2)
        server.fail(kind, method="PUT", path="/manifests/", status=429, retry_after="0")
        await push(image, ref(server), options=replace(quick, upload_chunk=MIN_CHUNK))
        check_whole(server, image)


async def test_an_upload_whose_answer_was_lost_is_not_sent_twice(quick: Options) -> None:
    image = big_image()
    layer = str(image.manifest.layers[0].digest)
    with RegistryServer() as server:
        server.fail("early-close", method="PUT", path="/uploads/", after=0)
        await push(image, ref(server), options=replace(quick, concurrency=1))
        check_whole(server, image)
        finished = [one for one in server.requests if one.method == "PUT" and layer in one.query]
    assert len(finished) <= 2


async def test_gives_up_in_the_end(quick: Options) -> None:
    image = random_image()
    with RegistryServer() as server:
        server.fail("status", method="PUT", path="/uploads/", status=500, times=-1)
        with pytest.raises(RegistryError, match=r"cannot push .*answered 500") as caught:
            await push(image, ref(server), options=quick)
        assert str(caught.value).startswith(f'cannot push "{server.host}/team/app:1": ')
        assert not server.store.repository("team/app").manifests


async def test_a_refusal_is_final(quick: Options) -> None:
    with RegistryServer() as server:
        server.fail("status", method="PUT", path="/uploads/", status=413, times=-1)
        with pytest.raises(RegistryError, match="answered 413"):
            await push(random_image(layers=1), ref(server), options=replace(quick, concurrency=1))
        assert server.count("PUT") == 1


class Broken:
    """A source that has lost its mind about one blob."""

    def __init__(self, image: Image, bad: Descriptor, data: bytes | None) -> None:
        self._image = image
        self._bad = bad
        self._data = data

    def open(self, descriptor: Descriptor) -> BinaryIO:
        if descriptor.digest != self._bad.digest:
            return self._image.source.open(descriptor)
        if self._data is None:
            raise BlobNotFound("gone")
        return io.BytesIO(self._data)


@pytest.mark.parametrize("how", ["short", "long", "corrupt", "gone"])
async def test_broken_blobs_of_ours_never_arrive(quick: Options, how: str) -> None:
    image = big_image()
    layer = image.manifest.layers[0]
    data = blobs_of(image)[layer.digest]
    broken = {"short": data[:-5], "long": data + b"x", "corrupt": data[:-1] + bytes([data[-1] ^ 1]), "gone": None}[how]
    with RegistryServer() as server:
        with pytest.raises(BlobNotFound if how == "gone" else IntegrityError):
            await push(replace(image, source=Broken(image, layer, broken)), ref(server), options=quick)
        stored = server.store.repository("team/app")
        assert str(layer.digest) not in stored.blobs
        assert not stored.manifests


async def test_layers_that_must_not_be_distributed_stay_here(quick: Options) -> None:
    base, events = image_of_files([{"a": b"a"}, {"b": b"b"}]), list[Event]()
    foreign = replace(
        base.manifest.layers[1], media_type=mediatype.OCI_FOREIGN_LAYER_GZIP, urls=("https://vendor.example/layer",)
    )
    manifest = Manifest.build(base.manifest.config, [base.manifest.layers[0], foreign])
    with RegistryServer() as server:
        await push(replace(base, manifest=manifest), ref(server), options=quick, reporter=events.append)
        assert str(foreign.digest) not in server.store.repository("team/app").blobs
    assert "not distributable" in {event.action for event in events}


async def test_an_index_with_all_that_belongs_to_it(quick: Options) -> None:
    index, sink = random_index(), MemoryBlobs()
    with RegistryServer() as server:
        got = await push_index(index, ref(server), tags=["2"], options=quick)
        assert got.digest == index.digest
        assert server.store.repository("team/app").tags == {"1": str(index.digest), "2": str(index.digest)}
        pulled = await pull(ref(server), sink, platform=Platform("linux", "arm64"), options=quick)
        assert pulled.index == index.index


async def test_nested_indexes_go_from_the_inside(quick: Options) -> None:
    inner = random_index(seed=3)
    outer = index_of([random_image(seed=1)])
    blobs = MemoryBlobs()
    from holdall.image.memory import StackedSource
    from holdall.oci.index import Index

    made = Index.build([*outer.index.manifests, inner.descriptor])
    nested = ImageIndex(made, StackedSource(blobs, outer.source, inner.source))
    with RegistryServer() as server:
        await push_index(nested, ref(server), options=quick)
        assert str(inner.digest) in server.store.repository("team/app").manifests


async def test_an_index_that_is_not_all_here_is_not_pushed_at_all(quick: Options) -> None:
    index = random_index()
    one = index.image(Platform("linux", "amd64"))
    only = MemoryBlobs()
    for digest, data in blobs_of(one).items():
        only.blobs[digest] = data
    with RegistryServer() as server:
        with pytest.raises(ImageNotFound, match=r"for linux/arm64 of the index is not here"):
            await push_index(ImageIndex(index.index, only), ref(server), options=quick)
        assert not server.requests


async def test_a_manifest_the_registry_misunderstood(quick: Options) -> None:
    with RegistryServer() as server:
        server.fail("wrong-digest", method="PUT", path="/manifests/")
        with pytest.raises(IntegrityError, match="took manifest"):
            await push(random_image(), ref(server), options=quick)


async def test_a_blob_the_registry_misunderstood(quick: Options) -> None:
    with RegistryServer() as server:
        server.fail("wrong-digest", method="PUT", path="/uploads/")
        with pytest.raises(IntegrityError, match="took blob"):
            await push(random_image(), ref(server), options=quick)
