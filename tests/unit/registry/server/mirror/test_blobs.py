from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from holdall.oci.digest import Digest
from holdall.registry.server.access import Access
from holdall.registry.server.blobfiles import BlobFiles
from holdall.registry.server.mirror import fetch as fetching
from holdall.testing.images import random_image
from holdall.testing.mirrored import Gated, Mirrored, add_blob, add_manifest, mirrored
from holdall.testing.registry import RegistryServer
from holdall.testing.served import Answer, manifest

DATA = os.urandom(1_000_000)
SMALL = b"a small one"


@pytest.fixture
def up() -> Iterator[RegistryServer]:
    with RegistryServer() as upstream:
        add_blob(upstream, DATA)
        add_blob(upstream, SMALL)
        yield upstream


@pytest.fixture
async def mirror(tmp_path: Path, up: RegistryServer) -> AsyncIterator[Mirrored]:
    async with mirrored(str(tmp_path), up.host) as one:
        yield one


async def until(condition: Callable[[], object]) -> None:
    deadline = asyncio.get_running_loop().time() + 30
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


def kept(mirror: Mirrored, data: bytes, repository: str = "up/team/app") -> bool:
    return mirror.app.shelf.catalog.blob_size(repository, str(Digest.of(data))) == len(data)


@pytest.mark.parametrize("data", [DATA, SMALL])
async def test_a_blob_comes_once_and_is_kept(mirror: Mirrored, up: RegistryServer, data: bytes) -> None:
    digest = Digest.of(data)
    for _ in range(2):
        answer = await mirror.get(f"up/team/app/blobs/{digest}")
        assert answer.status == 200
        assert answer.body == data
        assert answer.headers["Docker-Content-Digest"] == str(digest)
        assert answer.headers["Content-Length"] == str(len(data))
        await until(lambda: kept(mirror, data))
    assert up.count("GET", "blobs") == 1
    assert (await mirror.head(f"up/team/app/blobs/{digest}")).headers["Content-Length"] == str(len(data))
    assert up.count("HEAD", "blobs") == 0
    assert mirror.mirroring.meters.total("mirror_bytes") == len(data)


async def test_head_tells_without_fetching(mirror: Mirrored, up: RegistryServer) -> None:
    answer = await mirror.head(f"up/team/app/blobs/{Digest.of(DATA)}")
    assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(DATA)))
    assert up.count("GET", "blobs") == 0
    none = Digest.of(b"none")
    for _ in range(2):
        assert (await mirror.head(f"up/team/app/blobs/{none}")).status == 404
        assert (await mirror.get(f"up/team/app/blobs/{none}")).codes == ["BLOB_UNKNOWN"]
    assert len([one for one in up.requests if str(none) in one.path]) == 1


async def test_who_may_push_hears_what_is_here(tmp_path: Path, up: RegistryServer) -> None:
    digest = Digest.of(SMALL)
    async with mirrored(str(tmp_path), up.host, "push = true") as mirror:
        assert (await mirror.head(f"up/team/app/blobs/{digest}")).status == 404
        assert await mirror.push("up/team/app", SMALL) == digest
        assert (await mirror.head(f"up/team/app/blobs/{digest}")).status == 200
        assert (await mirror.put("up/team/app/manifests/mine", manifest(digest, len(SMALL)))).status == 201
        assert (await mirror.get(f"up/team/app/blobs/{Digest.of(DATA)}")).body == DATA
    assert up.count("HEAD", "blobs") == 0


async def test_many_clients_are_one_fetch(mirror: Mirrored, up: RegistryServer) -> None:
    up.fail("stall", path="blobs", seconds=0.3)
    digest = Digest.of(DATA)
    answers = await asyncio.gather(*[mirror.get(f"up/team/app/blobs/{digest}") for _ in range(20)])
    assert all(answer.body == DATA for answer in answers)
    assert up.count("GET", "blobs") == 1


