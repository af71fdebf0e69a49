"""The in-memory registry behaves as a registry should, and misbehaves as it is told."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest

from holdall.oci.digest import Digest
from holdall.testing.images import random_image, random_index
from holdall.testing.registry import RegistryServer


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as running:
        yield running


def ask(
    server: RegistryServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(server.host, timeout=10)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_manifests_and_blobs(server: RegistryServer) -> None:
    image = random_image(1)
    server.store.add_image("team/app", "1", image)
    status, headers, body = ask(server, "GET", "/v2/team/app/manifests/1")
    assert (status, body) == (200, image.manifest.raw)
    assert headers["Docker-Content-Digest"] == str(image.digest)
    assert headers["Content-Type"] == image.manifest.media_type
    blob = image.manifest.layers[0]
    with blob_stream(image) as stream:
        whole = stream.read()
    assert ask(server, "GET", f"/v2/team/app/blobs/{blob.digest}")[2] == whole
    status, headers, body = ask(server, "GET", f"/v2/team/app/blobs/{blob.digest}", Range="bytes=10-19")
    assert (status, body) == (206, whole[10:20])
    assert headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert ask(server, "GET", f"/v2/team/app/blobs/{blob.digest}", Range=f"bytes={len(whole)}-")[0] == 416
    assert ask(server, "HEAD", f"/v2/team/app/blobs/{Digest.of(b'x')}")[0] == 404
    assert ask(server, "GET", "/v2/team/app/manifests/2")[0] == 404
    assert server.count("GET", "/blobs/") == 3


def blob_stream(image):  # type: ignore[no-untyped-def]
    return image.source.open(image.manifest.layers[0])


def test_chunked_upload_and_mount(server: RegistryServer) -> None:
    status, headers, _ = ask(server, "POST", "/v2/a/blobs/uploads/")
    assert status == 202
    status, headers, _ = ask(server, "PATCH", headers["Location"], b"hello ", Content_Range="0-5")
    assert (status, headers["Range"]) == (202, "0-5")
    assert ask(server, "PATCH", headers["Location"], b"xx", Content_Range="3-4")[0] == 416
    assert ask(server, "GET", headers["Location"])[0] == 204
    digest = Digest.of(b"hello world")
    status, _, _ = ask(server, "PUT", f"{headers['Location']}&digest={digest}", b"world")
    assert status == 201
    assert ask(server, "POST", f"/v2/b/blobs/uploads/?mount={digest}&from=a")[0] == 201
    assert ask(server, "GET", f"/v2/b/blobs/{digest}")[2] == b"hello world"
    assert ask(server, "POST", f"/v2/b/blobs/uploads/?digest={digest}", b"other")[0] == 400


def test_a_manifest_needs_its_blobs(server: RegistryServer) -> None:
    image = random_image(1)
    kind = {"Content_Type": image.manifest.media_type}
    status, _, body = ask(server, "PUT", "/v2/a/manifests/1", image.manifest.raw, **kind)
    assert status == 400
    assert json.loads(body)["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"


def test_tags_come_in_pages(server: RegistryServer) -> None:
    index = random_index(1)
    for tag in ("c", "a", "b"):
        server.store.add_index("app", tag, index)
    _, headers, body = ask(server, "GET", "/v2/app/tags/list?n=2&last=a")
    assert json.loads(body)["tags"][:2] == ["b", "c"]
    assert "last=c" in headers["Link"]


def test_tokens_are_for_a_scope() -> None:
    with RegistryServer(auth="token", users={"u": "p"}) as server:
        server.store.add_image("app", "1", random_image(1))
        status, headers, _ = ask(server, "GET", "/v2/app/manifests/1")
        assert status == 401
        assert 'scope="repository:app:pull"' in headers["WWW-Authenticate"]
        good = urlopen(
            Request(f"{server.url}/token?scope=repository:app:pull", headers={"Authorization": "Basic dTpw"})
        )
        with good:
            token = json.load(good)["token"]
        assert ask(server, "GET", "/v2/app/manifests/1", Authorization=f"Bearer {token}")[0] == 200
        status, headers, _ = ask(server, "POST", "/v2/app/blobs/uploads/", Authorization=f"Bearer {token}")
        assert (status, "insufficient_scope" in headers["WWW-Authenticate"]) == (401, True)
        assert ask(server, "GET", "/token?scope=repository:app:pull", Authorization="Basic dTp4")[0] == 401


def test_basic_auth() -> None:
    with RegistryServer(auth="basic", users={"u": "p"}) as server:
        assert ask(server, "GET", "/v2/")[1]["WWW-Authenticate"].startswith("Basic ")
        assert ask(server, "GET", "/v2/", Authorization="Basic dTpw")[0] == 200


def test_redirects_refuse_foreign_credentials() -> None:
    image = random_image(1)
    with RegistryServer(redirect=True) as server:
        server.store.add_image("app", "1", image)
        status, headers, _ = ask(server, "GET", f"/v2/app/blobs/{image.manifest.config.digest}")
        assert status == 307
        assert headers["Location"].startswith("http://localhost:")
        path = headers["Location"].partition("/storage")[1] + headers["Location"].partition("/storage")[2]
        assert ask(server, "GET", path)[2] == image.config.raw
        assert ask(server, "GET", path, Authorization="Bearer x")[0] == 400


def test_faults(server: RegistryServer) -> None:
    image = random_image(1)
    server.store.add_image("app", "1", image)
    path, raw = "/v2/app/manifests/1", image.manifest.raw
    server.fail("status", status=429, retry_after="2")
    status, headers, _ = ask(server, "GET", path)
    assert (status, headers["Retry-After"]) == (429, "2")
    server.fail("close")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(server, "GET", path)
    server.fail("early-close", after=10)
    with pytest.raises(http.client.IncompleteRead):
        ask(server, "GET", path)
    server.fail("short", after=10)
    assert ask(server, "GET", path)[2] == raw[:10]
    server.fail("corrupt")
    assert ask(server, "GET", path)[2] not in (raw, b"")
    server.fail("wrong-digest")
    assert ask(server, "GET", path)[1]["Docker-Content-Digest"] == "sha256:" + "0" * 64
    server.fail("garbage")
    assert ask(server, "GET", path)[2].startswith(b"<html>")
    server.fail("no-range", path="/blobs/")
    blob = f"/v2/app/blobs/{image.manifest.config.digest}"
    assert ask(server, "GET", blob, Range="bytes=1-2")[0] == 200
    server.fail("stall", seconds=0.01, times=2, method="*")
    assert ask(server, "GET", path)[2] == raw
    assert ask(server, "HEAD", path)[0] == 200
    assert ask(server, "GET", path)[2] == raw
