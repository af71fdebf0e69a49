"""Containers of steps whose builds are gone, while somebody else removes them."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack

import pytest

from holdall.engine.engine import Engine
from holdall.engine.options import CreateOptions
from holdall.engine.step_owner import own, sweep
from holdall.store.containers import ContainerRow
from holdall.supervisor.client import connect
from holdall.testing.building import Workshop
from holdall.testing.command import busybox_available

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]


def left_step(engine: Engine) -> str:
    """The container of a step that has ended, and whose build is gone."""
    container = engine.containers.create(CreateOptions(image="bb", command=("true",), network="none"))
    container.start()
    container.wait()
    with engine.database(durable=True).transaction() as database:
        database.execute("UPDATE containers SET image = '' WHERE id = ?", (container.id,))
    return container.id


def rows(engine: Engine) -> list[ContainerRow]:
    return list(engine.containers.store.list())


def test_a_removal_under_way_is_waited_for(workshop: Workshop) -> None:
    paths = workshop.store.paths
    with Engine(paths.root, paths.run_root) as engine, connect(paths) as remover:
        container_id = left_step(engine)
        remover.forget(container_id)
        sweeping = threading.Thread(target=sweep, args=[engine])
        sweeping.start()
        time.sleep(0.3)
        assert sweeping.is_alive()
        assert [row.id for row in rows(engine)] == [container_id]
        remover.close()
        sweeping.join(30)
        assert not sweeping.is_alive()
        assert rows(engine) == []
    workshop.rests()


def test_a_prune_leaves_what_a_build_is_at(workshop: Workshop) -> None:
    paths = workshop.store.paths
    with Engine(paths.root, paths.run_root) as engine:
        container_id = left_step(engine)
        with ExitStack() as stack:
            own(engine, container_id, stack)
            assert workshop.store.run("container", "prune", "-f").count(container_id) == 0
            assert workshop.store.run("system", "prune", "-f").count(container_id) == 0
            assert [row.id for row in rows(engine)] == [container_id]
        assert engine.containers.prune().removed == (container_id,)
    workshop.rests()


def test_a_reset_waits_for_a_removal_under_way() -> None:
    with Workshop() as workshop:
        paths = workshop.store.paths
        with Engine(paths.root, paths.run_root) as engine, connect(paths) as remover:
            remover.forget(left_step(engine))
            resetting = threading.Thread(target=engine.system.reset)
            resetting.start()
            time.sleep(0.3)
            assert resetting.is_alive()
            remover.close()
            resetting.join(30)
            assert not resetting.is_alive()
        assert not os.path.exists(paths.database)