@pytest.mark.parametrize("length", [True, False])
async def test_clients_get_bytes_while_the_rest_is_fetched(tmp_path: Path, length: bool) -> None:
    async with (
        Gated(DATA, 600_000, length=length) as up,
        mirrored(str(tmp_path), up.host) as mirror,
        mirror.session.get(f"{mirror.url}/v2/up/x/blobs/{up.digest}") as response,
    ):
        start = await response.content.readexactly(500_000)
        assert response.headers.get("Content-Length") == (str(len(DATA)) if length else None)
        assert start == DATA[:500_000]
        assert not kept(mirror, DATA, "up/x")
        async with mirror.session.get(f"{mirror.url}/v2/up/x/blobs/{up.digest}") as late:
            assert await late.content.readexactly(500_000) == start
            up.gate.set()
            assert start + await response.content.read() == DATA
            assert start + await late.content.read() == DATA
        assert up.asked == 1


async def test_a_client_of_http_1_0_gets_a_blob_of_unknown_length(tmp_path: Path) -> None:
    async with Gated(DATA, 300_000, length=False) as up, mirrored(str(tmp_path), up.host) as mirror:
        up.gate.set()
        host, port = mirror.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /v2/up/x/blobs/{up.digest} HTTP/1.0\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/1.0 200")
    assert body == DATA


async def test_a_range_is_given_from_what_is_being_fetched(tmp_path: Path) -> None:
    async with Gated(DATA, 600_000) as up, mirrored(str(tmp_path), up.host) as mirror:
        whole = asyncio.create_task(mirror.get(f"up/x/blobs/{up.digest}"))
        answer = await mirror.get(f"up/x/blobs/{up.digest}", Range="bytes=1000-1999")
        assert (answer.status, answer.body) == (206, DATA[1000:2000])
        assert answer.headers["Content-Range"] == f"bytes 1000-1999/{len(DATA)}"
        rest = asyncio.create_task(mirror.get(f"up/x/blobs/{up.digest}", Range="bytes=-10"))
        up.gate.set()
        assert (await rest).body == DATA[-10:]
        assert (await whole).body == DATA
        assert (await mirror.get(f"up/x/blobs/{up.digest}", Range=f"bytes={len(DATA)}-")).status == 416
        assert up.asked == 1


async def test_a_client_that_leaves_does_not_end_the_fetch(tmp_path: Path) -> None:
    async with Gated(DATA, 600_000) as up, mirrored(str(tmp_path), up.host) as mirror:
        async with aiohttp.ClientSession() as session:
            response = await session.get(f"{mirror.url}/v2/up/x/blobs/{up.digest}")
            await response.content.readexactly(1_000)
            response.close()
        up.gate.set()
        await until(lambda: kept(mirror, DATA, "up/x"))
        assert (await mirror.get(f"up/x/blobs/{up.digest}")).body == DATA
        assert up.asked == 1


@pytest.mark.parametrize("size", [len(DATA), 10_000])
async def test_a_wrong_blob_reaches_nobody_whole_and_is_not_kept(tmp_path: Path, size: int) -> None:
    async with Gated(DATA[:size], 5_000, wrong=True) as up, mirrored(str(tmp_path), up.host) as mirror:
        up.gate.set()
        path = f"up/x/blobs/{up.digest}"
        if size > fetching.HELD:
            with pytest.raises(aiohttp.ClientPayloadError):
                await mirror.get(path)
        else:
            async with mirror.session.get(f"{mirror.url}/v2/{path}") as response:
                assert response.status in (200, 502)
                if response.status == 200:
                    with pytest.raises(aiohttp.ClientPayloadError):
                        await response.read()
        await until(lambda: not list(mirror.app.shelf.blobs.uploads()))
        assert not kept(mirror, DATA[:size], "up/x")
        assert not mirror.app.shelf.catalog.known(str(up.digest))
        assert "another digest" in mirror.complaints[0]


async def test_an_upstream_that_lies_about_the_length_is_not_believed(mirror: Mirrored, up: RegistryServer) -> None:
    digest = Digest.of(SMALL)
    raw = manifest(digest, len(SMALL) + 1)
    add_manifest(up, raw, "1")
    await mirror.get("up/team/app/manifests/1")
    assert (await mirror.get(f"up/team/app/blobs/{digest}")).status == 502
    up.fail("short", path="blobs", after=5)
    assert not kept(mirror, SMALL)


