from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.oci.digest import Digest
from holdall.registry.server.access import Access
from holdall.registry.server.limits import Buckets, Limit, Limiter, Limits
from holdall.registry.server.refusal import Refusal
from holdall.testing.served import served

FIVE = Limit(requests=5, burst=10)


@pytest.fixture
def buckets() -> Iterator[Buckets]:
    made = Buckets()
    yield made
    made.close()


def granted(buckets: Buckets, limit: Limit, now: float, asked: int = 100, client: str = "a") -> int:
    return sum(not buckets.take(client, limit, now) for _ in range(asked))


def test_a_burst_then_the_rate(buckets: Buckets) -> None:
    assert granted(buckets, FIVE, 1000.0) == 10
    assert buckets.take("a", FIVE, 1000.0) == pytest.approx(0.2)
    assert granted(buckets, FIVE, 1000.1) == 0
    assert granted(buckets, FIVE, 1001.0) == 5
    assert granted(buckets, FIVE, 1100.0) == 10, "more than the burst is never kept"


def test_waiting_as_long_as_said_is_enough_and_less_is_not(buckets: Buckets) -> None:
    now = 5000.0
    for limit in (FIVE, Limit(requests=0.1, burst=1), Limit(requests=1000, burst=3)):
        client = str(limit)
        granted(buckets, limit, now, client=client)
        wait = buckets.take(client, limit, now)
        assert wait > 0
        assert buckets.take(client, limit, now + wait * 0.98)
        assert not buckets.take(client, limit, now + wait + 1e-6)


def test_refused_requests_cost_nothing(buckets: Buckets) -> None:
    assert granted(buckets, FIVE, 1000.0, asked=10_000) == 10
    assert not buckets.take("a", FIVE, 1000.21)


def test_clients_are_apart(buckets: Buckets) -> None:
    assert granted(buckets, FIVE, 1000.0, client="a") == 10
    assert granted(buckets, FIVE, 1000.0, client="b") == 10


def test_bytes_are_owed_until_they_are_paid() -> None:
    limit = Limit(bytes=100, burst_bytes=1000)
    buckets = Buckets()
    buckets.spend("a", limit, 1000, 1000.0)
    assert buckets.wait("a", limit, 1000.0) == 0
    buckets.spend("a", limit, 5000, 1000.0)
    assert buckets.take("a", limit, 1000.0) == pytest.approx(50)
    assert buckets.take("a", limit, 1049.0) == pytest.approx(1)
    assert buckets.take("a", limit, 1050.1) == 0
    assert buckets.take("b", limit, 1000.0) == 0


def test_no_limit_is_no_limit(buckets: Buckets) -> None:
    assert granted(buckets, Limit(), 1.0, asked=1000) == 1000
    buckets.spend("a", Limit(), 1 << 50, 1.0)
    assert granted(buckets, Limit(), 1.0, asked=10) == 10


def test_a_full_table_forgets_whoever_has_the_fullest_bucket() -> None:
    small = Buckets(slots=8)
    slow = Limit(requests=0.001, burst=1)
    assert not small.take("guilty", slow, 1000.0)
    for number in range(500):
        small.take(f"passer-by {number}", FIVE, 1000.0)
    assert small.take("guilty", slow, 1000.0), "the one with the longest debt is the last to be forgotten"
    small.close()


def _take(buckets: Buckets, turns: int, found: multiprocessing.SimpleQueue[int]) -> None:
    found.put(granted(buckets, Limit(requests=1, burst=500), 1000.0, turns))


