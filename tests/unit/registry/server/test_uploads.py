from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import pytest

from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.registry.server import receiving, uploads
from holdall.registry.server.blobfiles import FileWriting
from holdall.registry.server.garbage import Collector
from holdall.testing.served import manifest

if TYPE_CHECKING:
    from holdall.testing.served import Server

DATA = os.urandom(200_000)
DIGEST = Digest.of(DATA)


async def begin(server: Server, query: str = "") -> str:
    answer = await server.ask("POST", f"/v2/a/b/blobs/uploads/{query}")
    assert answer.status == 202
    assert answer.headers["Range"] == "0-0"
    assert answer.headers["Docker-Upload-UUID"] in answer.headers["Location"]
    return answer.headers["Location"]


async def patch(server: Server, place: str, first: int, data: bytes) -> int:
    headers = {"Content-Range": f"{first}-{first + len(data) - 1}"}
    return (await server.ask("PATCH", place, data, headers)).status


async def pulled(server: Server, digest: Digest = DIGEST) -> bytes:
    answer = await server.ask("GET", f"/v2/a/b/blobs/{digest}")
    assert answer.status == 200
    return answer.body


async def test_post_then_put(server: Server) -> None:
    place = await begin(server)
    answer = await server.ask("PUT", f"{place}?digest={DIGEST}", DATA)
    assert answer.status == 201
    assert answer.headers["Location"] == f"/v2/a/b/blobs/{DIGEST}"
    assert answer.headers["Docker-Content-Digest"] == str(DIGEST)
    assert await pulled(server) == DATA
    assert (await server.ask("GET", place)).status == 404


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_one_post(server: Server, algorithm: str) -> None:
    digest = await server.push("a/b", DATA, algorithm)
    assert await pulled(server, digest) == DATA


async def test_one_post_with_another_digest_leaves_nothing(server: Server) -> None:
    answer = await server.ask("POST", f"/v2/a/b/blobs/uploads/?digest={DIGEST}", DATA[1:])
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    assert list(server.app.shelf.blobs.uploads()) == []


async def test_an_empty_blob(server: Server) -> None:
    assert await pulled(server, await server.push("a/b", b"")) == b""


async def test_chunks_with_the_last_in_the_put(server: Server) -> None:
    place = await begin(server)
    assert await patch(server, place, 0, DATA[:70_000]) == 202
    answer = await server.ask("GET", place)
    assert (answer.status, answer.headers["Range"]) == (204, "0-69999")
    assert await patch(server, place, 70_000, DATA[70_000:70_001]) == 202
    answer = await server.ask(
        "PUT", f"{place}?digest={DIGEST}", DATA[70_001:], {"Content-Range": f"70001-{len(DATA) - 1}"}
    )
    assert answer.status == 201
    assert await pulled(server) == DATA


async def test_a_stream_without_ranges(server: Server) -> None:
    async def pieces() -> object:
        for at in range(0, len(DATA), 9_999):
            yield DATA[at : at + 9_999]

    place = await begin(server)
    answer = await server.ask("PATCH", place, pieces())
    assert (answer.status, answer.headers["Range"]) == (202, f"0-{len(DATA) - 1}")
    assert (await server.ask("PUT", f"{place}?digest={DIGEST}")).status == 201
    assert await pulled(server) == DATA


async def test_sha512_in_chunks_whether_said_before_or_not(server: Server) -> None:
    digest = Digest.of(DATA, "sha512")
    for query in ("", "?digest-algorithm=sha512"):
        place = await begin(server, query)
        assert await patch(server, place, 0, DATA) == 202
        assert (await server.ask("PUT", f"{place}?digest={digest}")).status == 201


async def test_chunks_out_of_order_are_refused_and_change_nothing(server: Server) -> None:
    place = await begin(server)
    assert await patch(server, place, 0, DATA[:100]) == 202
    for first in (0, 50, 101, 5_000):
        answer = await server.ask("PATCH", place, DATA[:10], {"Content-Range": f"{first}-{first + 9}"})
        assert (answer.status, answer.codes) == (416, ["RANGE_INVALID"])
        assert answer.headers["Range"] == "0-99"
        assert answer.headers["Location"] == place
    assert (await server.ask("GET", place)).headers["Range"] == "0-99"


