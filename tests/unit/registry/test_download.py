"""Downloads into the real content store: what an earlier process left is used, unless it is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdall.errors import IntegrityError, RegistryError
from holdall.events import Event
from holdall.image.image import Image
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.record import replace
from holdall.registry.options import Options
from holdall.registry.pull import pull
from holdall.store.content import ContentStore
from holdall.testing.images import blobs_of, random_image
from holdall.testing.registry import RegistryServer
from holdall.testing.scripted import Asked, ScriptedServer, response

SIZE = 80_000


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    paths = Paths(str(tmp_path / "root"), str(tmp_path / "run"))
    for folder in (paths.blobs, paths.ingest):
        os.makedirs(folder)
    return ContentStore(paths)


def image() -> Image:
    return random_image(seed=3, layers=1, size=SIZE)


def layer_data(wanted: Image) -> bytes:
    return blobs_of(wanted)[wanted.manifest.layers[0].digest]


def leave_part(store: ContentStore, wanted: Image, data: bytes) -> None:
    with store.ingest(wanted.manifest.layers[0]) as writer:
        writer.write(data)


async def ranges(
    store: ContentStore, quick: Options, wanted: Image, *faults: dict[str, object], events: list[Event] | None = None
) -> list[str | None]:
    """Pull, check, and say which ranges of the layer were asked for."""
    digest = str(wanted.manifest.layers[0].digest)
    with RegistryServer() as server:
        server.store.add_image("a/b", "1", wanted)
        for fault in faults:
            server.fail(path=digest, **fault)  # type: ignore[arg-type]
        reporter = (events if events is not None else []).append
        await pull(Reference.parse(f"{server.host}/a/b:1"), store, options=quick, reporter=reporter)
        asked = [one.headers.get("Range") for one in server.requests if digest in one.path]
    for one, data in blobs_of(wanted).items():
        assert store.read(one) == data
    assert os.listdir(store.paths.ingest) == []
    return asked


async def test_goes_on_with_what_an_earlier_process_left(store: ContentStore, quick: Options) -> None:
    wanted, events = image(), list[Event]()
    leave_part(store, wanted, layer_data(wanted)[:30_000])
    assert await ranges(store, quick, wanted, events=events) == ["bytes=30000-"]
    assert not [event for event in events if event.action == "retrying"]


async def test_a_whole_part_needs_no_request(store: ContentStore, quick: Options) -> None:
    wanted = image()
    leave_part(store, wanted, layer_data(wanted))
    assert await ranges(store, quick, wanted) == []


async def test_a_damaged_part_is_thrown_away(store: ContentStore, quick: Options) -> None:
    wanted, events = image(), list[Event]()
    leave_part(store, wanted, b"\0" * 30_000)
    assert await ranges(store, quick, wanted, events=events) == ["bytes=30000-", None]
    assert any("damaged" in event.message for event in events)


async def test_a_part_and_a_registry_without_ranges(store: ContentStore, quick: Options) -> None:
    wanted = image()
    leave_part(store, wanted, layer_data(wanted)[:30_000])
    assert await ranges(store, quick, wanted, {"kind": "no-range"}) == ["bytes=30000-"]


async def test_many_losses_resume_each_time(store: ContentStore, quick: Options) -> None:
    wanted = image()
    asked = await ranges(store, replace(quick, retries=9), wanted, {"kind": "early-close", "after": 9_000, "times": 5})
    assert asked == [None] + [f"bytes={9_000 * number}-" for number in range(1, 6)]


async def test_a_failed_pull_keeps_the_part_and_nothing_half(store: ContentStore, quick: Options) -> None:
    wanted = image()
    digest = wanted.manifest.layers[0].digest
    with RegistryServer() as server:
        server.store.add_image("a/b", "1", wanted)
        server.fail("early-close", path=str(digest), after=9_000)
        server.fail("status", path=str(digest), status=500, times=-1)
        with pytest.raises(RegistryError):
            await pull(Reference.parse(f"{server.host}/a/b:1"), store, options=replace(quick, retries=1))
    assert not store.has(digest)
    assert not store.has(wanted.digest)
    assert len(os.listdir(store.paths.ingest)) == 1
    assert await ranges(store, quick, wanted) == ["bytes=9000-"]


def blob_server(wanted: Image, answer: bytes | None = None) -> ScriptedServer:
    """A server for one image whose layer's answer is `answer`, raw."""
    stored = {f"/v2/a/b/blobs/{digest}": data for digest, data in blobs_of(wanted).items()}
    layer = f"/v2/a/b/blobs/{wanted.manifest.layers[0].digest}"

    def reply(asked: Asked) -> bytes:
        if "/manifests/" in asked.target:
            return response(200, wanted.manifest.raw, Content_Type=wanted.manifest.media_type)
        if asked.target == layer and answer is not None:
            return answer
        return response(200, stored.get(asked.target, b""))

    return ScriptedServer(reply)


