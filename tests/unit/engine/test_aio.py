"""The async twin has the methods and arguments of the sync engine."""

from __future__ import annotations

import inspect

import pytest

from holdall.engine import aio
from holdall.engine.container import Container
from holdall.engine.containers import Containers
from holdall.engine.images import Images
from holdall.engine.networks import Networks
from holdall.engine.registries import Registries
from holdall.engine.system import System
from holdall.engine.volumes import Volumes

INTERNAL = {"discard", "connect", "deliver", "plan"}
PAIRS = (
    (Containers, aio.AsyncContainers), (Container, aio.AsyncContainer), (Images, aio.AsyncImages),
    (Volumes, aio.AsyncVolumes), (Networks, aio.AsyncNetworks), (Registries, aio.AsyncRegistries),
    (System, aio.AsyncSystem),
)  # fmt: skip


def methods(cls: type) -> dict[str, inspect.Signature]:
    found = inspect.getmembers(cls, inspect.isfunction)
    return {name: inspect.signature(f) for name, f in found if not name.startswith("_") and name not in INTERNAL}


@pytest.mark.parametrize(("sync", "twin"), PAIRS, ids=lambda cls: cls.__name__)
def test_every_method_has_a_twin_with_the_same_arguments(sync: type, twin: type) -> None:
    mine, theirs = methods(sync), methods(twin)
    assert set(mine) <= set(theirs)
    for name, signature in mine.items():
        skipped = {"connection"}
        wanted = [(p.name, p.kind, p.default) for p in signature.parameters.values() if p.name not in skipped]
        got = [(p.name, p.kind, p.default) for p in theirs[name].parameters.values()]
        assert got == wanted, f"{twin.__name__}.{name}"
        coroutine = inspect.iscoroutinefunction(getattr(twin, name)) or inspect.isasyncgenfunction(getattr(twin, name))
        assert coroutine, f"{twin.__name__}.{name} is not asynchronous"
