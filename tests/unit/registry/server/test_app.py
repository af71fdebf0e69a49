from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.oci.jsonval import dumps
from holdall.testing.served import manifest

if TYPE_CHECKING:
    from holdall.testing.served import Server

DATA = os.urandom(300_000)


async def test_it_is_a_registry(server: Server) -> None:
    for path in ("/v2/", "/v2"):
        answer = await server.ask("GET", path)
        assert (answer.status, answer.headers["Docker-Distribution-API-Version"]) == (200, "registry/2.0")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v2/", "GET, HEAD"),
        ("PATCH", "/v2/a/manifests/x", "GET, HEAD, PUT, DELETE"),
        ("PUT", f"/v2/a/blobs/{Digest.of(b'')}", "GET, HEAD, DELETE"),
        ("GET", "/v2/a/blobs/uploads/", "POST"),
        ("DELETE", "/v2/_catalog", "GET, HEAD"),
        ("OPTIONS", "/v2/a/tags/list", "GET, HEAD"),
    ],
)
async def test_other_methods_are_405(server: Server, method: str, path: str, allowed: str) -> None:
    answer = await server.ask(method, path)
    assert (answer.status, answer.headers["Allow"], answer.codes) == (405, allowed, ["UNSUPPORTED"])


async def test_blobs_have_their_headers(server: Server) -> None:
    digest = await server.push("a", DATA)
    for method in ("GET", "HEAD"):
        answer = await server.ask(method, f"/v2/a/blobs/{digest}")
        assert answer.status == 200
        assert answer.headers["Content-Length"] == str(len(DATA))
        assert answer.headers["Docker-Content-Digest"] == str(digest)
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"
        assert answer.body == (DATA if method == "GET" else b"")
    answer = await server.ask("GET", f"/v2/a/blobs/{digest}", headers={"If-None-Match": f'"{digest}"'})
    assert (answer.status, answer.body) == (304, b"")


async def test_parts_of_blobs(server: Server) -> None:
    digest = await server.push("a", DATA)
    answer = await server.ask("GET", f"/v2/a/blobs/{digest}", headers={"Range": "bytes=1000-1999"})
    assert (answer.status, answer.body) == (206, DATA[1000:2000])
    assert answer.headers["Content-Range"] == f"bytes 1000-1999/{len(DATA)}"
    answer = await server.ask("GET", f"/v2/a/blobs/{digest}", headers={"Range": "bytes=-7"})
    assert answer.body == DATA[-7:]
    answer = await server.ask("GET", f"/v2/a/blobs/{digest}", headers={"Range": f"bytes={len(DATA)}-"})
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")
    headers = {"Range": "bytes=0-1", "If-Range": '"other"'}
    assert (await server.ask("GET", f"/v2/a/blobs/{digest}", headers=headers)).status == 200


async def test_a_blob_is_not_seen_from_other_repositories(server: Server) -> None:
    digest = await server.push("a", DATA)
    for method in ("GET", "DELETE"):
        answer = await server.ask(method, f"/v2/b/blobs/{digest}")
        assert (answer.status, answer.codes) == (404, ["BLOB_UNKNOWN"])
    assert (await server.ask("DELETE", f"/v2/a/blobs/{digest}")).status == 202
    assert (await server.ask("GET", f"/v2/a/blobs/{digest}")).status == 404


async def test_manifests_by_tag_and_digest(server: Server) -> None:
    raw = manifest(await server.push("a/b", b"{}"), 2)
    digest = Digest.of(raw)
    answer = await server.put("a/b/manifests/1", raw)
    assert (answer.status, answer.headers["Location"]) == (201, f"/v2/a/b/manifests/{digest}")
    assert "OCI-Subject" not in answer.headers
    for reference in ("1", str(digest)):
        for method in ("GET", "HEAD"):
            answer = await server.ask(method, f"/v2/a/b/manifests/{reference}")
            assert (answer.status, answer.body) == (200, raw if method == "GET" else b"")
            assert answer.headers["Content-Type"] == mediatype.OCI_MANIFEST
            assert answer.headers["Content-Length"] == str(len(raw))
            assert answer.headers["Docker-Content-Digest"] == str(digest)
    assert (await server.ask("DELETE", "/v2/a/b/manifests/1")).status == 202
    assert (await server.ask("GET", "/v2/a/b/manifests/1")).codes == ["MANIFEST_UNKNOWN"]
    assert (await server.ask("DELETE", f"/v2/a/b/manifests/{digest}")).status == 202
    assert (await server.ask("DELETE", f"/v2/a/b/manifests/{digest}")).status == 404


async def test_parameters_of_content_type_are_ignored(server: Server) -> None:
    raw = manifest(await server.push("a", b"{}"), 2)
    assert (await server.put("a/manifests/1", raw, f"{mediatype.OCI_MANIFEST}; charset=utf-8")).status == 201
    assert (await server.ask("GET", "/v2/a/manifests/1")).headers["Content-Type"] == mediatype.OCI_MANIFEST


