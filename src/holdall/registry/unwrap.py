"""Errors on their way out: of a group of tasks the first one, with the work's name in front of the message."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager

from holdall.errors import HoldallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from types import TracebackType
    from typing import Any, Self, TypeVar

    T = TypeVar("T")


class Tasks:
    """Tasks that end together: when one fails the others are cancelled and its exception, not a group, is raised."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run it beside the others."""
        return self._group.create_task(work)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            raise first(group) from None


def first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The earliest exception of a group that is no group itself."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextmanager
def named(work: str) -> Iterator[None]:
    """Put `work` ("cannot pull …") before the message of our own exceptions; class and hint stay."""
    try:
        yield
    except HoldallError as err:
        err.message = f"{work}: {err.message}"
        err.args = (err.message,)
        raise
