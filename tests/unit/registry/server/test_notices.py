from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.registry.server.access import Access
from holdall.registry.server.spool import Reader, folder_of
from holdall.testing.served import manifest

if TYPE_CHECKING:
    from typing import Any

    from holdall.testing.served import Server

TOML = """
anonymous = ["pull", "push", "delete"]
[[webhook]]
name = "all"
url = "http://127.0.0.1:1/"
events = ["pull", "push", "mount", "delete"]
blobs = true
[[webhook]]
name = "team"
url = "http://127.0.0.1:1/"
repositories = ["team/*"]
"""
DATA = b"{}"
BLOB = Digest.of(DATA)


@pytest.fixture
def access(tmp_path: Path) -> Access:
    (tmp_path / "access.toml").write_text(TOML)
    return Access(access=str(tmp_path / "access.toml"))


def noted(tmp_path: Path) -> list[dict[str, Any]]:
    reader = Reader(folder_of(str(tmp_path / "storage")))
    lines, _ = reader.read(reader.start())
    return [json.loads(line) for line, _ in lines]


def told(tmp_path: Path, name: str) -> list[tuple[str, str, str, str]]:
    found = [one["event"] for one in noted(tmp_path) if name in one["for"]]
    return [
        (one["action"], one["target"]["repository"], one["target"].get("tag", ""), one["target"].get("digest", ""))
        for one in found
    ]


async def test_a_push_a_pull_and_a_deletion(server: Server, tmp_path: Path) -> None:
    await server.push("team/a", DATA)
    raw = manifest(BLOB, 2)
    digest = str(Digest.of(raw))
    assert (await server.put("team/a/manifests/1", raw)).status == 201
    assert (await server.put(f"team/a/manifests/{digest}", raw)).status == 201
    assert (await server.put(f"team/a/manifests/{digest}?tag=2&tag=3", raw)).status == 201
    for path in ("manifests/1", f"manifests/{digest}", f"blobs/{BLOB}"):
        for method in ("GET", "HEAD"):
            assert (await server.ask(method, f"/v2/team/a/{path}")).status == 200
    for path in ("manifests/1", f"manifests/{digest}", f"blobs/{BLOB}"):
        assert (await server.ask("DELETE", f"/v2/team/a/{path}")).status == 202
    blob = str(BLOB)
    assert told(tmp_path, "all") == [
        ("push", "team/a", "", blob), ("push", "team/a", "1", digest), ("push", "team/a", "", digest),
        ("push", "team/a", "2", digest), ("push", "team/a", "3", digest), ("pull", "team/a", "1", digest),
        ("pull", "team/a", "", digest), ("pull", "team/a", "", blob), ("delete", "team/a", "1", ""),
        ("delete", "team/a", "", digest), ("delete", "team/a", "", blob),
    ]  # fmt: skip
    assert [one[0] for one in told(tmp_path, "team")] == ["push"] * 4 + ["delete"] * 2


async def test_an_event_has_the_form_that_consumers_know(server: Server, tmp_path: Path) -> None:
    await server.push("team/a", DATA)
    raw = manifest(BLOB, 2)
    assert (await server.put("team/a/manifests/1", raw)).status == 201
    event = noted(tmp_path)[1]["event"]
    digest = str(Digest.of(raw))
    host = server.url.removeprefix("http://")
    assert event["target"] == {
        "mediaType": mediatype.OCI_MANIFEST,
        "size": len(raw),
        "length": len(raw),
        "url": f"{server.url}/v2/team/a/manifests/{digest}",
        "digest": digest,
        "repository": "team/a",
        "tag": "1",
    }
    assert event["action"] == "push"
    assert event["request"]["addr"] == "127.0.0.1"
    assert (event["request"]["host"], event["request"]["method"]) == (host, "PUT")
    assert "aiohttp" in event["request"]["useragent"]
    assert event["actor"] == {"name": ""}
    assert set(event["source"]) == {"addr", "instanceID"}
    assert event["timestamp"].endswith("Z")
    assert len(event["id"]) == 36


async def test_blobs_in_chunks_and_mounts(server: Server, tmp_path: Path) -> None:
    place = (await server.ask("POST", "/v2/team/a/blobs/uploads/")).headers["Location"]
    await server.ask("PATCH", place, b"{")
    assert (await server.ask("PUT", f"{place}?digest={BLOB}", b"}")).status == 201
    path = f"/v2/team/b/blobs/uploads/?mount={BLOB}&from=team/a"
    assert (await server.ask("POST", path)).status == 201
    assert told(tmp_path, "all") == [("push", "team/a", "", str(BLOB)), ("mount", "team/b", "", str(BLOB))]
    assert told(tmp_path, "team") == [("mount", "team/b", "", str(BLOB))]
    pushed, mounted = (one["event"]["target"] for one in noted(tmp_path))
    assert (pushed["size"], pushed["mediaType"]) == (2, "application/octet-stream")
    assert (mounted["size"], mounted["fromRepository"]) == (2, "team/a")


async def test_what_failed_did_not_happen(server: Server, tmp_path: Path) -> None:
    assert (await server.put("team/a/manifests/1", manifest(BLOB, 2))).status == 400
    assert (await server.ask("GET", "/v2/team/a/manifests/1")).status == 404
    assert (await server.ask("DELETE", f"/v2/team/a/blobs/{BLOB}")).status == 404
    await server.ask("POST", f"/v2/team/a/blobs/uploads/?digest={BLOB}", b"other")
    await server.push("team/a", DATA)
    fine = {"If-None-Match": f'"{BLOB}"'}
    assert (await server.ask("GET", f"/v2/team/a/blobs/{BLOB}", headers=fine)).status == 304
    assert (await server.ask("GET", f"/v2/team/a/blobs/{BLOB}", headers={"Range": "bytes=1-"})).status == 206
    assert told(tmp_path, "all") == [("push", "team/a", "", str(BLOB))]


async def test_a_log_that_cannot_be_written_is_no_failed_request(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: bytes) -> int:
        raise OSError(28, "No space left on device")

    assert server.app._herald is not None
    monkeypatch.setattr(server.app._herald._spool, "append", full)
    await server.push("team/a", DATA)
    assert server.app.meters.total("events_lost") == 1
    server.app.log.flush()
    assert "events cannot be noted" in (tmp_path / "access.log").read_text()