async def test_tags_as_parameters(server: Server) -> None:
    raw = manifest(await server.push("a", b"{}"), 2)
    answer = await server.put(f"a/manifests/{Digest.of(raw)}?tag=1&tag=1.2&tag=latest", raw)
    assert (answer.status, answer.headers["OCI-Tag"]) == (201, "1, 1.2, latest")
    assert (await server.ask("GET", "/v2/a/tags/list")).json == {"name": "a", "tags": ["1", "1.2", "latest"]}
    assert (await server.put(f"a/manifests/{Digest.of(raw)}?tag=-", raw)).codes == ["TAG_INVALID"]
    many = "&".join(f"tag=t{number}" for number in range(65))
    assert (await server.put(f"a/manifests/{Digest.of(raw)}?{many}", raw)).status == 414


async def test_missing_members_are_all_named(server: Server) -> None:
    one, two = Digest.of(b"one"), Digest.of(b"two")
    layer = {"mediaType": mediatype.OCI_LAYER, "digest": str(two), "size": 3}
    answer = await server.put("a/manifests/1", manifest(one, 3, layers=[layer]))
    assert (answer.status, answer.codes) == (400, ["MANIFEST_BLOB_UNKNOWN"] * 2)
    assert [error["detail"]["digest"] for error in json.loads(answer.body)["errors"]] == [str(one), str(two)]
    assert (await server.ask("GET", "/v2/a/tags/list")).codes == ["NAME_UNKNOWN"]


async def test_manifests_have_four_mebibytes(server: Server) -> None:
    config = await server.push("a", b"{}")
    room = (4 << 20) - len(manifest(config, 2, annotations={"x": ""}))
    assert (await server.put("a/manifests/1", manifest(config, 2, annotations={"x": "y" * room}))).status == 201
    large = manifest(config, 2, annotations={"x": "y" * (room + 1)})
    assert (await server.put("a/manifests/2", large)).status == 413

    async def pieces() -> object:
        yield large[: 3 << 20]
        yield large[3 << 20 :]

    assert (await server.ask("PUT", "/v2/a/manifests/2", pieces())).status == 413


async def test_referrers(server: Server) -> None:
    config = await server.push("a", b"{}")
    subject = {"mediaType": mediatype.OCI_MANIFEST, "digest": str(Digest.of(b"later")), "size": 5}
    path = f"/v2/a/referrers/{subject['digest']}"
    assert (await server.ask("GET", path)).json == {
        "schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": [],
    }  # fmt: skip
    for number, kind in enumerate(("a/sbom", "a/signature")):
        raw = manifest(config, 2, artifactType=kind, subject=subject, annotations={"n": str(number)})
        answer = await server.put(f"a/manifests/{Digest.of(raw)}", raw)
        assert answer.headers["OCI-Subject"] == subject["digest"]
    answer = await server.ask("GET", path)
    assert answer.headers["Content-Type"] == mediatype.OCI_INDEX
    found = json.loads(answer.body)["manifests"]
    assert [(one["artifactType"], one["annotations"]) for one in found] == [
        ("a/sbom", {"n": "0"}), ("a/signature", {"n": "1"}),
    ]  # fmt: skip
    answer = await server.ask("GET", path + "?artifactType=a/sbom")
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert len(json.loads(answer.body)["manifests"]) == 1


async def test_referrers_come_in_pages_that_fit_a_manifest(server: Server) -> None:
    config = await server.push("a", b"{}")
    subject = {"mediaType": mediatype.OCI_MANIFEST, "digest": str(Digest.of(b"later")), "size": 5}
    for number in range(3):
        raw = manifest(config, 2, subject=subject, annotations={"n": str(number), "x": "y" * (3 << 20)})
        assert (await server.put(f"a/manifests/{Digest.of(raw)}", raw)).status == 201
    path, seen = f"/v2/a/referrers/{subject['digest']}", []
    while path:
        answer = await server.ask("GET", path)
        assert len(answer.body) <= 4 << 20
        seen += [one["annotations"]["n"] for one in json.loads(answer.body)["manifests"]]
        path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
    assert seen == ["0", "1", "2"]


