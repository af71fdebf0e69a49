from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.registry.server.catalog_values import Bound
from holdall.registry.server.mirror.upstream import Upstream
from holdall.testing.images import random_image, random_index
from holdall.testing.mirrored import Mirrored, add_blob, add_manifest, mirrored
from holdall.testing.registry import RegistryServer
from holdall.testing.served import manifest

IMAGE = random_image(seed=1, layers=2)
OTHER = random_image(seed=2, layers=1)
ACCEPT = {"Accept": mediatype.OCI_MANIFEST}


@pytest.fixture
def up() -> Iterator[RegistryServer]:
    with RegistryServer() as upstream:
        upstream.store.add_image("team/app", "1", IMAGE)
        yield upstream


@pytest.fixture
async def mirror(tmp_path: Path, up: RegistryServer) -> AsyncIterator[Mirrored]:
    async with mirrored(str(tmp_path), up.host, "patience = 30") as one:
        yield one


async def test_a_tag_comes_once_and_is_believed_while_it_is_fresh(mirror: Mirrored, up: RegistryServer) -> None:
    for _ in range(3):
        answer = await mirror.get("up/team/app/manifests/1")
        assert answer.status == 200
        assert answer.body == IMAGE.manifest.raw
        assert answer.headers["Docker-Content-Digest"] == str(IMAGE.digest)
        assert answer.headers["Content-Type"] == IMAGE.manifest.media_type
        assert (await mirror.head("up/team/app/manifests/1")).headers["Content-Length"] == str(len(answer.body))
    assert up.count("GET", "manifests") == 1
    assert up.count("HEAD", "manifests") == 0


async def test_the_same_by_the_parameter_that_containerd_sends(mirror: Mirrored, up: RegistryServer) -> None:
    for path in ("team/app/manifests/1?ns=up.example", "up/team/app/manifests/1?ns=up.example"):
        assert (await mirror.get(path)).body == IMAGE.manifest.raw
    assert (await mirror.get(f"up/team/app/manifests/{IMAGE.digest}")).body == IMAGE.manifest.raw
    assert up.count("GET", "manifests") == 1
    unknown = await mirror.get("team/app/manifests/1?ns=elsewhere.example")
    assert (unknown.status, unknown.codes) == (404, ["NAME_UNKNOWN"])
    assert (await mirror.get("team/app/manifests/1")).status == 404


async def test_a_tag_that_is_not_fresh_is_compared_by_a_head(mirror: Mirrored, up: RegistryServer) -> None:
    await mirror.get("up/team/app/manifests/1")
    mirror.older("up/team/app", "1")
    for _ in range(2):
        assert (await mirror.get("up/team/app/manifests/1")).body == IMAGE.manifest.raw
    assert (up.count("HEAD", "manifests"), up.count("GET", "manifests")) == (1, 1)
    up.store.add_image("team/app", "1", OTHER)
    mirror.older("up/team/app", "1")
    assert (await mirror.get("up/team/app/manifests/1")).body == OTHER.manifest.raw
    assert (await mirror.get(f"up/team/app/manifests/{IMAGE.digest}")).body == IMAGE.manifest.raw


async def test_a_digest_is_never_asked_for_again(mirror: Mirrored, up: RegistryServer) -> None:
    for _ in range(3):
        assert (await mirror.get(f"up/team/app/manifests/{IMAGE.digest}")).status == 200
    assert len([one for one in up.requests if "manifests" in one.path]) == 1
    assert (await mirror.get("up/team/app/manifests/latest")).status == 404


async def test_an_index_comes_without_its_members(mirror: Mirrored, up: RegistryServer) -> None:
    index = random_index(seed=5)
    up.store.add_index("team/multi", "1", index)
    assert (await mirror.get("up/team/multi/manifests/1")).body == index.index.raw
    child = index.index.manifests[1]
    assert (await mirror.get(f"up/team/multi/manifests/{child.digest}")).status == 200
    assert up.count("GET", "team/multi") == 2


async def test_what_is_not_there_is_believed_for_a_while(mirror: Mirrored, up: RegistryServer) -> None:
    for _ in range(3):
        answer = await mirror.get("up/team/app/manifests/none")
        assert (answer.status, answer.codes) == (404, ["MANIFEST_UNKNOWN"])
    assert up.count("GET", "none") == 1