@pytest.mark.parametrize(
    ("stated", "code"), [("x", 400), ("1", 400), ("5-4", 416), ("0-5", 400), ("0-50", 400), ("0--1", 400)]
)
async def test_ranges_that_make_no_sense(server: Server, stated: str, code: int) -> None:
    place = await begin(server)
    answer = await server.ask("PATCH", place, DATA[:10], {"Content-Range": stated})
    assert answer.status == code
    assert (await server.ask("GET", place)).headers["Range"] == "0-0"


async def test_a_wrong_digest_ends_the_upload(server: Server) -> None:
    place = await begin(server)
    assert await patch(server, place, 0, DATA[1:]) == 202
    answer = await server.ask("PUT", f"{place}?digest={DIGEST}")
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    assert (await server.ask("GET", place)).codes == ["BLOB_UPLOAD_UNKNOWN"]
    assert (await server.ask("HEAD", f"/v2/a/b/blobs/{DIGEST}")).status == 404
    assert list(server.app.shelf.blobs.uploads()) == []


@pytest.mark.parametrize("digest", ["", "sha256:x", "md5:00", "x"])
async def test_put_needs_a_digest(server: Server, digest: str) -> None:
    answer = await server.ask("PUT", f"{await begin(server)}?digest={digest}")
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


async def test_an_upload_belongs_to_its_repository(server: Server) -> None:
    place = (await begin(server)).replace("/a/b/", "/a/c/")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        assert (await server.ask(method, f"{place}?digest={DIGEST}")).codes == ["BLOB_UPLOAD_UNKNOWN"]


async def test_a_cancelled_upload_is_gone(server: Server) -> None:
    place = await begin(server)
    assert (await server.ask("DELETE", place)).status == 204
    assert (await server.ask("DELETE", place)).status == 404
    assert (await server.ask("PATCH", place, b"x")).status == 404


async def test_an_upload_goes_on_after_the_hashes_are_lost(server: Server) -> None:
    place = await begin(server)
    assert await patch(server, place, 0, DATA[:100_000]) == 202
    server.app._hashes._kept.clear()
    assert await patch(server, place, 100_000, DATA[100_000:]) == 202
    server.app._hashes._kept.clear()
    assert (await server.ask("PUT", f"{place}?digest={DIGEST}")).status == 201
    assert await pulled(server) == DATA


async def test_what_came_before_a_broken_connection_stays(server: Server) -> None:
    place = await begin(server)
    host, port = server.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n\r\n"
    writer.write(head.encode() + DATA[:123_456])
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.transport.abort()
    for _ in range(100):
        answer = await server.ask("GET", place)
        if answer.headers["Range"] == "0-123455":
            break
        await asyncio.sleep(0.02)
    assert await patch(server, place, 123_456, DATA[123_456:]) == 202
    assert (await server.ask("PUT", f"{place}?digest={DIGEST}")).status == 201


async def test_two_writers_at_once_are_kept_apart(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "HOLD_SECONDS", 0.1)
    place = await begin(server)
    held = server.app.shelf.blobs.take(place.rpartition("/")[2])
    assert held is not None
    with held:
        answer = await server.ask("PATCH", place, b"x")
    assert (answer.status, answer.codes) == (409, ["BLOB_UPLOAD_INVALID"])
    assert (await server.ask("PATCH", place, b"x")).status == 202


async def test_mount(server: Server) -> None:
    digest = await server.push("source", DATA)
    answer = await server.ask("POST", f"/v2/target/blobs/uploads/?mount={digest}&from=source")
    assert (answer.status, answer.headers["Location"]) == (201, f"/v2/target/blobs/{digest}")
    assert (await server.ask("HEAD", f"/v2/target/blobs/{digest}")).status == 200
    assert (await server.ask("POST", f"/v2/other/blobs/uploads/?mount={digest}")).status == 201


