"""`update`: other limits and another restart policy, now and for later starts."""

from __future__ import annotations

from holdall.engine import limits
from holdall.engine.config import StoredConfig
from holdall.engine.options import Resources
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.engine.engine import Engine
    from holdall.engine.options import RestartPolicy
    from holdall.store.containers import ContainerRow


def update(
    engine: Engine, row: ContainerRow, config: StoredConfig, resources: Resources, restart: RestartPolicy | None
) -> tuple[ContainerRow, StoredConfig]:
    """Merge what is given into what is stored, store it, and apply it if the container runs. Raises InvalidOption."""
    from holdall.engine.start import rewrite
    from holdall.supervisor.client import connect
    from holdall.supervisor.state import read_state

    options = config.options
    given = {key: value for key, value in resources.__dict__.items() if value is not None}
    merged = replace(options.resources, **given)
    limits.check(merged)
    changed = replace(config, options=replace(options, resources=merged, restart=restart or options.restart))
    text = changed.dump()
    engine.containers.store.update_config(row.id, text)
    row = replace(row, config=text)
    state = read_state(engine.paths, row.id)
    if state.alive or state.status == "restarting":
        rewrite(engine, row, changed)
        with connect(engine.paths) as connection:
            connection.update(row.id, limits.oci_resources(merged))
    return row, changed
