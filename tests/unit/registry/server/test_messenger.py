"""The messenger against an endpoint in the same event loop."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from holdall.registry.server import messenger
from holdall.registry.server.messenger import Messenger
from holdall.registry.server.meters import Meters
from holdall.registry.server.notices import ENVELOPE
from holdall.registry.server.options import ServeOptions
from holdall.registry.server.spool import Reader, Spool, folder_of

DEADLINE = 20.0


class Endpoint:
    """Keeps what it is sent; `answers` says what to answer next, then 200."""

    def __init__(self) -> None:
        self.events: list[int] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((dict(request.headers), body))
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.events += [event["n"] for event in json.loads(body)["events"]]
        if status == 302:
            return web.Response(status=302, headers={"Location": self.url + "elsewhere"})
        return web.Response(status=status)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    runner = web.ServerRunner(web.Server(made))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield made
    await runner.cleanup()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_SECONDS", "RELOAD_SECONDS", "FIRST_PAUSE"):
        monkeypatch.setattr(messenger, name, 0.02)
    monkeypatch.setattr(messenger, "MAX_PAUSE", 0.05)


def write(tmp_path: Path, *hooks: tuple[str, str], more: str = "") -> None:
    text = "".join(f'[[webhook]]\nname = "{name}"\nurl = "{url}"\n{more}\n' for name, url in hooks)
    (tmp_path / "access.toml").write_text(text)


def note(spool: Spool, number: int, *names: str) -> None:
    spool.append(json.dumps({"for": names, "event": {"n": number}}).encode() + b"\n")


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[Messenger]:
    options = ServeOptions(str(tmp_path), access_file=str(tmp_path / "access.toml"))
    one = Messenger(options, Meters(1))
    task = asyncio.create_task(one.run())
    yield one
    one._stopping.set()
    await asyncio.wait_for(task, DEADLINE)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110  # the condition is another's
            await asyncio.sleep(0.005)


async def test_events_come_in_order_signed_and_in_an_envelope(tmp_path: Path, endpoint: Endpoint) -> None:
    spool = Spool(folder_of(str(tmp_path)))
    write(tmp_path, ("a", endpoint.url), more='secret = "key"\nheaders = { Authorization = "Bearer x" }')
    for number in range(150):
        note(spool, number, "a")
    async with running(tmp_path) as one:
        await until(lambda: len(endpoint.events) == 150)
        note(spool, 150, "other", "a")
        note(spool, 151, "other")
        await until(lambda: len(endpoint.events) == 151)
        await until(lambda: one._meters.total("events_sent") == 151)
    assert endpoint.events == list(range(151))
    headers, body = endpoint.requests[0]
    assert headers["Content-Type"] == ENVELOPE
    assert headers["Authorization"] == "Bearer x"
    assert headers["X-Hub-Signature-256"] == "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest()
    assert len(endpoint.requests) == 4
    spool.close()


async def test_what_is_refused_is_sent_again_before_what_follows(
    tmp_path: Path, endpoint: Endpoint, capfd: pytest.CaptureFixture[str]
) -> None:
    spool = Spool(folder_of(str(tmp_path)))
    write(tmp_path, ("a", endpoint.url))
    endpoint.answers = [500, 404, 302, 429, 503]
    for number in range(5):
        note(spool, number, "a")
    async with running(tmp_path) as one:
        await until(lambda: len(endpoint.events) == 5)
        assert one._meters.total("events_failures") == 5
    assert endpoint.events == list(range(5))
    assert len({body for _, body in endpoint.requests}) == 1, "the same events, with the same ids"
    assert capfd.readouterr().err.count("takes no events") == 1
    spool.close()


async def test_a_dead_endpoint_holds_up_no_other_and_loses_nothing(tmp_path: Path, endpoint: Endpoint) -> None:
    spool = Spool(folder_of(str(tmp_path)))
    write(tmp_path, ("dead", "http://127.0.0.1:1/"), ("live", endpoint.url))
    for number in range(5):
        note(spool, number, "dead", "live")
    async with running(tmp_path) as one:
        await until(lambda: len(endpoint.events) == 5)
        await until(lambda: one._meters.total("events_failures") > 2)
    # the other comes back after a restart, at another address
    write(tmp_path, ("dead", endpoint.url), ("live", endpoint.url))
    async with running(tmp_path):
        await until(lambda: len(endpoint.events) == 10)
        note(spool, 5, "live")
        await until(lambda: len(endpoint.events) == 11)
    assert endpoint.events == [*range(5), *range(5), 5]
    spool.close()


async def test_a_slow_endpoint_is_given_up_and_tried_again(
    tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(folder_of(str(tmp_path)))
    write(tmp_path, ("a", endpoint.url), more="timeout = 1")
    asked, ended = asyncio.Event(), asyncio.Event()
    answer = endpoint.__call__

    async def slow(self: Endpoint, request: web.BaseRequest) -> web.StreamResponse:
        if not asked.is_set():
            asked.set()
            await ended.wait()
        return await answer(request)

    monkeypatch.setattr(Endpoint, "__call__", slow)
    note(spool, 1, "a")
    async with running(tmp_path):
        await until(lambda: endpoint.events == [1])
    ended.set()
    spool.close()


async def test_webhooks_come_and_go_while_it_runs(tmp_path: Path, endpoint: Endpoint) -> None:
    spool = Spool(folder_of(str(tmp_path)))
    write(tmp_path)
    async with running(tmp_path) as one:
        note(spool, 1, "a")
        write(tmp_path, ("a", endpoint.url))
        await until(lambda: endpoint.events == [1])
        (tmp_path / "access.toml").write_text("nonsense = 1")
        note(spool, 2, "a")
        await until(lambda: endpoint.events == [1, 2])
        write(tmp_path)
        await until(lambda: not one._tasks and Reader(folder_of(str(tmp_path))).sent("a") is None)
    spool.close()


async def test_a_missing_secret_is_a_reason_to_wait(tmp_path: Path, endpoint: Endpoint) -> None:
    spool = Spool(folder_of(str(tmp_path)))
    write(tmp_path, ("a", endpoint.url), more='secret_file = "secret"')
    note(spool, 1, "a")
    async with running(tmp_path) as one:
        await until(lambda: one._meters.total("events_failures") > 1)
        assert endpoint.requests == []
        (tmp_path / "secret").write_text("key\n")
        await until(lambda: endpoint.events == [1])
    assert "X-Hub-Signature-256" in endpoint.requests[0][0]
    spool.close()


async def test_a_second_messenger_waits_for_the_first_to_end(tmp_path: Path, endpoint: Endpoint) -> None:
    spool = Spool(folder_of(str(tmp_path)))
    write(tmp_path, ("a", endpoint.url))
    async with running(tmp_path) as first:
        await until(lambda: bool(first._tasks))
        async with running(tmp_path) as second:
            note(spool, 1, "a")
            await until(lambda: endpoint.events == [1])
            assert not second._tasks
            first._stopping.set()
            await until(lambda: bool(second._tasks))
            note(spool, 2, "a")
            await until(lambda: endpoint.events == [1, 2])
    spool.close()
