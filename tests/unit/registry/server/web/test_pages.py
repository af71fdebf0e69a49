from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from holdall.oci import mediatype
from holdall.oci.container_config import ContainerConfig
from holdall.oci.reference import Reference
from holdall.registry.options import Options
from holdall.registry.push import push, push_index
from holdall.registry.server.access import Access
from holdall.registry.server.web import listing, repository
from holdall.registry.server.web.frame import POLICY
from holdall.registry.server.web.pages import Web
from holdall.testing.images import image_of_files, random_image, random_index
from holdall.testing.mirrored import mirrored
from holdall.testing.registry import RegistryServer
from holdall.testing.served import Answer, Server, manifest, served

EVIL = "</dd><script>alert(1)</script><img src=x onerror=alert(2)>"
IMAGE = image_of_files(
    [{"a": b"x"}, {"b": b"y" * 3_000}],
    ContainerConfig(
        env=(f"EVIL={EVIL}",),
        cmd=("/bin/sh", "-c", EVIL),
        user=EVIL,
        working_dir="/" + EVIL,
        labels={EVIL: EVIL, "a": "b"},
    ),
)


def with_pages(server: Server) -> Server:
    server.app.pages = Web(server.app.shelf, server.app.door, server.app.upstream_of)
    return server


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Server]:
    async with served(str(tmp_path), Access()) as server:
        yield with_pages(server)


@pytest.fixture
def quick(tmp_path: Path) -> Options:
    (tmp_path / "home").mkdir()
    return Options(environ={"HOME": str(tmp_path / "home")})


def at(server: Server, rest: str) -> Reference:
    return Reference.parse(f"{server.url.removeprefix('http://')}/{rest}")


async def get(server: Server, path: str, status: int = 200, **headers: str) -> str:
    answer = await server.ask("GET", path, headers=headers)
    assert answer.status == status, answer.body
    checked(answer)
    return answer.body.decode()


def checked(answer: Answer) -> None:
    """What every page has, whatever it says."""
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    text = answer.body.decode()
    if answer.headers["Content-Type"].startswith("text/html"):
        found = Elements(text)
        assert not found.kinds & {"script", "style", "img", "iframe", "object", "svg"}
        assert not [name for name, _ in found.attributes if name.startswith("on") or name == "style"]
        links = [value for name, value in found.attributes if name in ("href", "src", "action")]
        assert all((value or "").startswith("/ui/") for value in links)


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.kinds: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.kinds.add(tag)
        self.attributes += attrs


async def test_an_empty_registry(site: Server) -> None:
    assert "There is nothing here yet." in await get(site, "/ui/")
    for path in ("/", "/ui"):
        answer = await site.ask("GET", path)
        assert (answer.status, answer.headers["Location"]) == (302, "/ui/")
    style = await site.ask("GET", "/ui/style.css")
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    assert "immutable" in style.headers["Cache-Control"]
    assert "http" not in style.body.decode()
    assert (await site.ask("GET", "/ui/icon.svg")).headers["Content-Type"] == "image/svg+xml"


async def test_from_the_list_to_a_layer(site: Server, quick: Options) -> None:
    await push(IMAGE, at(site, "team/app:1.0"), tags=["latest"], options=quick)
    text = await get(site, "/ui/")
    assert 'href="/ui/repository/team/app"' in text
    assert "1 repository, 2 tags" in text
    text = await get(site, "/ui/repository/team/app")
    assert f"docker pull {at(site, 'team/app:1.0').name}:" in text
    assert 'href="/ui/image/team/app?ref=latest"' in text
    assert "linux/" in text
    text = await get(site, "/ui/image/team/app?ref=1.0")
    for layer in IMAGE.manifest.layers:
        assert str(layer.digest) in text
    assert "layer 1" in text
    assert "2023-11-14" in text
    assert f"podman pull {at(site, 'team/app').name}:1.0" in text
    by_digest = await get(site, f"/ui/image/team/app?ref={IMAGE.digest}")
    assert f"@{IMAGE.digest}" in by_digest