async def test_mount_of_what_is_not_there_opens_an_upload(server: Server) -> None:
    for query in (f"?mount={DIGEST}&from=source", f"?mount={DIGEST}", f"?mount={DIGEST}&from=../x"):
        assert (await server.ask("POST", f"/v2/target/blobs/uploads/{query}")).status == 202
    assert (await server.ask("POST", "/v2/target/blobs/uploads/?mount=x")).status == 400


async def test_too_large_a_blob_is_refused_before_and_while_it_comes(server: Server) -> None:
    limit = 8 << 20

    async def pieces() -> object:
        for _ in range(20):
            yield bytes(1 << 20)

    place = await begin(server)
    assert (await server.ask("PATCH", place, bytes(limit + 1))).status == 413
    place = await begin(server)
    assert (await server.ask("PATCH", place, pieces())).status == 413
    place = await begin(server)
    assert (await server.ask("PATCH", place, bytes(limit))).status == 202


async def test_a_body_that_does_not_come_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "IDLE_SECONDS", 0.1)
    place = await begin(server)
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc".encode())
    line = await reader.readline()
    assert b"408" in line
    writer.close()
    assert (await server.ask("GET", place)).headers["Range"] == "0-2"


async def test_a_full_disk_is_507_and_the_upload_can_go_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    place = await begin(server)
    assert await patch(server, place, 0, DATA[:1000]) == 202

    def full(self: FileWriting, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(FileWriting, "write", full)
        answer = await server.ask("PATCH", place, DATA[1000:])
    assert (answer.status, answer.codes) == (507, ["UNKNOWN"])
    assert await patch(server, place, 1000, DATA[1000:]) == 202
    assert (await server.ask("PUT", f"{place}?digest={DIGEST}")).status == 201
    assert await pulled(server) == DATA


async def test_expect_continue_is_answered(server: Server) -> None:
    place = await begin(server)
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"PUT {place}?digest={DIGEST} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(DATA)}\r\n"
    writer.write(head.encode() + b"\r\n")
    assert b"100 Continue" in await reader.readline()
    assert await reader.readline() == b"\r\n"
    writer.write(DATA)
    assert b"201 Created" in await reader.readline()
    writer.close()


async def test_a_client_of_http_1_0_is_not_told_to_continue(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v2/a/b/blobs/uploads/?digest={DIGEST} HTTP/1.0\r\nExpect: 100-continue\r\n"
    writer.write(f"{head}Content-Length: {len(DATA)}\r\n\r\n".encode() + DATA)
    assert b"201 Created" in await reader.readline()
    writer.close()


async def test_a_compressed_body_is_stored_as_it_is(server: Server) -> None:
    import gzip

    packed = gzip.compress(DATA)
    digest = Digest.of(packed)
    answer = await server.ask("POST", f"/v2/a/b/blobs/uploads/?digest={digest}", packed, {"Content-Encoding": "gzip"})
    assert answer.status == 201
    assert await pulled(server, digest) == packed


async def test_a_push_may_take_longer_than_a_lease(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [time.time()]
    monkeypatch.setattr(uploads.time, "time", lambda: clock[0])
    shelf = server.app.shelf

    def collect() -> list[str]:
        return [one.name for step in Collector(shelf.catalog, shelf.blobs).steps() for one in step]

    async def finish(where: str, data: bytes) -> Digest:
        assert (await server.ask("PUT", f"{where}?digest={Digest.of(data)}", data)).status == 201
        return Digest.of(data)

    config = await finish(await begin(server), b"{}")
    first = await begin(server)
    clock[0] += 5_000
    assert collect() == []
    layer = await finish(first, b"first")
    second = await begin(server)
    clock[0] += 5_000
    assert collect() == []
    await finish(second, b"second")
    layers = [{"mediaType": mediatype.OCI_LAYER, "digest": str(layer), "size": 5}]
    assert (await server.put("a/b/manifests/1", manifest(config, 2, layers=layers))).status == 201
    clock[0] += 5_000
    assert f"a/b@{Digest.of(b'second')}" in collect()
