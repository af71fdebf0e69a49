"""Layers and containers' changes as folders that only this process sees: for cp, export, diff and commit.

An indexed layer is a detached mount, named by its descriptor: it needs no supervisor, does not show in the host's
mount table and stays what it is when the supervisor unmounts its own or the layer is deleted meanwhile.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from holdall.errors import SystemFailure
from holdall.runtime import layers as mounted
from holdall.runtime.launch import LayerMount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdall.store.snapshots.layers import Layers


@contextmanager
def view(layers: Layers, diff_ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """See `Snapshotter.view`."""
    held: list[int] = []
    try:
        yield tuple([_folder(one, held) for one in layers.stack(diff_ids)])
    finally:
        for number in held:
            os.close(number)


def _folder(one: str | LayerMount, held: list[int]) -> str:
    if not isinstance(one, LayerMount):
        return one
    try:
        held.append(mounted.borrow(one))
    except OSError as err:
        raise SystemFailure(
            f'cannot mount layer "{os.path.basename(one.target)[:12]}": {(err.strerror or str(err)).lower()}',
            hint="holdall doctor tells what this kernel can mount",
        ) from err
    return f"/proc/self/fd/{held[-1]}"


@contextmanager
def written(layers: Layers, container_id: str, diff_ids: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A container's changes as an upper folder, and the layers below: of a copied root the changes are looked up."""
    folder = layers.paths.container(container_id)
    with view(layers, diff_ids) as lowers:
        if not os.path.isdir(folder + "/rootfs"):
            yield folder + "/upper", lowers
            return
        from holdall.store.snapshots.compare import changes_of

        with changes_of(folder + "/rootfs", lowers, folder) as upper:
            yield upper, lowers
