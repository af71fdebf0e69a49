from __future__ import annotations

import asyncio

import pytest

from holdall.errors import ManifestUnknown, RegistryError
from holdall.registry.unwrap import Tasks, first, named


async def fail(after: float, err: BaseException) -> None:
    await asyncio.sleep(after)
    raise err


async def test_the_first_failure_is_raised_and_the_others_are_cancelled() -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    with pytest.raises(RegistryError, match="first"):
        async with Tasks() as tasks:
            tasks.start(wait())
            tasks.start(fail(0.01, RegistryError("first")))
            tasks.start(fail(5, RegistryError("second")))
    assert ended == ["cancelled"]


async def test_results() -> None:
    async with Tasks() as tasks:
        slept = tasks.start(asyncio.sleep(0, "done"))
    assert slept.result() == "done"


async def test_cancelling_is_not_a_failure() -> None:
    async def work() -> None:
        async with Tasks() as tasks:
            tasks.start(asyncio.sleep(60))

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_groups_in_groups() -> None:
    inner = BaseExceptionGroup("in", [KeyError("a")])
    assert isinstance(first(BaseExceptionGroup("out", [inner, ValueError("b")])), KeyError)


def test_the_work_is_named_and_the_class_stays() -> None:
    with pytest.raises(ManifestUnknown) as caught, named('cannot pull "x"'):
        raise ManifestUnknown("manifest unknown", hint="do this")
    assert (str(caught.value), caught.value.hint) == ('cannot pull "x": manifest unknown', "do this")
    with pytest.raises(KeyError), named("other"):
        raise KeyError("as it was")