async def test_lists_in_pages(server: Server) -> None:
    for name in ("a", "b/c", "d"):
        raw = manifest(await server.push(name, b"{}"), 2)
        for tag in ("1", "2", "3"):
            assert (await server.put(f"{name}/manifests/{tag}", raw)).status == 201
    answer = await server.ask("GET", "/v2/a/tags/list?n=2")
    assert answer.json == {"name": "a", "tags": ["1", "2"]}
    assert answer.headers["Link"] == '</v2/a/tags/list?last=2&n=2>; rel="next"'
    answer = await server.ask("GET", "/v2/a/tags/list?last=2&n=2")
    assert (answer.json, "Link" in answer.headers) == ({"name": "a", "tags": ["3"]}, False)
    answer = await server.ask("GET", "/v2/a/tags/list?n=0")
    assert (answer.json, "Link" in answer.headers) == ({"name": "a", "tags": []}, False)
    assert (await server.ask("GET", "/v2/a/tags/list?n=99999999999")).status == 200
    for text in ("-1", "x", "1.5", "%D9%A3"):
        assert (await server.ask("GET", f"/v2/a/tags/list?n={text}")).codes == ["PAGINATION_NUMBER_INVALID"]
    answer = await server.ask("GET", "/v2/_catalog?n=2")
    assert answer.json == {"repositories": ["a", "b/c"]}
    assert answer.headers["Link"] == '</v2/_catalog?last=b%2Fc&n=2>; rel="next"'
    assert (await server.ask("GET", "/v2/_catalog?last=b/c")).json == {"repositories": ["d"]}
    assert (await server.ask("GET", "/v2/nowhere/tags/list")).codes == ["NAME_UNKNOWN"]


async def test_an_index_needs_its_manifests_and_may_nest(server: Server) -> None:
    raw = manifest(await server.push("a", b"{}"), 2)
    child = {"mediaType": mediatype.OCI_MANIFEST, "digest": str(Digest.of(raw)), "size": len(raw)}
    index = dumps({"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": [child]})
    assert (await server.put("a/manifests/1", index, mediatype.OCI_INDEX)).codes == ["MANIFEST_BLOB_UNKNOWN"]
    await server.put(f"a/manifests/{Digest.of(raw)}", raw)
    assert (await server.put("a/manifests/1", index, mediatype.OCI_INDEX)).status == 201
    outer = {"mediaType": mediatype.OCI_INDEX, "digest": str(Digest.of(index)), "size": len(index)}
    nested = dumps({"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": [outer]})
    assert (await server.put("a/manifests/2", nested, mediatype.OCI_INDEX)).status == 201


async def test_lost_bytes_are_unknown_not_a_broken_answer(server: Server, tmp_path: Path) -> None:
    digest = await server.push("a", DATA)
    os.unlink(server.app.shelf.blobs.path(digest))  # type: ignore[attr-defined]
    assert (await server.ask("GET", f"/v2/a/blobs/{digest}")).codes == ["BLOB_UNKNOWN"]


async def test_a_head_renews_the_lease(server: Server) -> None:
    digest = await server.push("a", DATA)
    catalog = server.app.shelf.catalog
    with catalog._writing() as db:  # type: ignore[attr-defined]
        db.execute("UPDATE links SET leased = 0")
    assert catalog.stale_links(1.0, (0, 0), 9)
    await server.ask("GET", f"/v2/a/blobs/{digest}")
    assert catalog.stale_links(1.0, (0, 0), 9)
    await server.ask("HEAD", f"/v2/a/blobs/{digest}")
    assert not catalog.stale_links(1.0, (0, 0), 9)


async def test_health_and_metrics(server: Server) -> None:
    assert (await server.ask("GET", "/healthz")).status == 200
    assert (await server.ask("GET", "/readyz")).status == 200
    await server.push("a", DATA)
    text = (await server.ask("GET", "/metrics")).body.decode()
    assert 'holdall_registry_requests_total{route="uploads",status="2xx"} 1' in text
    assert f"holdall_registry_bytes_received_total {len(DATA)}" in text
    assert f"holdall_registry_stored_bytes {len(DATA)}" in text
    server.app.draining = True
    assert (await server.ask("GET", "/readyz")).status == 503
    answer = await server.ask("GET", "/v2/")
    assert (answer.status, answer.headers["Connection"]) == (200, "close")


async def test_requests_and_changes_are_logged(server: Server, tmp_path: Path) -> None:
    await server.ask("GET", "/v2/")
    digest = await server.push("a", DATA)
    await server.ask("GET", f"/v2/a/blobs/{digest}")
    await server.ask("GET", "/v2/A/tags/list")
    server.app.log.flush()
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    assert [(one["method"], one["status"]) for one in lines] == [
        ("GET", 200), ("POST", 201), ("GET", 200), ("GET", 400),
    ]  # fmt: skip
    assert (lines[1]["in"], lines[2]["out"], lines[3]["error"]) == (len(DATA), len(DATA), "NAME_INVALID")
    audited = [json.loads(line)["method"] for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert audited == ["POST"]


async def test_a_bug_of_ours_is_one_failed_request(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_more: object) -> None:
        raise ValueError("bug")

    with monkeypatch.context() as patched:
        patched.setattr(server.app.shelf.catalog, "tags", broken)
        answer = await server.ask("GET", "/v2/a/tags/list")
    assert (answer.status, answer.codes) == (500, ["UNKNOWN"])
    assert b"bug" not in answer.body
    assert (await server.ask("GET", "/v2/a/tags/list")).status == 404
