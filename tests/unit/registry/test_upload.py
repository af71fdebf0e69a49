"""Uploads that outlive their process, come from elsewhere, or go to registries that want no chunks."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pytest

from holdall.errors import BlobNotFound, IntegrityError
from holdall.events import Event
from holdall.image.image import Image
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.registry import upload as module
from holdall.registry.credential import Credential, Fixed
from holdall.registry.options import MIN_CHUNK, Options
from holdall.registry.push import BlobsMissing, push
from holdall.testing.images import blobs_of, random_image
from holdall.testing.registry import RegistryServer

BIG = 400_000


def big_image(seed: int = 9) -> Image:
    return random_image(seed=seed, layers=1, files=1, size=BIG)


def ref(server: RegistryServer, rest: str = "team/app:1") -> Reference:
    return Reference.parse(f"{server.host}/{rest}")


def check_whole(server: RegistryServer, image: Image, name: str = "team/app") -> None:
    stored = server.store.repository(name)
    assert stored.tags["1"] == str(image.digest)
    for layer in image.manifest.layers:
        assert stored.blobs[str(layer.digest)] == blobs_of(image)[layer.digest]


class Notes:
    """UploadNotes in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: dict[Digest, str] = {}
        self.history: list[str] = []
        self.busy = 0

    def begin(self, digest: Digest, repository: str) -> Note | None:
        if self.busy:
            self.busy -= 1
            return None
        return Note(self, digest)


class Note:
    def __init__(self, notes: Notes, digest: Digest) -> None:
        self._notes = notes
        self._digest = digest
        self.fd = os.open(notes.folder / digest.encoded, os.O_RDWR | os.O_CREAT)

    @property
    def location(self) -> str:
        return self._notes.kept.get(self._digest, "")

    def keep(self, location: str) -> None:
        self._notes.kept[self._digest] = location
        self._notes.history.append(location)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)


class Known:
    """BlobOrigins in memory."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.noted: list[tuple[Digest, str]] = []

    def of(self, _digest: Digest) -> Sequence[str]:
        return self.names

    def note(self, digest: Digest, repository: str) -> None:
        self.noted.append((digest, repository))

    def forget(self, digest: Digest, repository: str) -> None:
        self.names = tuple(one for one in self.names if one != repository)


class Without:
    """An image's source that has lost its layers."""

    def __init__(self, image: Image, *lost: Digest) -> None:
        self._image = image
        self._lost = lost or tuple(one.digest for one in image.manifest.layers)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        if descriptor.digest in self._lost:
            raise BlobNotFound("gone")
        return self._image.source.open(descriptor)


@pytest.fixture
def chunked(quick: Options) -> Options:
    return replace(quick, upload_chunk=MIN_CHUNK, concurrency=2)


async def test_by_courier_in_chunks(chunked: Options, tmp_path: Path) -> None:
    image, notes, origins = big_image(), Notes(tmp_path), Known()
    with RegistryServer() as server:
        await push(image, ref(server), notes=notes, origins=origins, options=chunked)
        check_whole(server, image)
        patches = [one for one in server.requests if one.method == "PATCH"]
        assert len(patches) == (image.manifest.layers[0].size - 1) // MIN_CHUNK
        assert all(int(one.headers["Content-Length"]) == MIN_CHUNK for one in patches)
    assert notes.history[-1] == ""
    assert len(notes.history) == len(patches) + 2
    assert sorted(origins.noted, key=str) == sorted(
        ((one.digest, f"{server.host}/team/app") for one in (*image.manifest.layers, image.manifest.config)), key=str
    )


@pytest.mark.parametrize("auth", ["basic", "token"])
async def test_the_courier_is_logged_in(chunked: Options, tmp_path: Path, auth: str) -> None:
    image = big_image()
    with RegistryServer(auth=auth, users={"ann": "secret"}) as server:
        options = replace(chunked, credentials=Fixed(Credential("ann", "secret")))
        server.fail("status", method="PATCH", path="/uploads/", status=401)
        await push(image, ref(server), notes=Notes(tmp_path), options=options)
        check_whole(server, image)


@pytest.mark.parametrize("kind", ["close", "status", "cut-upload"])
async def test_the_courier_meets_trouble(chunked: Options, tmp_path: Path, kind: str) -> None:
    image = big_image()
    with RegistryServer() as server:
        server.fail(kind, method="PATCH", path="/uploads/", status=503, after=20_000, times=2)
        await push(image, ref(server), notes=Notes(tmp_path), options=chunked)
        check_whole(server, image)


async def test_goes_on_where_another_process_stopped(chunked: Options, tmp_path: Path) -> None:
    image, notes = big_image(), Notes(tmp_path)
    layer = image.manifest.layers[0]
    data = blobs_of(image)[layer.digest]
    with RegistryServer() as server:
        upload = server.store.new_upload()
        server.store.uploads[upload] += data[:250_001]
        notes.kept[layer.digest] = f"{server.url}/v2/team/app/blobs/uploads/{upload}"
        await push(image, ref(server), notes=notes, options=chunked)
        check_whole(server, image)
        sent = [one.headers["Content-Range"] for one in server.requests if one.method == "PATCH"]
        assert sent[0].startswith("250001-")
        assert server.count("POST") == 1, "for the configuration"