async def test_a_tag_that_is_gone_upstream_is_gone_here(mirror: Mirrored, up: RegistryServer) -> None:
    await mirror.get("up/team/app/manifests/1")
    mirror.older("up/team/app", "1")
    del up.store.repository("team/app").tags["1"]
    assert (await mirror.get("up/team/app/manifests/1")).status == 404
    assert mirror.app.shelf.catalog.upstream_tag("up/team/app", "1") is None
    assert (await mirror.get(f"up/team/app/manifests/{IMAGE.digest}")).status == 200


@pytest.mark.parametrize("fault", ["status", "close", "garbage"])
async def test_a_stale_tag_is_better_than_none(mirror: Mirrored, up: RegistryServer, fault: str) -> None:
    await mirror.get("up/team/app/manifests/1")
    mirror.older("up/team/app", "1")
    up.fail(fault, method="*", path="manifests", times=-1)
    for _ in range(3):
        answer = await mirror.get("up/team/app/manifests/1")
        assert answer.body == IMAGE.manifest.raw
        assert answer.headers["Warning"].startswith("299 - \"upstream 'up'")
    assert mirror.mirroring.meters.total("mirror_stale") == 3
    assert mirror.complaints


async def test_an_upstream_that_is_gone_is_left_alone_for_a_while(tmp_path: Path, up: RegistryServer) -> None:
    async with mirrored(str(tmp_path), "127.0.0.1:9", "timeout = 5") as mirror:
        answer = await mirror.get("up/team/app/manifests/1")
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 5
        assert (await mirror.get("up/team/app/manifests/2")).status == 503
        assert len(mirror.complaints) == 1


async def test_a_slow_upstream_is_waited_for_with_patience(tmp_path: Path, up: RegistryServer) -> None:
    async with mirrored(str(tmp_path), up.host, "patience = 0.05\ntimeout = 10") as mirror:
        await mirror.get("up/team/app/manifests/1")
        mirror.older("up/team/app", "1")
        up.store.add_image("team/app", "1", OTHER)
        up.fail("stall", method="HEAD", path="manifests", seconds=0.5)
        answer = await mirror.get("up/team/app/manifests/1")
        assert answer.body == IMAGE.manifest.raw
        assert "slow" in answer.headers["Warning"]
        deadline = asyncio.get_running_loop().time() + 20
        while (await mirror.get("up/team/app/manifests/1")).body != OTHER.manifest.raw:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)


async def test_a_pause_that_the_upstream_wants_is_kept(mirror: Mirrored, up: RegistryServer) -> None:
    await mirror.get("up/team/app/manifests/1")
    mirror.older("up/team/app", "1")
    up.fail("status", method="*", path="manifests", times=-1, status=429, retry_after="77")
    assert (await mirror.get("up/team/app/manifests/1")).body == IMAGE.manifest.raw
    asked = len(up.requests)
    assert (await mirror.get("up/team/app/manifests/1")).body == IMAGE.manifest.raw
    answer = await mirror.get("up/team/app/manifests/2")
    assert (answer.status, answer.codes) == (429, ["TOOMANYREQUESTS"])
    assert 70 <= int(answer.headers["Retry-After"]) <= 77
    assert (await mirror.get(f"up/other/manifests/{OTHER.digest}")).status == 429
    assert len(up.requests) == asked


@pytest.mark.parametrize("kind", ["corrupt", "wrong-digest"])
async def test_a_wrong_manifest_is_not_kept(mirror: Mirrored, up: RegistryServer, kind: str) -> None:
    up.fail(kind, path="manifests", times=1)
    for path in (f"up/team/app/manifests/{IMAGE.digest}", "up/team/app/manifests/1"):
        up.fail(kind, path="manifests", times=1)
        assert (await mirror.get(path)).status == 502
    assert mirror.app.shelf.catalog.manifest("up/team/app", str(IMAGE.digest), content=False) is None


async def test_what_is_no_manifest_is_not_kept(mirror: Mirrored, up: RegistryServer) -> None:
    add_manifest(up, b'{"schemaVersion": 1}', "old")
    answer = await mirror.get("up/team/app/manifests/old")
    assert answer.status == 502
    assert mirror.app.shelf.catalog.upstream_tag("up/team/app", "old") is None


async def test_many_who_ask_at_once_are_one_request(mirror: Mirrored, up: RegistryServer) -> None:
    up.fail("stall", path="manifests", seconds=0.3)
    answers = await asyncio.gather(*[mirror.get("up/team/app/manifests/1") for _ in range(20)])
    assert {answer.body for answer in answers} == {IMAGE.manifest.raw}
    assert up.count("GET", "manifests") == 1


