"""`doctor --clean`: bring what crashes left behind to its end."""

from __future__ import annotations

import os

from holdall.errors import HoldallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.engine.engine import Engine


def mend(engine: Engine) -> Iterator[str]:
    """Remove leftovers, yielding a sentence for each. Containers that run are adopted first and left alone."""
    from holdall.supervisor.client import connect

    yield from _driver(engine)
    yield from _layers(engine)
    with connect(engine.paths) as connection:
        connection.containers()
        alive = {container.id for container in engine.containers.list()}
        yield from _cgroups(engine, alive)
        yield from _interfaces(engine, alive)
        yield from _folders(engine, alive)
    for garbage in engine.system.collect():
        yield f"{garbage.kind} {garbage.subject}"


def _driver(engine: Engine) -> Iterator[str]:
    """What the store has noted of this kernel, if that has changed without a new release (a module came or went)."""
    from holdall.store.snapshots.choose import look_again, verdict
    from holdall.store.snapshots.probe import probe

    noted, now = verdict(engine.paths, engine.database()), probe(engine.paths)
    if (noted.driver, noted.way) != (now.driver, now.way):
        look_again(engine.paths, engine.database())
        yield f"storage driver {noted.driver}, now {now.driver}"


def _layers(engine: Engine) -> Iterator[str]:
    """Mounts of layers that no supervisor looks after: a new one takes them over, or off when nothing runs."""
    from holdall.runtime import layers
    from holdall.supervisor.bringup import is_owned
    from holdall.supervisor.client import connect

    for place in layers.orphans():
        layers.detach(place)
        yield f"mount {place}"
    if is_owned(engine.paths):
        return
    before = layers.mounted(engine.paths.layer_mounts)
    if before:
        with connect(engine.paths) as connection:
            connection.containers()
        for place in sorted(set(before) - set(layers.mounted(engine.paths.layer_mounts))):
            yield f"mount {place}"


def _cgroups(engine: Engine, alive: set[str]) -> Iterator[str]:
    from holdall.linux import cgroups

    driver = cgroups.driver()
    for name in driver.leftovers(engine.paths.cgroup, alive):
        group = driver.open(engine.paths.cgroup, name)
        group.kill()
        group.remove()
        yield f"cgroup {name}"


def _interfaces(engine: Engine, alive: set[str]) -> Iterator[str]:
    if engine.networks.store.find("bridge") is None:
        return
    from holdall.linux import netlink, rtnetlink
    from holdall.network.plan import veth_name, veth_prefix

    table = engine.networks.plan().table
    known = {veth_name(table, identifier) for identifier in alive}
    with netlink.Connection(netlink.ROUTE) as connection:
        for link in rtnetlink.links(connection):
            if link.kind == "veth" and link.name.startswith(veth_prefix(table)) and link.name not in known:
                connection.transact([rtnetlink.delete_link(link.name)])
                yield f"interface {link.name}"


def _folders(engine: Engine, alive: set[str]) -> Iterator[str]:
    from holdall.store.trees import remove_tree

    folder = engine.paths.run_root + "/containers"
    names = os.listdir(folder) if os.path.isdir(folder) else []
    for name in sorted(set(names) - alive):
        try:
            remove_tree(f"{folder}/{name}")
        except (HoldallError, OSError):
            continue
        yield f"run folder {name}"
