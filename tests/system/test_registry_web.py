"""The registry's pages in a real browser: nothing overflows a phone, nothing runs, nothing is loaded from elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdall.oci import mediatype
from holdall.oci.container_config import ContainerConfig
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.registry.options import Options
from holdall.registry.push import push, push_index
from holdall.registry.server.catalog_values import Stored
from holdall.registry.server.shelf import open_local
from holdall.testing import browser
from holdall.testing.browser import Browser
from holdall.testing.holdall_registry import HoldallRegistry
from holdall.testing.images import image_of_files, random_index
from holdall.testing.served import manifest

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not browser.available(), reason="chromium is not installed"),
]

EVIL = "</dd><script>window.hit = 1</script><img src=x onerror='window.hit = 2'><a href='javascript:window.hit=3'>"
LONG = "nobreak" * 60
IMAGE = image_of_files(
    [{f"f{number}": b"x" * 100} for number in range(12)],
    ContainerConfig(
        env=(f"LONG={LONG}", f"EVIL={EVIL}"),
        cmd=("/bin/sh", "-c", EVIL, LONG),
        labels={EVIL: EVIL, LONG: LONG, "turned": "abc\u202edef"},
        working_dir="/" + LONG,
    ),
)
PAGES = (
    "/",
    "/ui/?q=group",
    "/ui/repository/team/backend/a-service-with-quite-a-long-name-for-a-phone",
    "/ui/image/team/backend/a-service-with-quite-a-long-name-for-a-phone?ref=1.0.0-with-a-long-pre-release",
    "/ui/image/library/multi?ref=1",
    "/ui/repository/none",
)
OVERFLOWING = """
[...document.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > innerWidth + 1
    && getComputedStyle(e).clipPath === "none" && !e.closest("thead")).map(e => e.outerHTML.slice(0, 200))
"""
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[str]:
    options = Options(environ={"HOME": str(tmp_path)})
    catalog, _ = open_local(f"{tmp_path}/storage")
    raw = manifest(Digest.of(b"{}"), 2)
    for number in range(52):
        catalog.put_manifest(f"group/app-{number:02}", Stored(Digest.of(raw), mediatype.OCI_MANIFEST, raw), ["1"])
    catalog.close()
    with HoldallRegistry(str(tmp_path), "--workers", "1", "--web") as server:
        name = f"{server.host}/team/backend/a-service-with-quite-a-long-name-for-a-phone:1.0.0-with-a-long-pre-release"
        await push(IMAGE, Reference.parse(name), options=options)
        index = random_index(seed=3, platforms=("linux/amd64", "linux/arm64", "linux/arm/v7"))
        await push_index(index, Reference.parse(f"{server.host}/library/multi:1"), options=options)
        yield f"http://{server.host}"


async def test_pages(site: str, tmp_path: Path) -> None:
    async with Browser(str(tmp_path / "profile")) as tab:
        backgrounds = set()
        for width, dark in ((360, False), (360, True), (1_280, False)):
            await tab.size(width, 740, dark=dark, phone=width == 360)
            for path in PAGES:
                await tab.goto(site + path)
                assert await tab.evaluate("document.documentElement.scrollWidth") == width, path
                assert await tab.evaluate(OVERFLOWING) == [], path
                assert await tab.evaluate("typeof window.hit") == "undefined"
                assert await tab.evaluate("document.scripts.length + document.images.length") == 0
                backgrounds.add((dark, await tab.evaluate(BACKGROUND)))
        assert len({colour for _, colour in backgrounds}) == 2
        assert not tab.refused
        assert all(url.startswith(site) for url in tab.asked)
        assert all("404" in text for text in tab.said)
        await _look_around(tab, site)


async def _look_around(tab: Browser, site: str) -> None:
    """What a reader does: search, turn the page, open an image; and what a page must not be able to do."""
    await tab.size(360, 740, phone=True)
    await tab.goto(site)
    await tab.click("a[rel=next]")
    assert await tab.evaluate("document.querySelectorAll('main tbody tr').length") == 4
    await tab.evaluate("document.querySelector('input').value = 'multi'")
    await tab.click("button")
    assert await tab.evaluate("location.search") == "?q=multi"
    await tab.click("main td a")
    await tab.click("main td a")
    assert (
        await tab.evaluate("document.querySelector('.commands code').textContent")
        == f"docker pull {site[7:]}/library/multi:1"
    )
    small = "[...document.querySelectorAll('main a, button')].filter(e => e.getBoundingClientRect().height < 20).length"
    assert await tab.evaluate(small) == 0
    # as if markup had slipped through: the policy lets nothing of it happen
    slipped = '<img src=x onerror="window.hit = 1"><p style="color:red" id=p>x</p><iframe src="/ui/"></iframe>'
    await tab.evaluate(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(slipped)})")
    await asyncio.sleep(0.3)
    assert await tab.evaluate("typeof window.hit") == "undefined"
    assert await tab.evaluate("getComputedStyle(document.getElementById('p')).color") != "rgb(255, 0, 0)"
    assert any("Content Security Policy" in text for text in tab.said)