async def test_a_broken_connection_is_made_again_where_it_broke(mirror: Mirrored, up: RegistryServer) -> None:
    up.fail("early-close", path="blobs", after=400_000)
    assert (await mirror.get(f"up/team/app/blobs/{Digest.of(DATA)}")).body == DATA
    ranges = [one.headers.get("Range", "") for one in up.requests if one.method == "GET"]
    assert len(ranges) == 2
    assert ranges[1].startswith("bytes=")
    await until(lambda: kept(mirror, DATA))


async def test_an_upstream_without_ranges_gives_it_from_the_start(mirror: Mirrored, up: RegistryServer) -> None:
    up.fail("early-close", path="blobs", after=400_000)
    up.fail("no-range", path="blobs")
    assert (await mirror.get(f"up/team/app/blobs/{Digest.of(DATA)}")).body == DATA


async def killed(mirror: Mirrored, up: Gated, least: int = 500_000) -> str:
    """A worker that fetched is gone with its connections; the upload that it left."""
    blobs = mirror.app.shelf.blobs
    first = asyncio.create_task(mirror.get(f"up/x/blobs/{up.digest}"))
    await until(lambda: list(blobs.uploads()))
    (upload,) = blobs.uploads()
    await until(lambda: (blobs.offset(upload) or 0) >= least)
    await until(lambda: up.asked)
    await mirror.mirroring.close()
    (end,) = await asyncio.gather(first, return_exceptions=True)
    assert isinstance(end, aiohttp.ClientPayloadError) or (isinstance(end, Answer) and end.status == 503)
    return upload


async def follower(mirror: Mirrored, up: Gated) -> asyncio.Task[Answer]:
    """A request that reads along with another process."""
    task = asyncio.create_task(mirror.get(f"up/x/blobs/{up.digest}"))
    await until(lambda: any(one._file for one in mirror.mirroring._blobs._coming.values()))
    return task


async def test_another_process_is_followed_and_replaced_when_it_ends(tmp_path: Path) -> None:
    async with Gated(DATA, 600_000) as up, mirrored(str(tmp_path), up.host) as mirror:
        upload = await killed(mirror, up)
        other = BlobFiles(f"{tmp_path}/storage").take(upload)
        assert other is not None
        with other:
            second = asyncio.create_task(mirror.get(f"up/x/blobs/{up.digest}"))
            async with mirror.session.get(f"{mirror.url}/v2/up/x/blobs/{up.digest}") as response:
                assert await response.content.readexactly(1_000) == DATA[:1_000]
                assert up.asked == 1
                # the one that is followed writes on, and dies
                other.write(DATA[other.offset : 700_000])
                assert await response.content.readexactly(600_000) == DATA[1_000:601_000]
                other.__exit__(None, None, None)
                up.gate.set()
                assert await response.content.read() == DATA[601_000:]
        assert (await second).body == DATA
        assert up.ranges[1:] == ["bytes=700000-"]


async def test_a_blob_that_another_process_finished_is_given(tmp_path: Path) -> None:
    async with Gated(DATA, 600_000) as up, mirrored(str(tmp_path), up.host) as mirror:
        blobs, catalog = mirror.app.shelf.blobs, mirror.app.shelf.catalog
        upload = await killed(mirror, up)
        other = blobs.take(upload)
        assert other is not None
        with other:
            follower = asyncio.create_task(mirror.get(f"up/x/blobs/{up.digest}"))
            await asyncio.sleep(0.2)
            other.write(DATA[other.offset :])
            other.sync(up.digest)
            catalog.place("up/x", str(up.digest), len(DATA), 1e12, lambda: other.keep(up.digest))
        assert (await follower).body == DATA
        assert up.asked == 1