def test_processes_share_buckets(buckets: Buckets) -> None:
    fork = multiprocessing.get_context("fork")
    found = fork.SimpleQueue()
    children = [fork.Process(target=_take, args=(buckets, 400, found)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert sum(found.get() for _ in children) == 500


def test_users_have_limits_of_their_own() -> None:
    limits = Limits(FIVE, ((("ci", "token:bot"), Limit()), (("*",), Limit(requests=50, burst=100))))
    assert limits.on
    assert limits.of("") == FIVE
    assert limits.of("ci") == limits.of("token:bot") == Limit()
    assert limits.of("alice").requests == 50
    assert Limits(FIVE).of("alice") == FIVE
    assert not Limits().on


def test_a_refusal_says_how_long_to_wait(buckets: Buckets) -> None:
    limiter, limits = Limiter(buckets), Limits(Limit(requests=0.5, burst=1))
    limiter.take(limits, "", "192.0.2.1", 10.0)
    with pytest.raises(Refusal) as caught:
        limiter.take(limits, "", "192.0.2.1", 10.5)
    assert (caught.value.status, caught.value.code) == (429, "TOOMANYREQUESTS")
    assert caught.value.headers["Retry-After"] == "2"
    limiter.take(limits, "", "192.0.2.2", 10.5)
    limiter.take(limits, "alice", "192.0.2.1", 10.5)
    with pytest.raises(Refusal):
        limiter.look(limits, "", "192.0.2.1", 10.5)


# as requests meet them

TOML = """
anonymous = ["pull", "push"]
trusted_proxies = ["127.0.0.1"]
[limits]
requests = 0.001
burst = 4
"""


def behind(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


async def test_requests_beyond_the_limit_are_429(tmp_path: Path) -> None:
    (tmp_path / "access.toml").write_text(TOML)
    async with served(str(tmp_path), Access(access=str(tmp_path / "access.toml"))) as server:
        for _ in range(4):
            assert (await server.ask("GET", "/v2/a/tags/list", headers=behind("192.0.2.1"))).status == 404
        answer = await server.ask("GET", "/v2/a/tags/list", headers=behind("192.0.2.1"))
        assert (answer.status, answer.codes) == (429, ["TOOMANYREQUESTS"])
        assert int(answer.headers["Retry-After"]) > 100
        assert (await server.ask("GET", "/v2/a/tags/list", headers=behind("192.0.2.2"))).status == 404
        assert (await server.ask("GET", "/healthz", headers=behind("192.0.2.1"))).status == 200
        server.app.log.flush()
        assert '"client":"192.0.2.1"' in (tmp_path / "access.log").read_text()
        assert server.app.meters.total("rate_limited") == 1


async def test_wrong_passwords_count_against_the_address_and_are_not_worked_on_for_ever(tmp_path: Path) -> None:
    (tmp_path / "access.toml").write_text(TOML)
    async with served(str(tmp_path), Access(access=str(tmp_path / "access.toml"))) as server:
        wrong = {"Authorization": "Basic YTpi", **behind("192.0.2.1")}
        statuses = [(await server.ask("GET", "/v2/", headers=wrong)).status for _ in range(6)]
        assert statuses == [401] * 4 + [429] * 2


async def test_bytes_of_both_directions_count(tmp_path: Path) -> None:
    rules = 'anonymous = ["pull", "push"]\ntrusted_proxies = ["127.0.0.1"]\n'
    (tmp_path / "access.toml").write_text(rules + '[limits]\nbytes = 1\nburst_bytes = "64k"\n')
    async with served(str(tmp_path), Access(access=str(tmp_path / "access.toml"))) as server:
        data = b"x" * 100_000
        digest = Digest.of(data)
        first, second, third = behind("192.0.2.1"), behind("192.0.2.2"), behind("192.0.2.3")
        path = f"/v2/a/blobs/uploads/?digest={digest}"
        assert (await server.ask("POST", path, data, first)).status == 201, "what is under way is never cut off"
        assert (await server.ask("GET", f"/v2/a/blobs/{digest}", headers=first)).status == 429
        assert (await server.ask("GET", f"/v2/a/blobs/{digest}", headers=second)).body == data
        assert (await server.ask("GET", f"/v2/a/blobs/{digest}", headers=second)).status == 429
        head = await server.ask("HEAD", f"/v2/a/blobs/{digest}", headers=third)
        assert head.status == 200
        assert (await server.ask("HEAD", f"/v2/a/blobs/{digest}", headers=third)).status == 200