async def test_begins_anew_where_the_registry_has_forgotten(chunked: Options, tmp_path: Path) -> None:
    image, notes = big_image(), Notes(tmp_path)
    with RegistryServer() as server:
        notes.kept[image.manifest.layers[0].digest] = f"{server.url}/v2/team/app/blobs/uploads/gone"
        await push(image, ref(server), notes=notes, options=chunked)
        check_whole(server, image)


async def test_waits_for_another_process(chunked: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, notes = big_image(), Notes(tmp_path)
    notes.busy = 2
    with RegistryServer() as server:
        await push(image, ref(server), notes=notes, options=chunked)
        check_whole(server, image)
    assert notes.history
    monkeypatch.setattr(module, "NOTE_SECONDS", 0.3)
    notes, notes.busy = Notes(tmp_path), 99
    with RegistryServer() as server:
        await push(image, ref(server), notes=notes, options=chunked)
        check_whole(server, image)
    assert not notes.history, "on its own, without a note"


@pytest.mark.parametrize("status", [400, 405, 413, 501])
async def test_a_registry_without_chunks_gets_the_blob_whole(chunked: Options, tmp_path: Path, status: int) -> None:
    image = big_image()
    with RegistryServer() as server:
        server.fail("status", method="PATCH", path="/uploads/", status=status, times=-1)
        await push(image, ref(server), notes=Notes(tmp_path), options=chunked)
        check_whole(server, image)


async def test_a_courier_that_dies_is_done_without(
    chunked: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdall.registry.courier_start.BOOT", "raise SystemExit(1)")
    image = big_image()
    with RegistryServer() as server:
        await push(image, ref(server), notes=Notes(tmp_path), options=chunked)
        check_whole(server, image)


async def test_a_courier_that_is_gone_at_once_is_closed(
    chunked: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[socket.socket] = []

    def start() -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.close()
        begun.append(ours)
        return ours

    monkeypatch.setattr("holdall.registry.courier.start", start)
    image = big_image()
    with RegistryServer() as server:
        await push(image, ref(server), notes=Notes(tmp_path), options=chunked)
        check_whole(server, image)
    assert [one.fileno() for one in begun] == [-1]


@pytest.mark.parametrize("courier", [False, True])
async def test_lost_bytes_come_from_another_registry(chunked: Options, tmp_path: Path, courier: bool) -> None:
    image, notes = big_image(), Notes(tmp_path)
    lost = replace(image, source=Without(image))
    with RegistryServer() as origin, RegistryServer() as server:
        origin.store.add_image("base/image", "1", image)
        origin.fail("short", method="GET", path="/blobs/", after=100_000)
        origins = Known("nowhere.invalid.example:1/x", f"{origin.host}/no/such", f"{origin.host}/base/image")
        await push(lost, ref(server), origins=origins, notes=notes if courier else None, options=chunked)
        check_whole(server, image)


async def test_lost_bytes_are_mounted_within_a_registry(chunked: Options) -> None:
    image, events = big_image(), list[Event]()
    with RegistryServer() as server:
        server.store.add_image("base/image", "1", image)
        origins = Known(f"{server.host}/no/such", f"{server.host}/base/image")
        lost = replace(image, source=Without(image))
        await push(lost, ref(server), origins=origins, options=chunked, reporter=events.append)
        check_whole(server, image)
    assert "mounted" in {event.action for event in events}


async def test_wrong_bytes_from_another_registry_never_arrive(chunked: Options) -> None:
    image = big_image()
    digest = str(image.manifest.layers[0].digest)
    with RegistryServer() as origin, RegistryServer() as server:
        origin.store.add_image("base/image", "1", image)
        origin.store.repository("base/image").blobs[digest] = bytes(image.manifest.layers[0].size)
        lost = replace(image, source=Without(image))
        with pytest.raises(IntegrityError, match="other bytes"):
            await push(lost, ref(server), origins=Known(f"{origin.host}/base/image"), options=chunked)
        assert digest not in server.store.repository("team/app").blobs


async def test_all_that_is_missing_is_named_and_the_rest_is_sent(chunked: Options) -> None:
    image = random_image(layers=3)
    lost = tuple(one.digest for one in image.manifest.layers[:2])
    with RegistryServer() as server:
        with pytest.raises(BlobsMissing) as caught:
            await push(replace(image, source=Without(image, *lost)), ref(server), origins=Known(), options=chunked)
        assert sorted(map(str, caught.value.digests)) == sorted(map(str, lost))
        assert str(image.manifest.layers[2].digest) in server.store.repository("team/app").blobs
        assert not server.store.repository("team/app").manifests


async def test_a_push_that_is_given_up_leaves_no_thread_and_no_process(chunked: Options, tmp_path: Path) -> None:
    image, notes = big_image(), Notes(tmp_path)
    with RegistryServer() as server:
        server.fail("stall", method="PATCH", path="/uploads/", seconds=0.5, times=-1)
        task = asyncio.create_task(push(image, ref(server), notes=notes, options=chunked))
        while not server.count("POST"):  # noqa: ASYNC110  (the server is in another thread)
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await push(image, ref(server), notes=notes, options=replace(chunked, upload_chunk=0))
        check_whole(server, image)
