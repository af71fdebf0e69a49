"""`system reset`: nothing of the store stays, neither files nor bridge nor cgroup."""

from __future__ import annotations

import os
import time

from holdall.engine.remove import make_gone
from holdall.errors import HoldallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.engine.engine import Engine

PATIENCE = 5.0
PAUSE = 0.05
FOLDERS = ("containers", "layers", "blobs", "volumes", "ingest", "cache")
FILES = ("index.json", "oci-layout", "holdall.db-wal", "holdall.db-shm", "holdall.db")


def reset(engine: Engine) -> None:
    """Remove containers (running ones are killed), then the network, then the files; only what Holdall made there."""
    from holdall.linux import cgroups
    from holdall.runtime import layers
    from holdall.store.trees import remove_tree

    for container in engine.containers.list(all=True):
        make_gone(engine, container.id)
    if engine.networks.store.find("bridge") is not None:
        from holdall.network import bridge

        bridge.remove(engine.networks.plan())
    try:
        # the last processes may still be dying, and their groups with them
        end = time.monotonic() + PATIENCE
        while not cgroups.driver().remove_parent(engine.paths.cgroup) and time.monotonic() < end:
            time.sleep(PAUSE)
    except HoldallError:
        # no cgroups on this host: then there is none of ours either
        pass
    engine.close()
    layers.clear(engine.paths.layer_mounts)
    for name in FOLDERS:
        remove_tree(f"{engine.paths.root}/{name}")
    for name in FILES:
        try:
            os.unlink(f"{engine.paths.root}/{name}")
        except FileNotFoundError:
            continue
