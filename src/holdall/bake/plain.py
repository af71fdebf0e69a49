"""Errors about files of others: what they quote must neither steer a terminal nor fill it."""

from __future__ import annotations

from contextlib import contextmanager

from holdall.dockerfile.location import visible
from holdall.errors import HoldallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MESSAGE = 1000


@contextmanager
def plain_errors() -> Iterator[None]:
    """What is raised within, or in a function that this decorates, has a message in plain text of bounded length."""
    try:
        yield
    except HoldallError as err:
        err.message = visible(err.message)
        if len(err.message) > MAX_MESSAGE:
            err.message = err.message[: MAX_MESSAGE - 1] + "…"
        raise
