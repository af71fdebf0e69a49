"""`commit`: an image of a container's changes."""

from __future__ import annotations

import time

from holdall.engine.changes import apply_changes
from holdall.engine.image import Image
from holdall.engine.network_files import FILE_TARGETS
from holdall.engine.times import rfc3339
from holdall.errors import HoldallError
from holdall.oci.reference import Reference
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.engine.container import Container
    from holdall.engine.engine import Engine
    from holdall.image.image import Layer
    from holdall.oci.container_config import ContainerConfig
    from holdall.store.holds import HeldContent
    from holdall.supervisor.client import Connection


def commit(
    engine: Engine,
    container: Container,
    name: str | None,
    *,
    author: str,
    message: str,
    changes: Sequence[str],
    pause: bool,
) -> Image:
    """Freeze it if it runs and `pause`, make a layer of its upper folder, and store image and name."""
    from holdall.image.mutate import append_layer
    from holdall.store.keeping import keeping

    reference = Reference.parse(name) if name else None
    store = engine.images.writing
    origin = store.get(container.image_id)
    with keeping(store, [origin]) as blobs:
        base = store.image(origin)
        config = apply_changes(_config(container, base.config.config), changes)
        layer = _layer(engine, container, blobs, pause=pause)
        image = append_layer(
            base,
            layer,
            config=config,
            created=rfc3339(time.time_ns()),
            created_by=" ".join(container.config.resolved.args),
            author=author,
            comment=message,
        )
        record = store.write(image, reference, parent=container.image_id)
    return Image(engine, record)


def _config(container: Container, image: ContainerConfig) -> ContainerConfig:
    """The image's configuration with what the container was started with, as Docker commits it."""
    resolved = container.config.resolved
    hidden = {"HOSTNAME", "TERM"}
    return replace(
        image,
        user=resolved.user,
        env=tuple([item for item in resolved.env if item.partition("=")[0] not in hidden]),
        entrypoint=resolved.entrypoint or None,
        cmd=resolved.command or None,
        working_dir=resolved.working_dir if resolved.working_dir != "/" else image.working_dir,
        labels=dict(resolved.labels),
        volumes=resolved.volumes,
        exposed_ports=tuple(sorted(resolved.exposed_ports)),
    )


def _layer(engine: Engine, container: Container, blobs: HeldContent, *, pause: bool) -> Layer:
    from holdall.layer.diff import write_layer
    from holdall.store.layer_maker import LayerMaker

    snapshots = engine.containers.snapshots
    with LayerMaker(snapshots, blobs) as maker:
        connection = container.connect() if pause and container.state.status == "running" else None
        try:
            if connection is not None:
                connection.pause(container.id, held=True)
            with snapshots.written(container.id, container.diff_ids) as (upper, lowers):
                write_layer(upper, lowers, maker, placeholders=FILE_TARGETS)
        finally:
            if connection is not None:
                _let_go(connection, container)
        return maker.commit().layer(blobs)


def _let_go(connection: Connection, container: Container) -> None:
    with connection:
        try:
            connection.unpause(container.id)
        except HoldallError:
            # it ended meanwhile, or a successor of the supervisor has let it go
            pass
