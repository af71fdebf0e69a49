from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.oci.digest import Digest
from holdall.registry.server.policy import parse
from holdall.registry.server.pulls import AGAIN_SECONDS, Pulls
from holdall.registry.server.watching import WatchedFile
from holdall.testing.served import manifest

if TYPE_CHECKING:
    from holdall.testing.served import Answer, Server


@pytest.fixture
def small(server: Server) -> Server:
    quotas = [
        {"name": "small", "repositories": ["team/**"], "bytes": 1_000, "tags": 2},
        {"name": "each", "repositories": ["team/**"], "tags": 1, "each": True},
    ]
    policy = parse({"quota": quotas}, "p")
    server.app.shelf.bounds = policy.bounds
    return server


def refused(answer: Answer) -> str:
    assert (answer.status, answer.codes) == (403, ["DENIED"])
    message: str = answer.json["errors"][0]["message"]
    return message


async def test_what_does_not_fit_is_refused_and_leaves_nothing(small: Server) -> None:
    await small.push("team/a", b"x" * 600)
    data = b"y" * 600
    for path in (f"team/b/blobs/uploads/?digest={Digest.of(data)}",):
        message = refused(await small.ask("POST", f"/v2/{path}", data))
        assert message == 'the quota "small" is 1000 bytes, 600 are used, 600 more are too many'
    assert not list(small.app.shelf.blobs.uploads())
    await small.push("other", data)
    assert refused(await small.ask("POST", f"/v2/team/b/blobs/uploads/?mount={Digest.of(data)}&from=other"))
    await small.push("team/a", b"x" * 600)  # it is there already
    await small.push("team/b", b"z" * 400)
    assert refused(await small.ask("POST", "/v2/team/c/blobs/uploads/"))
    detail = (await small.ask("POST", "/v2/team/c/blobs/uploads/")).json["errors"][0]["detail"]
    assert detail == {"quota": "small", "limit": 1_000, "used": 1_000, "unit": "bytes"}


@pytest.mark.parametrize("length", [True, False])
async def test_an_upload_is_refused_before_it_is_all_here(small: Server, length: bool) -> None:
    begun = await small.ask("POST", "/v2/team/a/blobs/uploads/")
    place = begun.headers["Location"]
    assert (await small.ask("PATCH", place, b"x" * 400)).status == 202
    parts = [b"y" * 400] * 3

    async def chunks() -> object:
        for part in parts:
            yield part

    body: object = b"".join(parts) if length else chunks()
    assert "1000 bytes" in refused(await small.ask("PATCH", place, body))
    assert small.app.shelf.catalog.usage(["**"]).octets == 0


async def test_the_last_request_of_an_upload_decides(small: Server) -> None:
    """Another push has taken the room meanwhile."""
    data = os.urandom(700)
    place = (await small.ask("POST", "/v2/team/a/blobs/uploads/")).headers["Location"]
    assert (await small.ask("PATCH", place, data)).status == 202
    await small.push("team/b", b"x" * 700)
    assert refused(await small.ask("PUT", f"{place}?digest={Digest.of(data)}"))
    assert not list(small.app.shelf.blobs.uploads())
    assert (await small.ask("GET", place)).status == 404


async def test_manifests_and_tags_count(small: Server) -> None:
    config = await small.push("team/a", b"{}")
    raw = manifest(config, 2)
    assert (await small.put("team/a/manifests/1", raw)).status == 201
    assert 'quota "each: team/a" is 1 tags' in refused(await small.put("team/a/manifests/2", raw))
    assert (await small.put("team/a/manifests/1", raw)).status == 201
    assert (await small.put(f"team/a/manifests/{Digest.of(raw)}", raw)).status == 201
    assert "bytes" in refused(await small.put("team/a/manifests/1", manifest(config, 2, annotations={"a": "x" * 900})))
    await small.push("team/b", b"{}")
    assert (await small.put("team/b/manifests/1", raw)).status == 201
    await small.push("team/c", b"{}")
    assert 'quota "small" is 2 tags' in refused(await small.put("team/c/manifests/1", raw))
    assert (await small.put("other/manifests/1", raw)).status == 400  # no quota, but no blob either


async def test_pushes_at_once_do_not_get_over_it(small: Server) -> None:
    async def push(number: int) -> int:
        data = b"%3d" % number * 100
        return (await small.ask("POST", f"/v2/team/{number}/blobs/uploads/?digest={Digest.of(data)}", data)).status

    found = await asyncio.gather(*[push(number) for number in range(12)])
    assert sorted(found) == [201] * 3 + [403] * 9
    assert small.app.shelf.catalog.usage(["team/**"]).octets == 900


async def test_pulls_are_stored_now_and_then(server: Server) -> None:
    config = await server.push("a", b"{}")
    raw = manifest(config, 2)
    await server.put("a/manifests/1", raw)
    catalog = server.app.shelf.catalog
    for path in ("a/manifests/1", f"a/manifests/{Digest.of(raw)}"):
        assert (await server.ask("GET", f"/v2/{path}")).status == 200
    assert catalog.tag_rows("a", "", 9)[0].pulled == 0
    await server.app.shelf.note_pulls()
    assert catalog.tag_rows("a", "", 9)[0].pulled > 0


def test_one_pull_in_a_minute_is_noted() -> None:
    now = [100.0]
    pulls = Pulls(lambda: now[0])
    for _ in range(3):
        pulls.note("a", "x")
        pulls.note("a", "y")
    assert pulls.take() == [("a", "x", 100.0), ("a", "y", 100.0)]
    pulls.note("a", "x")
    assert pulls.take() == []
    now[0] += AGAIN_SECONDS
    pulls.note("a", "x")
    assert pulls.take() == [("a", "x", now[0])]


def test_a_watched_file_is_read_when_it_changes_and_kept_when_it_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("1")
    said: list[str] = []

    def read(name: str) -> int:
        try:
            return int(Path(name).read_text())
        except ValueError as err:
            raise OSError("no number") from err

    file = WatchedFile(str(path), read, said.append, what="numbers")
    assert not file.look(1.0)
    path.write_text("23")
    assert not file.look(1.5)
    assert file.look(2.5)
    assert file.value == 23
    path.write_text("wrong")
    assert not file.look(4.0)
    assert not file.look(6.0)
    assert (file.value, said) == (23, ["numbers stay as they were: no number"])
    # a worker that is started anew has what the others have
    assert WatchedFile(str(path), read, said.append, what="numbers").value == 23
    with pytest.raises(OSError, match="no number"):
        WatchedFile(str(path), read, said.append, what="other numbers")