async def test_what_an_image_says_is_text(site: Server, quick: Options) -> None:
    await push(IMAGE, at(site, "evil:1"), options=quick)
    config = await site.push("evil", b"{}")
    subject = {"mediaType": mediatype.OCI_MANIFEST, "digest": str(IMAGE.digest), "size": len(IMAGE.manifest.raw)}
    raw = manifest(config, 2, subject=subject, annotations={EVIL: EVIL}, artifactType="application/x.evil")
    assert (await site.put("evil/manifests/signature", raw)).status == 201
    text = await get(site, "/ui/image/evil?ref=1")
    assert text.count("&lt;script&gt;") >= 8
    assert "application/x.evil" in text
    assert "&lt;img" in await get(site, "/ui/image/evil?ref=signature")
    assert "&lt;script&gt;" in await get(site, "/ui/?q=%3Cscript%3E")


async def test_an_index_shows_its_platforms(site: Server, quick: Options) -> None:
    await push_index(
        random_index(seed=3, platforms=("linux/amd64", "linux/arm/v7")), at(site, "multi:1"), options=quick
    )
    text = await get(site, "/ui/image/multi?ref=1")
    assert "linux/arm/v7" in text
    assert text.count('href="/ui/image/multi?ref=sha256') == 2
    assert "linux/amd64, linux/arm/v7" in await get(site, "/ui/repository/multi")


async def test_names_are_searched_and_paged(site: Server) -> None:
    config = await site.push("a", b"{}")
    raw = manifest(config, 2)
    names = [f"g{number % 3}/app-{number:03}" for number in range(120)]
    catalog = site.app.shelf.catalog
    for name in names:
        catalog.mount("a", name, str(config), time.time() + 60)
        assert (await site.put(f"{name}/manifests/1", raw)).status == 201
    seen: list[str] = []
    path = "/ui/"
    while path:
        text = await get(site, path)
        seen += re.findall(r'href="/ui/repository/([^"?]*)"', text)
        found = re.search(r'<a href="([^"]*)" rel="next">', text)
        path = found[1].replace("&amp;", "&") if found else ""
    assert seen == sorted(names)
    text = await get(site, "/ui/?q=G1/")
    assert len(re.findall(r'href="/ui/repository/g1/', text)) == 40
    assert "Nothing of that name." in await get(site, "/ui/?q=zzz")


async def test_tags_are_newest_first_and_paged(site: Server) -> None:
    raw = manifest(await site.push("a", b"{}"), 2)
    for number in range(3):
        await site.put(f"a/manifests/t{number}", raw + b" " * number)
    text = await get(site, "/ui/repository/a")
    assert re.findall(r"ref=(t\d)", text) == ["t2", "t1", "t0"]
    tags = [f"v{number:03}" for number in range(repository.PAGE)]
    site.app.shelf.catalog.put_manifest("a", _stored(raw), tags)
    assert "page 1 of 2" in await get(site, "/ui/repository/a")
    assert "page 2 of 2" in await get(site, "/ui/repository/a?page=2")
    assert "page 2 of 2" in await get(site, "/ui/repository/a?page=99")
    assert "page 1 of 2" in await get(site, "/ui/repository/a?page=x")


def _stored(raw: bytes) -> object:
    from holdall.registry.server.content import examine

    return examine(raw, mediatype.OCI_MANIFEST, None)


async def test_very_many_tags_come_by_name(site: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "SORTED", 10)
    raw = manifest(await site.push("a", b"{}"), 2)
    site.app.shelf.catalog.put_manifest("a", _stored(raw), [f"v{number:03}" for number in range(60)])
    text = await get(site, "/ui/repository/a")
    assert "after=v049" in text
    assert re.findall(r"ref=(v\d+)", await get(site, "/ui/repository/a?after=v049")) == [
        f"v{n:03}" for n in range(50, 60)
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ui/none", 404),
        ("/ui/repository/none", 404),
        ("/ui/repository/", 404),
        ("/ui/repository/A", 404),
        ("/ui/repository/../../etc", 404),
        ("/ui/image/a?ref=none", 404),
        ("/ui/image/a", 404),
        ("/ui/image/a?ref=sha256:1", 400),
        ("/ui/image/a?ref=%00", 404),
        ("/ui/image/%F0%9F?ref=1", 404),
    ],
)
async def test_what_is_not_there_is_a_page_too(site: Server, path: str, status: int) -> None:
    assert "<h1>" in await get(site, path, status)


