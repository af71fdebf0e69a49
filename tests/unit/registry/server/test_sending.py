from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.registry.server import sending

if TYPE_CHECKING:
    from holdall.testing.served import Server


async def _reader(server: Server, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 16)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert b"200" in await reader.readline()
    return reader, writer


@pytest.fixture
async def large(server: Server) -> str:
    """The path of a blob that no socket's buffers take at once; all zeros but the last byte."""
    from holdall.oci.digest import Digest

    data = bytes(64 << 20) + b"\1"
    digest = Digest.of(data)
    blobs = server.app.shelf.blobs
    path = Path(blobs.path(digest))  # type: ignore[attr-defined]
    path.parent.mkdir()
    path.write_bytes(data)
    server.app.shelf.catalog.place("a", str(digest), len(data), 1e12, lambda: None)
    return f"/v2/a/blobs/{digest}"


async def test_a_large_blob_comes_whole(server: Server, large: str) -> None:
    answer = await server.ask("GET", large)
    assert len(answer.body) == (64 << 20) + 1
    assert answer.body.endswith(b"\0\1")
    answer = await server.ask("GET", large, headers={"Range": "bytes=67108860-"})
    assert answer.body == b"\0\0\0\0\1"


async def test_a_reader_that_takes_nothing_is_cut_off(
    server: Server, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "LOOK_SECONDS", 0.1)
    reader, writer = await _reader(server, large)
    for _ in range(200):
        if not server.app.busy:
            break
        await asyncio.sleep(0.02)
    assert not server.app.busy
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(64 << 20)
    writer.close()


async def test_a_file_that_was_cut_ends_the_connection(server: Server, large: str) -> None:
    digest = large.rpartition("/")[2]
    blobs = server.app.shelf.blobs
    from holdall.oci.digest import Digest

    os.truncate(blobs.path(Digest.parse(digest)), 1000)  # type: ignore[attr-defined]
    reader, writer = await _reader(server, large)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(64 << 20)
    writer.close()
    assert not [name for name in os.listdir("/proc/self/fd") if _is(name, digest[7:])]


def _is(name: str, encoded: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{name}").endswith(encoded)
    except OSError:
        return False


async def test_a_disk_that_fails_ends_the_answer_it_has_begun(
    server: Server, large: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    really = os.sendfile

    def broken(to: int, file: int, offset: int, count: int) -> int:
        if offset:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really(to, file, offset, min(count, 1_000))

    monkeypatch.setattr(sending.os, "sendfile", broken)
    reader, writer = await _reader(server, large)
    await reader.readuntil(b"\r\n\r\n")
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            found += data
    writer.close()
    assert not found.strip(b"\0")
    server.app.log.flush()
    assert "Input/output error" in (tmp_path / "access.log").read_text()