async def test_nothing_is_pushed_to_a_mirror(mirror: Mirrored) -> None:
    for method, path in (("POST", "up/x/blobs/uploads/"), ("PUT", "up/x/manifests/1"), ("POST", "up/blobs/uploads/")):
        answer = await mirror.ask(method, f"/v2/{path}", b"{}")
        assert answer.status == (202 if path == "up/blobs/uploads/" else 403), path
        if answer.status == 403:
            assert answer.codes == ["DENIED"]
    answer = await mirror.ask("POST", "/v2/x/blobs/uploads/?ns=up.example")
    assert answer.status == 403


async def test_local_pushes_live_beside_it(mirror: Mirrored, up: RegistryServer) -> None:
    digest = await mirror.push("team/app", b"{}")
    assert (await mirror.put("team/app/manifests/1", manifest(digest, 2))).status == 201
    assert (await mirror.get("team/app/manifests/1")).body == manifest(digest, 2)
    assert (await mirror.get("up/team/app/manifests/1")).body == IMAGE.manifest.raw


async def test_a_mirror_that_says_so_takes_pushes(tmp_path: Path, up: RegistryServer) -> None:
    async with mirrored(str(tmp_path), up.host, "push = true\nfresh = 0") as mirror:
        digest = await mirror.push("up/team/app", b"{}")
        mine = manifest(digest, 2)
        assert (await mirror.put("up/team/app/manifests/mine", mine)).status == 201
        assert (await mirror.put("up/team/app/manifests/1", mine)).status == 201
        asked = len(up.requests)
        assert (await mirror.get("up/team/app/manifests/mine")).body == mine
        assert (await mirror.get("up/team/app/manifests/1")).body == mine
        assert len(up.requests) == asked
        up.store.add_image("team/app", "2", OTHER)
        assert (await mirror.get("up/team/app/tags/list")).json["tags"] == ["1", "2", "mine"]


@pytest.mark.parametrize("there", ["unknown", "moved", "gone"])
async def test_a_push_while_the_upstream_is_asked_is_not_lost(
    tmp_path: Path, up: RegistryServer, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    answered, gate, really = asyncio.Event(), asyncio.Event(), Upstream.ask

    async def ask(upstream: Upstream, work: Callable[[], Awaitable[Any]]) -> Any:
        found = await really(upstream, work)
        answered.set()
        await gate.wait()
        return found

    async with mirrored(str(tmp_path), up.host, "push = true\npatience = 30") as mirror:
        mine = manifest(await mirror.push("up/team/app", b"{}"), 2)
        if there != "unknown":
            await mirror.get("up/team/app/manifests/1")
            mirror.older("up/team/app", "1")
            up.store.add_image("team/app", "1", OTHER)
        if there == "gone":
            del up.store.repository("team/app").tags["1"]
        monkeypatch.setattr(Upstream, "ask", ask)
        pull = asyncio.ensure_future(mirror.get("up/team/app/manifests/1"))
        await answered.wait()
        assert (await mirror.put("up/team/app/manifests/1", mine)).status == 201
        gate.set()
        assert (await pull).body == mine
        assert (await mirror.get("up/team/app/manifests/1")).body == mine


async def test_over_its_quota_it_gives_what_it_does_not_keep(tmp_path: Path, up: RegistryServer) -> None:
    bounds = [Bound("small", ("up/**",), 10)]
    async with mirrored(str(tmp_path), up.host, bounds=bounds) as mirror:
        for _ in range(2):
            assert (await mirror.get("up/team/app/manifests/1")).body == IMAGE.manifest.raw
            assert (await mirror.head("up/team/app/manifests/1")).headers["Docker-Content-Digest"] == str(IMAGE.digest)
        data = b"x" * 300_000
        digest = add_blob(up, data)
        for _ in range(2):
            assert (await mirror.get(f"up/team/app/blobs/{digest}")).body == data
        assert mirror.app.shelf.catalog.usage(["**"]).octets == 0
        deadline = asyncio.get_running_loop().time() + 20
        while list(mirror.app.shelf.blobs.uploads()):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.02)


async def test_cached_content_can_be_deleted(mirror: Mirrored, up: RegistryServer) -> None:
    await mirror.get("up/team/app/manifests/1")
    assert (await mirror.ask("DELETE", f"/v2/up/team/app/manifests/{IMAGE.digest}")).status == 202
    assert (await mirror.get("up/team/app/manifests/1")).status == 200
    assert up.count("GET", "manifests") == 2