@pytest.mark.parametrize("wrong", [False, True])
async def test_what_another_process_threw_away_is_not_given(tmp_path: Path, wrong: bool) -> None:
    async with Gated(DATA, 600_000 if wrong else 0) as up, mirrored(str(tmp_path), up.host) as mirror:
        upload = await killed(mirror, up, 500_000 if wrong else 0)
        other = BlobFiles(f"{tmp_path}/storage").take(upload)
        assert other is not None
        with other:
            following = await follower(mirror, up)
            if wrong:
                other.write(b"x" * (len(DATA) - other.offset))
                await until(lambda: all(one.readable > 900_000 for one in mirror.mirroring._blobs._coming.values()))
            other.discard()
        up.gate.set()
        if wrong:
            with pytest.raises(aiohttp.ClientPayloadError):
                await following
        else:
            assert (await following).body == DATA
        assert (await mirror.get(f"up/x/blobs/{up.digest}")).body == DATA


async def test_what_a_killed_worker_left_wrong_is_thrown_away(tmp_path: Path) -> None:
    async with Gated(DATA, 600_000) as up, mirrored(str(tmp_path), up.host) as mirror:
        blobs = mirror.app.shelf.blobs
        upload = await killed(mirror, up)
        with blobs.take(upload) as writing:  # type: ignore[union-attr]
            writing.write(b"x" * (len(DATA) - 5 - writing.offset))
        up.gate.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await mirror.get(f"up/x/blobs/{up.digest}")
        await until(lambda: not list(blobs.uploads()))
        assert (await mirror.get(f"up/x/blobs/{up.digest}")).body == DATA


async def test_repositories_of_one_upstream_share_a_blob(mirror: Mirrored, up: RegistryServer) -> None:
    digest = Digest.of(DATA)
    await mirror.get(f"up/team/app/blobs/{digest}")
    await until(lambda: kept(mirror, DATA))
    assert (await mirror.get(f"up/other/blobs/{digest}")).body == DATA
    assert up.count("GET", "blobs") == 1


async def test_a_private_blob_is_not_shared_with_a_mirror(mirror: Mirrored) -> None:
    secret = await mirror.push("private", b"secret")
    assert (await mirror.get(f"up/team/app/blobs/{secret}")).status == 404
    assert (await mirror.head(f"up/team/app/blobs/{secret}")).status == 404


async def test_an_image_comes_whole_and_survives_collection(mirror: Mirrored, up: RegistryServer) -> None:
    from holdall.registry.server.fsck import Check
    from holdall.registry.server.garbage import Collector

    image = random_image(seed=4, layers=3)
    up.store.add_image("team/app", "1", image)
    await mirror.get("up/team/app/manifests/1")
    layer = image.manifest.layers[0]
    data = (await mirror.get(f"up/team/app/blobs/{layer.digest}")).body
    await until(lambda: kept(mirror, data))
    catalog, blobs = mirror.app.shelf.catalog, mirror.app.shelf.blobs
    assert not list(Check(catalog, blobs).problems())
    with catalog._writing() as db:  # type: ignore[attr-defined]
        db.execute("UPDATE links SET leased = 1")
    for _ in Collector(catalog, blobs, untagged=0.0).steps():
        pass
    assert kept(mirror, data)


async def test_pulls_need_the_right_to_the_name_here(tmp_path: Path, up: RegistryServer) -> None:
    (tmp_path / "access.toml").write_text(
        'htpasswd = "users"\n[[rule]]\nrepositories = ["up/team/**"]\nusers = ["anonymous"]\nactions = ["pull"]\n'
    )
    (tmp_path / "users").write_text("")
    access = Access(access=str(tmp_path / "access.toml"))
    async with mirrored(str(tmp_path), up.host, access=access) as mirror:
        digest = Digest.of(SMALL)
        assert (await mirror.get(f"up/team/app/blobs/{digest}")).status == 200
        assert (await mirror.get(f"up/other/blobs/{digest}")).status == 401
        assert (await mirror.get(f"other/blobs/{digest}?ns=up.example")).status == 401
        assert (await mirror.get(f"team/app/blobs/{digest}?ns=up.example")).status == 200