async def test_pages_can_only_be_read(site: Server) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = await site.ask(method, "/ui/", b"x")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    answer = await site.ask("HEAD", "/ui/")
    assert (answer.status, answer.body) == (200, b"")


async def test_without_the_option_there_is_no_page(tmp_path: Path) -> None:
    async with served(str(tmp_path), Access()) as server:
        for path in ("/", "/ui/", "/ui/style.css"):
            assert (await server.ask("GET", path)).status == 404


async def test_who_may_not_pull_may_not_look(tmp_path: Path, quick: Options) -> None:
    (tmp_path / "users").write_text("ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")
    (tmp_path / "access.toml").write_text(
        'htpasswd = "users"\n'
        '[[rule]]\nrepositories = ["open/*"]\nusers = ["anonymous"]\nactions = ["pull"]\n'
        '[[rule]]\nrepositories = ["mine/*"]\nusers = ["ann"]\nactions = ["pull"]\n'
    )
    async with served(str(tmp_path), Access(access=str(tmp_path / "access.toml"))) as server:
        with_pages(server)
        catalog = server.app.shelf.catalog
        for name in ("open/a", "mine/a", "secret/a"):
            raw = manifest(IMAGE.manifest.config.digest, 2)
            catalog.mirror_manifest(name, _stored(raw), "1", 1.0)  # type: ignore[arg-type]
        text = await get(server, "/ui/")
        assert "open/a" in text
        assert "mine/a" not in text
        assert "secret" not in text
        assert "Log in" in text
        assert "blobs" not in text
        for path in ("/ui/repository/mine/a", "/ui/repository/none/a", "/ui/image/secret/a?ref=1", "/ui/login"):
            answer = await server.ask("GET", path)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        known = {"Authorization": "Basic YW5uOnNlY3JldA=="}
        text = await get(server, "/ui/", **known)
        assert "mine/a" in text
        assert "secret" not in text
        assert "ann" in text
        assert (await server.ask("GET", "/ui/login", headers=known)).status == 302
        for path in ("/ui/repository/secret/a", "/ui/repository/none/a"):
            assert "nothing here that you may see" in await get(server, path, 404, **known)
        wrong = await server.ask("GET", "/ui/", headers={"Authorization": "Basic YW5uOndyb25n"})
        assert wrong.status == 401
        checked(wrong)


async def test_a_mirror_is_told(tmp_path: Path) -> None:
    with RegistryServer() as up:
        up.store.add_image("team/app", "1", random_image(seed=1))
        async with mirrored(str(tmp_path), up.host) as server:
            with_pages(server)
            await server.get("up/team/app/manifests/1")
            assert ">mirror<" in await get(server, "/ui/")
            assert f"A mirror of {up.host}/team/app" in await get(server, "/ui/repository/up/team/app")
            assert "is not here yet" in await get(server, "/ui/image/up/team/app?ref=1")


async def test_pages_are_quick_with_ten_thousand_repositories(site: Server) -> None:
    raw = manifest(await site.push("a", b"{}"), 2)
    assert (await site.put("a/manifests/1", raw)).status == 201
    with site.app.shelf.catalog._writing() as db:  # type: ignore[attr-defined]
        db.executemany("INSERT INTO repositories (name) VALUES (?)", [(f"g{n % 100}/app-{n}",) for n in range(10_000)])
        db.execute(
            "INSERT INTO manifests (repository, digest, content, media_type, size, artifact_type, annotations, pushed)"
            " SELECT r.id, m.digest, m.content, m.media_type, m.size, '', '', 1 FROM repositories r, manifests m"
            " WHERE r.name != 'a'"
        )
        db.execute(
            "INSERT INTO tags (repository, name, manifest, updated)"
            " SELECT m.repository, 'latest', m.id, 1 FROM manifests m JOIN repositories r ON r.id = m.repository"
            " WHERE r.name != 'a'"
        )
    for path, part in (
        ("/ui/", "10,001 repositories"),
        ("/ui/?q=app-9999", "g99/app-9999"),
        ("/ui/?q=nothing", "Nothing"),
    ):
        begun = time.perf_counter()
        assert part in await get(site, path)
        assert time.perf_counter() - begun < 2.0  # 0.05 s on a quiet machine
    assert listing.PAGE == 50
