"""Make a container: resolve everything that can be known before it starts, lay out its folder, write its row."""

from __future__ import annotations

import os
import time

from holdall.engine import limits
from holdall.engine.config import StoredConfig
from holdall.engine.devices import resolve_devices
from holdall.engine.mounts import copy_targets, resolve_mounts
from holdall.engine.names import check_name, new_id, random_name, short
from holdall.engine.resolve import resolve
from holdall.engine.security import SecurityOptions
from holdall.engine.signals import parse_signal
from holdall.errors import InvalidOption, NameInUse, Unsupported
from holdall.store.containers import ContainerRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.engine.engine import Engine
    from holdall.engine.options import CreateOptions
    from holdall.events import Reporter

NETWORKS = ("bridge", "none", "host")
NAME_TRIES = 10


def create(engine: Engine, options: CreateOptions, reporter: Reporter) -> tuple[ContainerRow, StoredConfig]:
    """Create a container and return its row. Raises what a wrong option, a missing image or a taken name deserve.

    Order: folder, then row, so that a row never names a missing folder; a folder without row is garbage.
    """
    check(options)
    image = engine.images.ensure(options.image, pull=options.pull, platform=options.platform, reporter=reporter)
    container_id = new_id()
    resolved = resolve(options, image.config.config, options.hostname or short(container_id))
    parse_signal(resolved.stop_signal)
    volumes = engine.volumes.store
    mounts = resolve_mounts(options.mounts, resolved.volumes, volumes)
    config = StoredConfig(options, resolved, mounts, str(image.config.platform))
    lay_out(engine, container_id, image.diff_ids)
    try:
        fill = copy_targets(options.mounts, mounts)
        if fill:
            from holdall.engine.copyup import copy_up
            from holdall.store.busy import busy

            folder = engine.paths.container(container_id)
            with busy(engine.paths, folder):
                copy_up(engine, container_id, image.diff_ids, fill)
                # as young as any new one again, to `gc`
                os.utime(folder)
        row = insert(engine, container_id, options, config, image.id)
    except BaseException:
        engine.containers.discard(container_id)
        raise
    return row, config


def check(options: CreateOptions) -> None:
    """Refuse what contradicts itself or is not supported. Raises InvalidOption or Unsupported."""
    limits.check(options.resources)
    resolve_devices(options.devices)
    SecurityOptions.parse(options.security_opt)
    if options.network not in NETWORKS and options.network != "default":
        raise Unsupported(f'the network "{options.network}" is not supported', hint=f"use one of {', '.join(NETWORKS)}")
    if options.pull not in ("missing", "always", "never"):
        raise InvalidOption(f'invalid value "{options.pull}" for --pull', hint="use missing, always or never")
    if options.auto_remove and options.restart.name != "no":
        raise InvalidOption("--rm and --restart contradict each other")
    for option, value in (("--pid", options.pid), ("--ipc", options.ipc), ("--uts", options.uts)):
        if value not in ("", "private", "host"):
            raise Unsupported(f'the value "{value}" of {option} is not supported', hint="use host or private")
    if options.network == "host" and (options.ports or options.publish_all):
        raise InvalidOption("published ports have no meaning with --network host")
    if options.ports and options.network == "none":
        raise InvalidOption("published ports have no meaning with --network none")
    if options.ports:
        from holdall.network import ports

        ports.parse_all(options.ports)
    if options.network not in ("bridge", "default") and any(t.endswith("host-gateway") for t in options.add_hosts):
        raise InvalidOption(
            f'--add-host host-gateway needs a gateway, and the network "{options.network}" has none',
            hint="use the bridge network",
        )
    if options.sysctls:
        from holdall.runtime import sysctls

        shared = {"network": options.network, "ipc": options.ipc}
        sysctls.check(options.sysctls, [kind for kind, value in shared.items() if value != "host"])
    if options.dns or options.dns_search or options.add_hosts:
        from holdall.network import files

        for texts, parse in (
            (options.dns, files.check_server),
            (options.dns_search, files.check_search),
            (options.add_hosts, files.parse_add_host),
        ):
            for text in texts:
                parse(text)


def lay_out(engine: Engine, container_id: str, diff_ids: tuple[str, ...]) -> None:
    """Make the container's folder with its upper and work folders."""
    engine.containers.snapshots.prepare(container_id, diff_ids)
    for name in ("etc", "logs"):
        os.mkdir(f"{engine.paths.container(container_id)}/{name}", 0o711 if name == "etc" else 0o700)


def insert(
    engine: Engine, container_id: str, options: CreateOptions, config: StoredConfig, image_id: str
) -> ContainerRow:
    """Write the row, under the given name or a random one that is free. Raises NameInUse."""
    volumes = [mount.name for mount in config.mounts if mount.name]
    for attempt in range(NAME_TRIES):
        name = check_name(options.name) if options.name else random_name()
        if attempt and not options.name:
            name += f"_{os.urandom(2).hex()}"
        row = ContainerRow(
            container_id, name, image_id, options.image, time.time_ns(), config.dump(), config.resolved.labels
        )
        try:
            return engine.containers.store.insert(row, volumes=volumes)
        except NameInUse:
            if options.name or attempt == NAME_TRIES - 1:
                raise
    raise AssertionError
