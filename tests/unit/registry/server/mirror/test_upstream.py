from __future__ import annotations

import pytest

from holdall.errors import IntegrityError, ManifestUnknown, Unauthorized
from holdall.registry.endpoint import Endpoint
from holdall.registry.failures import BadStatus, TooManyRequests, Unreachable
from holdall.registry.server.mirror.remembered import Remembered
from holdall.registry.server.mirror.settings import Mirror
from holdall.registry.server.mirror.trouble import Absent, Denied, Down, Limited, Trouble, Wrong
from holdall.registry.server.mirror.upstream import Upstream


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Fake:
    """An upstream that fails as it is told, and how often it was asked."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.said: list[str] = []
        self.asked = 0
        self.upstream = Upstream(Mirror("up", Endpoint("up", "h"), timeout=5), self.said.append, self.clock)

    async def ask(self, err: Exception | None) -> Trouble | None:
        async def work() -> int:
            self.asked += 1
            if err is not None:
                raise err
            return 1

        try:
            await self.upstream.ask(work)
        except Trouble as trouble:
            return trouble
        return None


@pytest.mark.parametrize(
    ("err", "kind", "status"),
    [
        (ManifestUnknown("x"), Absent, 404),
        (BadStatus("x", 404), Absent, 404),
        (Unauthorized("x"), Denied, 404),
        (IntegrityError("x"), Wrong, 502),
        (BadStatus("x", 400), Wrong, 502),
        (BadStatus("x", 500), Down, 503),
        (Unreachable("x", "connect"), Down, 503),
        (TooManyRequests("x", 5.0), Limited, 429),
    ],
)
async def test_errors_become_troubles(err: Exception, kind: type[Trouble], status: int) -> None:
    found = await Fake().ask(err)
    assert type(found) is kind
    refusal = found.refusal("BLOB_UNKNOWN")
    assert refusal.status == status
    assert ("Retry-After" in refusal.headers) == (status in (429, 503))


async def test_a_broken_connection_is_tried_once_more() -> None:
    fake = Fake()
    assert isinstance(await fake.ask(Unreachable("x", "lost")), Down)
    assert fake.asked == 2


async def test_who_does_not_answer_rests_longer_each_time() -> None:
    fake = Fake()
    waits = []
    for _ in range(8):
        found = await fake.ask(Unreachable("x", "connect"))
        assert isinstance(found, Down)
        waits.append(found.wait)
        asked = fake.asked
        resting = await fake.ask(None)
        assert isinstance(resting, Down)
        assert 0 < resting.wait <= found.wait
        assert fake.asked == asked
        fake.clock.now += found.wait
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    assert await fake.ask(None) is None
    found = await fake.ask(Unreachable("x", "connect"))
    assert found is not None
    assert found.wait == 2


async def test_one_error_of_theirs_is_no_reason_to_rest() -> None:
    fake = Fake()
    for _ in range(2):
        found = await fake.ask(BadStatus("x", 500))
        assert isinstance(found, Down)
        assert not found.wait
    found = await fake.ask(BadStatus("x", 500))
    assert found is not None
    assert found.wait == 2


@pytest.mark.parametrize(("told", "kept"), [(5.0, 5.0), (None, 60.0), (1e9, 3_600.0), (0.0, 1.0)])
async def test_a_pause_is_kept(told: float | None, kept: float) -> None:
    fake = Fake()
    found = await fake.ask(TooManyRequests("x", told))
    assert isinstance(found, Limited)
    assert found.wait == kept
    assert isinstance(await fake.ask(None), Limited)
    fake.clock.now += kept
    assert await fake.ask(None) is None


async def test_complaints_are_not_repeated_all_the_time() -> None:
    fake = Fake()
    for _ in range(5):
        await fake.ask(Unauthorized("x"))
    assert len(fake.said) == 1
    fake.clock.now += 61
    await fake.ask(Unauthorized("x"))
    assert len(fake.said) == 2


def test_things_are_remembered_for_their_time_and_within_bounds() -> None:
    clock = Clock()
    kept: Remembered[int] = Remembered(3, clock)
    for number in range(4):
        kept.put(number, number, 10 + number)
    kept.put("never", 1, 0)
    assert [kept.get(number) for number in range(4)] == [None, 1, 2, 3]
    clock.now += 11
    assert [kept.get(number) for number in range(4)] == [None, None, 2, 3]
    kept.drop(2)
    kept.drop(2)
    assert kept.get(2) is None
