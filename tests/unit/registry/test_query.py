from __future__ import annotations

import json

import pytest

from holdall.errors import IntegrityError, LimitExceeded, ManifestUnknown, RegistryError, Unsupported
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.registry import query
from holdall.registry.credential import Credential, Fixed
from holdall.registry.options import Options
from holdall.registry.query import delete, document, head, list_repositories, list_tags
from holdall.testing.images import random_image, random_index
from holdall.testing.registry import RegistryServer
from holdall.testing.scripted import Asked, ScriptedServer, response


async def test_head_says_what_a_name_points_to(quick: Options) -> None:
    image = random_image()
    with RegistryServer() as server:
        server.store.add_image("a/b", "1", image)
        got = await head(Reference.parse(f"{server.host}/a/b:1"), options=quick)
        assert server.count("GET", "/manifests/") == 0
        by_digest = await head(Reference.parse(f"{server.host}/a/b@{image.digest}"), options=quick)
        with pytest.raises(ManifestUnknown, match='cannot look up "'):
            await head(Reference.parse(f"{server.host}/a/b:2"), options=quick)
    assert got == by_digest == image.manifest.descriptor


async def test_head_reads_the_manifest_when_the_registry_does_not_tell(quick: Options) -> None:
    raw = random_image().manifest.raw

    def answer(asked: Asked) -> bytes:
        return response(200) if asked.method == "HEAD" else response(200, raw)

    async with ScriptedServer(answer) as server:
        got = await head(Reference.parse(f"{server.host}/a/b"), options=quick)
    assert (got.digest, got.size) == (Digest.of(raw), len(raw))


async def test_head_by_digest_is_not_fooled(quick: Options) -> None:
    image = random_image()
    with RegistryServer() as server:
        server.store.add_image("a/b", "1", image)
        server.fail("wrong-digest", method="HEAD")
        with pytest.raises(IntegrityError):
            await head(Reference.parse(f"{server.host}/a/b@{image.digest}"), options=quick)


async def test_all_pages_of_tags(quick: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "PAGE", 3)
    image = random_image()
    names = [f"v{number:02d}" for number in range(10)]
    with RegistryServer() as server:
        for name in names:
            server.store.add_image("a/b", name, image)
        assert await list_tags(Reference.parse(f"{server.host}/a/b"), options=quick) == tuple(names)
        assert server.count("GET", "/tags/list") == 4


async def test_tags_do_not_go_on_at_another_server(quick: Options) -> None:
    body = json.dumps({"tags": ["a"]}).encode()
    async with ScriptedServer(lambda _: response(200, body, Link='<http://localhost:1/x>; rel="next"')) as server:
        with pytest.raises(RegistryError, match="at another server"):
            await list_tags(Reference.parse(f"{server.host}/a/b"), options=quick)


async def test_a_list_of_tags_that_never_ends(quick: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "MAX_PAGES", 5)
    body = json.dumps({"tags": ["a"]}).encode()
    async with ScriptedServer(lambda _: response(200, body, Link='</v2/a/b/tags/list>; rel="next"')) as server:
        with pytest.raises(LimitExceeded, match="pages of tags"):
            await list_tags(Reference.parse(f"{server.host}/a/b"), options=quick)
        assert len(server.asked) <= 7


@pytest.mark.parametrize("body", [b"[]", b'{"tags": 1}', b'{"tags": [1]}', b"x"])
async def test_a_list_of_tags_that_is_none(quick: Options, body: bytes) -> None:
    async with ScriptedServer(lambda _: response(200, body)) as server:
        with pytest.raises(RegistryError):
            await list_tags(Reference.parse(f"{server.host}/a/b"), options=quick)


async def test_no_tags(quick: Options) -> None:
    async with ScriptedServer(lambda _: response(200, b'{"tags": null}')) as server:
        assert await list_tags(Reference.parse(f"{server.host}/a/b"), options=quick) == ()


async def test_repositories(quick: Options) -> None:
    with RegistryServer() as server:
        for name in ("a", "b/c"):
            server.store.add_image(name, "1", random_image(seed=1))
        assert await list_repositories(server.host, options=quick) == ("a", "b/c")


async def test_a_document_is_given_as_it_is(quick: Options) -> None:
    index = random_index(seed=3)
    with RegistryServer() as server:
        server.store.add_index("a", "1", index)
        found = await document(Reference.parse(f"{server.host}/a:1"), options=quick)
        assert (found.raw, found.digest) == (index.index.raw, index.digest)


@pytest.mark.parametrize("auth", ["none", "token"])
async def test_deleting_tags_and_manifests(quick: Options, auth: str) -> None:
    image = random_image(seed=1)
    with RegistryServer(auth=auth, users={"u": "p"}) as server:
        options = replace(quick, credentials=Fixed(Credential("u", "p"))) if auth == "token" else quick
        repository = server.store.repository("a")
        name = Reference.parse(f"{server.host}/a:1")
        for tag in ("1", "2", "3"):
            server.store.add_image("a", tag, image)
        assert await delete(name, options=options) is None
        assert set(repository.tags) == {"2", "3"}
        with pytest.raises(ManifestUnknown, match="cannot delete"):
            await delete(name, options=options)
        assert await delete(name.with_tag("2"), manifest=True, options=options) == image.digest
        assert not repository.manifests
        server.store.add_image("a", "1", image)
        assert await delete(name.with_digest(image.digest), options=options) == image.digest
        with pytest.raises(ManifestUnknown):
            await delete(name, manifest=True, options=options)


@pytest.mark.parametrize("status", [400, 405, 501])
async def test_a_registry_that_does_not_delete(quick: Options, status: int) -> None:
    async with ScriptedServer(lambda _: response(status, b"{}")) as server:
        with pytest.raises(Unsupported) as caught:
            await delete(Reference.parse(f"{server.host}/a:1"), options=quick)
        assert "by digest" in str(caught.value.hint)
