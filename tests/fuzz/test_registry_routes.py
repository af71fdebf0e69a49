"""Any request gets an answer of the kind the specification knows, and the server is whole afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path

import pytest

from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.registry.server.access import Access
from holdall.registry.server.fsck import Check
from holdall.registry.server.refusal import STATUS
from holdall.testing.served import Server, manifest, served

REQUESTS = 60_000 if os.environ.get("HOLDALL_SOAK") == "1" else 600
METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS")
NAMES = ("a", "a/b", "A", "..", "%2e%2e", "a%2Fb", "a%00", "", "%ff", "é", "a" * 300, "v2", "blobs", "a//b", "%0a")
FORMS = (b"grant_type=password&username=a&password=b", b"grant_type=refresh_token&refresh_token=a.b.c", b"a=%ff&&;")
BYTES = (*FORMS, b"", b"{}", b"{", b"\0" * 1000, b'{"schemaVersion":2}', manifest(Digest.of(b"{}"), 2), b"[" * 10_000)
NUMBERS = ("0", "1", "-1", "99999999999999999999", "x", "", "1.5", "%00")
HEADERS = {
    "Content-Range": ("0-1", "1-0", "x", "bytes 0-5/6", "0-99999999999999999999", "-", "0-"),
    "Range": ("bytes=0-", "bytes=-1", "bytes=9-1", "x", "bytes=0-1,2-3", "bytes=99999999999999999999-"),
    "Content-Type": (mediatype.OCI_MANIFEST, mediatype.OCI_INDEX, "text/plain", "x" * 1000, ";"),
    "If-None-Match": ("*", '"x"', '""', ",,,"),
    "Accept": ("*/*", "text/html", "x"),
    "Authorization": ("Basic", "Basic !", "Bearer x", "Basic Og=="),
    "Content-Encoding": ("gzip", "deflate", "br"),
    "Expect": ("100-continue", "x"),
}  # fmt: skip


class Source:
    """Requests made up from a seed, among them many that make sense."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.places: list[str] = ["/v2/a/blobs/uploads/0e3d4c5b-0000-4000-8000-00000000000a"]

    def digest(self) -> str:
        one = self._random
        return one.choice([*(str(Digest.of(data)) for data in BYTES), "sha256:x", "md5:0", "sha512:" + "0" * 128, ""])

    def path(self) -> str:
        one = self._random
        name = one.choice(NAMES[:2]) if one.random() < 0.7 else one.choice(NAMES)
        tag = one.choice(("1", "latest", "-", "x" * 200, "%2e", self.digest()))
        path = one.choice(
            (
                "/v2/", "/v2/_catalog", f"/v2/{name}/tags/list", f"/v2/{name}/manifests/{tag}",
                f"/v2/{name}/blobs/{self.digest()}", f"/v2/{name}/blobs/uploads/",
                f"/v2/{name}/referrers/{self.digest()}",
                one.choice(self.places), f"/{name}", "/metrics", "/healthz", f"/v2/{name}", "/token",
            )
        )  # fmt: skip
        query = [
            f"{key}={one.choice(values)}"
            for key, values in (
                ("digest", (self.digest(), self.digest())), ("mount", (self.digest(),)), ("from", NAMES),
                ("n", NUMBERS), ("last", NAMES), ("artifactType", ("a/b", "%00", "")), ("tag", ("1", "-", "x")),
                ("digest-algorithm", ("sha256", "sha512", "md5")), ("after", NUMBERS),
                ("scope", ("repository:a:pull", "x", "repository:a:*%20registry:catalog:*", "%ff")),
            )
            if one.random() < 0.2
        ]  # fmt: skip
        return path + ("?" + "&".join(query) if query else "")

    def request(self) -> tuple[str, str, bytes | None, dict[str, str]]:
        one = self._random
        headers = {key: one.choice(values) for key, values in HEADERS.items() if one.random() < 0.15}
        body = one.choice(BYTES) if one.random() < 0.6 else None
        if body is None:
            headers.pop("Expect", None)
        return one.choice(METHODS), self.path().encode("ascii", "ignore").decode(), body, headers


@pytest.mark.parametrize(("seed", "tokens"), [(0, False), (1, False), (2, True)])
async def test_every_request_has_a_sane_answer(tmp_path: Path, seed: int, tokens: bool) -> None:
    source = Source(seed)
    async with served(str(tmp_path), Access(tokens=tokens, anonymous_pull=tokens)) as server:
        for _ in range(REQUESTS // 3):
            method, path, body, headers = source.request()
            if headers.get("Expect") == "x":
                del headers["Expect"]
            answer = await server.ask(method, path, body, headers)
            assert answer.status < 500, (method, path, headers, answer.body)
            if answer.status >= 400 and method != "HEAD":
                errors = json.loads(answer.body)["errors"]
                assert errors
                assert all(one["code"] in STATUS for one in errors)
            place = answer.headers.get("Location", "")
            if answer.status == 202 and "/uploads/" in place:
                source.places = [*source.places[-20:], place]
        assert (await server.ask("GET", "/v2/")).status == (401 if tokens else 200)
        found = Check(server.app.shelf.catalog, server.app.shelf.blobs).problems()
        # a client may delete a blob that a manifest names, nothing else may be amiss
        assert [one for one in found if "is not in the repository" not in one.what] == []


LINES = (
    b"GET / HTTP/1.1\r\n\r\n", b"GET /v2/ HTTP/9.9\r\n\r\n", b"\r\n\r\n", b"\0" * 100, b"GET " + b"/" * 100_000,
    b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"PATCH /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
    b"GET /v2/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET http://other/v2/ HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
)  # fmt: skip


async def test_what_is_not_http_harms_nobody(tmp_path: Path) -> None:
    async with served(str(tmp_path), Access()) as server:
        for line in LINES:
            await _send(server, line)
        assert (await server.ask("GET", "/v2/")).status == 200


async def _send(server: Server, raw: bytes) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(raw)
        async with asyncio.timeout(0.3):
            while data := await reader.read(65536):
                assert b" 500 " not in data.partition(b"\r\n")[0]
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