def partial(content_range: str, body: bytes) -> bytes:
    return response(206, body, Content_Range=content_range)


@pytest.mark.parametrize(
    ("content_range", "kind"),
    [
        ("bytes 30001-{last}/{size}", RegistryError),
        ("nonsense", RegistryError),
        ("bytes 0-9/10", IntegrityError),
        ("bytes 30000-{last}/*", RegistryError),
    ],
)
async def test_ranges_nobody_asked_for(
    store: ContentStore, quick: Options, content_range: str, kind: type[Exception]
) -> None:
    wanted = image()
    data = layer_data(wanted)
    leave_part(store, wanted, data[:30_000])
    text = content_range.format(last=len(data) - 1, size=len(data))
    async with blob_server(wanted, partial(text, b"\0" * (len(data) - 30_000))) as server:
        with pytest.raises(kind):
            await pull(Reference.parse(f"{server.host}/a/b"), store, options=quick)
    assert not store.has(wanted.manifest.layers[0].digest)


async def test_a_range_that_begins_earlier_is_cut(store: ContentStore, quick: Options) -> None:
    wanted = image()
    data = layer_data(wanted)
    leave_part(store, wanted, data[:30_000])
    answer = partial(f"bytes 20000-{len(data) - 1}/{len(data)}", data[20_000:])
    async with blob_server(wanted, answer) as server:
        await pull(Reference.parse(f"{server.host}/a/b"), store, options=quick)
    assert store.read(wanted.manifest.layers[0].digest) == data


@pytest.mark.parametrize("extra", [b"", b"x", b"x" * 1_000_000])
async def test_a_body_without_length(store: ContentStore, quick: Options, extra: bytes) -> None:
    """Old servers end a body by closing: more than promised is refused while it streams, not stored first."""
    wanted = image()
    data = layer_data(wanted)
    async with blob_server(wanted, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + data + extra) as server:
        reference = Reference.parse(f"{server.host}/a/b")
        if extra:
            with pytest.raises(IntegrityError, match="is longer than"):
                await pull(reference, store, options=quick)
            assert not os.listdir(store.paths.ingest)
        else:
            await pull(reference, store, options=quick)


async def test_a_body_without_length_that_ends_early(store: ContentStore, quick: Options) -> None:
    wanted = image()
    async with blob_server(wanted, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + layer_data(wanted)[:-7]) as server:
        with pytest.raises(IntegrityError, match=r"ends after \d+ of \d+ bytes"):
            await pull(Reference.parse(f"{server.host}/a/b"), store, options=quick)


async def test_an_encoded_blob_is_refused(store: ContentStore, quick: Options) -> None:
    wanted = image()
    answer = response(200, layer_data(wanted), Content_Encoding="gzip")
    async with blob_server(wanted, answer) as server:
        with pytest.raises(RegistryError, match="comes encoded"):
            await pull(Reference.parse(f"{server.host}/a/b"), store, options=quick)