async def test_tags_are_the_upstreams(mirror: Mirrored, up: RegistryServer) -> None:
    for tag in ("2", "3", "bad"):
        up.store.repository("team/app").tags[tag] = str(IMAGE.digest)
    assert (await mirror.get("up/team/app/tags/list")).json == {"name": "up/team/app", "tags": ["1", "2", "3", "bad"]}
    first = await mirror.get("team/app/tags/list?n=2&ns=up.example")
    assert first.json["tags"] == ["1", "2"]
    link = first.headers["Link"].partition(">")[0].lstrip("<")
    assert link.startswith("/v2/up/team/app/tags/list?")
    assert (await mirror.ask("GET", link)).json["tags"] == ["3", "bad"]
    assert (await mirror.get("up/team/app/tags/list?n=x")).status == 400


async def test_tags_that_are_here_are_told_when_the_upstream_is_silent(mirror: Mirrored, up: RegistryServer) -> None:
    await mirror.get("up/team/app/manifests/1")
    up.store.repository("team/app").tags["2"] = str(IMAGE.digest)
    up.fail("status", path="tags", times=-1, status=500)
    assert (await mirror.get("up/team/app/tags/list")).json["tags"] == ["1"]
    assert (await mirror.get("up/team/none/tags/list")).status == 503
    up.faults.pending.clear()
    up.fail("garbage", path="tags")
    assert (await mirror.get("up/team/app/tags/list")).json["tags"] == ["1"]


async def test_referrers_are_the_upstreams(mirror: Mirrored, up: RegistryServer) -> None:
    config = add_blob(up, b"{}")
    subject = {"mediaType": mediatype.OCI_MANIFEST, "digest": str(IMAGE.digest), "size": 1}
    signature = add_manifest(up, manifest(config, 2, subject=subject, annotations={"a": "b"}), "sig")
    answer = await mirror.get(f"up/team/app/referrers/{IMAGE.digest}")
    assert answer.headers["Content-Type"] == mediatype.OCI_INDEX
    (found,) = answer.json["manifests"]
    assert (found["digest"], found["annotations"]) == (str(signature), {"a": "b"})
    up.fail("status", path="referrers", times=1, status=404)
    assert (await mirror.get(f"up/team/app/referrers/{IMAGE.digest}")).status == 404
    assert (await mirror.get("up/team/app/manifests/sig")).status == 200
    up.fail("status", path="referrers", times=1, status=500)
    local = await mirror.get(f"up/team/app/referrers/{IMAGE.digest}")
    assert [one["digest"] for one in local.json["manifests"]] == [str(signature)]


async def test_settings_are_read_again(mirror: Mirrored, up: RegistryServer, tmp_path: Path) -> None:
    assert (await mirror.get("up/team/app/manifests/1")).status == 200
    (tmp_path / "mirrors.toml").write_text("[mirror.broken")
    mirror.mirroring._file._next_look = 0
    assert (await mirror.get("up/team/app/manifests/1")).status == 200
    assert "stay as they were" in mirror.complaints[-1]
    (tmp_path / "mirrors.toml").write_text(f'[mirror."new"]\nupstream = "http://{up.host}"')
    mirror.mirroring._file._next_look = 0
    assert (await mirror.get("new/team/app/manifests/1")).status == 200
    assert (await mirror.get("up/none/manifests/1")).codes == ["MANIFEST_UNKNOWN"]
    assert up.count("GET", "none") == 0
    assert (await mirror.get("up/team/app/manifests/1")).status == 200  # what was kept is of this registry now


@pytest.mark.parametrize("auth", ["basic", "token"])
async def test_credentials_are_the_mirrors(tmp_path: Path, auth: str) -> None:
    (tmp_path / "secret").write_text("pa:ss wörd\n")
    with RegistryServer(auth=auth, users={"me": "pa:ss wörd"}) as up:
        up.store.add_image("team/app", "1", IMAGE)
        async with mirrored(str(tmp_path), up.host, 'user = "me"\npassword_file = "secret"') as mirror:
            assert (await mirror.get("up/team/app/manifests/1")).body == IMAGE.manifest.raw
            layer = IMAGE.manifest.layers[0]
            assert Digest.of((await mirror.get(f"up/team/app/blobs/{layer.digest}")).body) == layer.digest
        (tmp_path / "secret").write_text("wrong")
        (tmp_path / "two").mkdir()
        (tmp_path / "two/secret").write_text("wrong")
        async with mirrored(str(tmp_path / "two"), up.host, 'user = "me"\npassword_file = "secret"') as mirror:
            answer = await mirror.get("up/team/app/manifests/1")
            assert answer.status == 404
            assert json.loads(answer.body)["errors"][0]["message"].startswith('upstream "up"')
            assert mirror.complaints
