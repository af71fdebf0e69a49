"""A mirror whose upstream fails in every way: clients get the truth or an error, nothing else, and it recovers."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import aiohttp
import pytest

from holdall.oci.digest import Digest
from holdall.registry.server.fsck import Check
from holdall.registry.server.web.pages import Web
from holdall.testing.images import random_image, random_index
from holdall.testing.mirrored import Mirrored, mirrored
from holdall.testing.registry import RegistryServer

ROUNDS = 4_000 if os.environ.get("HOLDALL_SOAK") == "1" else 80
KINDS = ("status", "close", "early-close", "short", "corrupt", "wrong-digest", "no-range", "garbage")
IMAGES = [random_image(seed=seed, layers=2, size=60_000) for seed in range(3)]
INDEX = random_index(seed=50)
ALLOWED = {200, 206, 304, 400, 404, 405, 416, 429, 502, 503}


def plan(up: RegistryServer, source: random.Random) -> None:
    up.faults.pending.clear()
    for _ in range(source.randrange(3)):
        how: dict[str, object] = {"method": source.choice(("*", "GET", "HEAD")), "times": source.randrange(1, 4)}
        how["path"] = source.choice(("", "manifests", "blobs", "tags", "referrers"))
        kind = source.choice(KINDS)
        if kind == "status":
            how["status"] = source.choice((400, 401, 403, 404, 429, 500, 503))
            how["retry_after"] = source.choice((None, "1", "x", "99999999"))
        if kind in ("early-close", "short"):
            how["after"] = source.randrange(80_000)
        up.fail(kind, **how)


def path(source: random.Random) -> tuple[str, Digest | None]:
    image = source.choice(IMAGES)
    name = source.choice(("a", "b"))
    one = source.choice(
        (image.digest, image.manifest.config.digest, *[layer.digest for layer in image.manifest.layers])
    )
    kind = "manifests" if one == image.digest else "blobs"
    prefix, ns = source.choice((("up/", ""), ("", "?ns=up.example"), ("up/", "?ns=up.example"), ("", "?ns=other")))
    things = [(f"{name}/{kind}/{one}", one)] * 2
    things += [(f"multi/manifests/{INDEX.digest}", INDEX.digest)]
    lists = (f"{name}/manifests/{source.choice('012x')}", f"{name}/tags/list", f"{name}/referrers/{one}")
    where, digest = source.choice([*things, *[(text, None) for text in lists]])
    return f"/v2/{prefix}{where}{ns}", digest


@pytest.mark.parametrize("seed", [0, 1])
async def test_nobody_gets_what_is_not_true(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    with RegistryServer() as up:
        for number, image in enumerate(IMAGES):
            for name in ("a", "b"):
                up.store.add_image(name, str(number), image)
        up.store.add_index("multi", "1", INDEX)
        async with mirrored(str(tmp_path), up.host, "fresh = 0\nunknown = 0\npatience = 5\ntimeout = 5") as server:
            server.app.pages = Web(server.app.shelf, server.app.door, server.app.upstream_of)
            for _ in range(ROUNDS):
                plan(up, source)
                await asyncio.gather(*[_ask(server, source) for _ in range(source.randrange(1, 5))])
                for upstream in server.mirroring._upstreams.values():
                    upstream._rest_until = 0.0
            up.faults.pending.clear()
            await _all_is_right(server)


async def _ask(server: Mirrored, source: random.Random) -> None:
    where, digest = path(source)
    method = source.choice(("GET", "GET", "HEAD"))
    headers = source.choice(({}, {}, {"Range": f"bytes={source.randrange(100)}-{source.randrange(100, 90_000)}"}))
    try:
        answer = await server.ask(method, where, headers=headers)
    except aiohttp.ClientError:
        return  # broken off, as it must be when the rest does not come
    assert answer.status in ALLOWED, (where, answer.status, answer.body)
    if answer.status == 200 and digest is not None and method == "GET":
        assert Digest.of(answer.body) == digest
    if answer.status == 200 and "/manifests/" in where and method == "GET":
        assert Digest.of(answer.body) in {INDEX.digest, *[image.digest for image in IMAGES]}
    assert (await server.ask("GET", "/ui/repository/up/a")).status in (200, 404)


async def _all_is_right(server: Mirrored) -> None:
    for name in ("a", "b"):
        for number, image in enumerate(IMAGES):
            assert (await server.get(f"up/{name}/manifests/{number}")).body == image.manifest.raw
            for one in (image.manifest.config, *image.manifest.layers):
                assert Digest.of((await server.get(f"up/{name}/blobs/{one.digest}")).body) == one.digest
    assert list(Check(server.app.shelf.catalog, server.app.shelf.blobs).problems()) == []
