"""What a start needs on disk, derived anew each time from the container's row: config.json, launch.json, etc/ files.

Nothing here is durable or needs to be: the row is the truth, and after a crash the next start writes all of it again.
"""

from __future__ import annotations

import json
import os
import sys

from holdall.engine import limits
from holdall.engine.devices import resolve_devices
from holdall.engine.names import short
from holdall.engine.network_files import FILE_TARGETS, write_network_files
from holdall.engine.security import SecurityOptions
from holdall.engine.signals import parse_signal
from holdall.errors import NotPermitted
from holdall.oci import runtime_spec_json
from holdall.oci.runtime_spec import Mount, Rlimit
from holdall.record import replace
from holdall.runtime.bundle import DEFAULT_SHM_SIZE, Wishes, build
from holdall.runtime.launch import Overlay
from holdall.supervisor import launch as launches
from holdall.supervisor.durable import write_atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from holdall.engine.config import MountPoint, StoredConfig
    from holdall.engine.engine import Engine
    from holdall.engine.options import CreateOptions
    from holdall.network.plan import Attachment, NetworkPlan, PortBinding
    from holdall.oci.runtime_spec import RuntimeSpec
    from holdall.store.containers import ContainerRow


def prepare(engine: Engine, row: ContainerRow, config: StoredConfig, more: Mapping[str, Any] | None = None) -> None:
    """Write all files of the next start; `more` are fields of the Launch that no configuration has.

    Raises StoreCorrupt, PathNotFound, InvalidOption, Conflict, NotPermitted."""
    if os.geteuid():
        raise NotPermitted("cannot start a container as an ordinary user", hint="run it as root: sudo holdall …")
    plan, attachment = attach(engine, row, config)
    folder = engine.paths.container(row.id)
    write_network_files(row, config, folder, attachment)
    security = SecurityOptions.parse(config.options.security_opt)
    spec = make_spec(row, config, folder, security)
    seccomp = seccomp_filter(engine, config.options, security, spec)
    write_atomic(folder + "/config.json", runtime_spec_json.serialise(spec), durable=False, shared=True)
    launch = make_launch(engine, row, config, plan, attachment, seccomp, dict(spec.resources or {}))
    if more:
        launch = replace(launch, **more)
    write_launch(engine, launch)
    if engine.explain is not None:
        for line in describe(spec, launch):
            engine.explain(line)


def describe(spec: RuntimeSpec, launch: launches.Launch) -> list[str]:
    """What will be done, one line for each decision: what `--debug` prints."""
    root = launch.rootfs
    layers = f"{len(root.lowers)} layers under {root.upper}" if isinstance(root, Overlay) else root.path
    lines = [
        f"process: {' '.join(spec.process.args)} in {spec.process.cwd} as {launch.user or 'root'}",
        f"root: {layers}" + (", read-only" if spec.root_readonly else ""),
        *[f"mount: {m.type or 'bind'} {m.source} at {m.destination} ({','.join(m.options)})" for m in spec.mounts],
        f"namespaces: {' '.join(n.type for n in spec.namespaces)}",
        f"capabilities: {' '.join(spec.process.capabilities.bounding) if spec.process.capabilities else 'none'}",
        f"seccomp: {launch.seccomp or 'none'}",
        f"cgroup: {launch.cgroup}",
    ]
    lines += [value.describe() for value in (launch.plan, launch.attachment) if value is not None]
    return lines


def rewrite(engine: Engine, row: ContainerRow, config: StoredConfig) -> None:
    """Renew launch.json after a rename or update, keeping what only a start decides (addresses, filter)."""
    old = launches.read_launch(engine.paths, row.id)
    write_launch(engine, make_launch(engine, row, config, old.plan, old.attachment, old.seccomp, resources(config)))


def write_launch(engine: Engine, launch: launches.Launch) -> None:
    """Put launch.json into the container's folder."""
    raw = json.dumps(launches.to_json(launch), separators=(",", ":")).encode()
    write_atomic(launches.launch_path(engine.paths, launch.id), raw, durable=False, shared=True)


def attach(engine: Engine, row: ContainerRow, config: StoredConfig) -> tuple[NetworkPlan | None, Attachment | None]:
    """The container's place on the bridge: the address it had before if that is still its own. Raises Conflict."""
    if config.options.network in ("none", "host"):
        return None, None
    from holdall.engine.addresses import lease
    from holdall.network.plan import make_attachment

    plan = engine.networks.plan()
    return plan, make_attachment(plan, row.id, lease(engine, plan, row.id), bindings(config))


def bindings(config: StoredConfig) -> tuple[PortBinding, ...]:
    """Every port to publish, those of --publish-all included. Raises InvalidOption."""
    options = config.options
    if not options.ports and not options.publish_all:
        return ()
    from holdall.network import ports

    found = ports.parse_all(options.ports)
    if not options.publish_all:
        return found
    published = {(binding.container_port, binding.protocol) for binding in found}
    more = ports.exposed(config.resolved.exposed_ports)
    return (*found, *[b for b in more if (b.container_port, b.protocol) not in published])


def make_spec(row: ContainerRow, config: StoredConfig, folder: str, security: SecurityOptions) -> RuntimeSpec:
    """config.json of the runtime specification. Raises InvalidOption for an unknown capability."""
    options, resolved = config.options, config.resolved
    return build(
        Wishes(
            args=resolved.args,
            env=resolved.env,
            cwd=resolved.working_dir,
            terminal=options.tty,
            hostname="" if options.uts == "host" else options.hostname or short(row.id),
            domainname=options.domainname or "",
            network="host" if options.network == "host" else "",
            pid="host" if options.pid == "host" else "",
            ipc="host" if options.ipc == "host" else "",
            uts="host" if options.uts == "host" or (options.network == "host" and not options.hostname) else "",
            privileged=options.privileged,
            cap_add=options.cap_add,
            cap_drop=options.cap_drop,
            no_new_privileges=security.no_new_privileges,
            read_only=options.read_only,
            unmasked=security.unmasked,
            shm_size=options.shm_size or DEFAULT_SHM_SIZE,
            mounts=(*file_mounts(folder, config.mounts), *map(spec_mount, config.mounts)),
            devices=tuple([device for device, _ in resolve_devices(options.devices)]),
            rlimits=tuple([Rlimit(f"RLIMIT_{u.name.upper()}", u.soft, u.hard) for u in options.ulimits]),
            sysctl=dict(options.sysctls),
            oom_score_adj=options.oom_score_adj,
            resources=resources(config),
        )
    )


def resources(config: StoredConfig) -> dict[str, object]:
    """`linux.resources` of the runtime specification: limits and device rules."""
    options = config.options
    found = limits.oci_resources(options.resources)
    found["devices"] = limits.device_rules(resolve_devices(options.devices), privileged=options.privileged)
    return found


def file_mounts(folder: str, mounts: tuple[MountPoint, ...]) -> tuple[Mount, ...]:
    """Our own /etc/hosts, /etc/hostname and /etc/resolv.conf, unless the caller mounts others there."""
    taken = {mount.target for mount in mounts}
    return tuple(
        [Mount(target, "bind", folder + target, ("bind", "rprivate")) for target in FILE_TARGETS if target not in taken]
    )


def spec_mount(mount: MountPoint) -> Mount:
    """One resolved mount in the runtime specification's words."""
    mode = ("ro",) if mount.read_only else ("rw",)
    if mount.kind == "tmpfs":
        options = ["nosuid", "nodev", "noexec", *mode]
        for word in mount.options:
            options = [o for o in options if o not in (word, "no" + word)] + [word]
        if mount.size:
            options.append(f"size={mount.size}")
        if mount.mode is not None:
            options.append(f"mode={mount.mode:o}")
        return Mount(mount.target, "tmpfs", "tmpfs", tuple(options))
    bind = "rbind" if mount.recursive else "bind"
    return Mount(mount.target, "bind", mount.source, (bind, mount.propagation or "rprivate", *mode, *mount.options))


def seccomp_filter(engine: Engine, options: CreateOptions, security: SecurityOptions, spec: RuntimeSpec) -> str | None:
    """Path of the compiled filter, compiled once per profile and capability set; None for unconfined."""
    if options.privileged or security.seccomp == "unconfined":
        return None
    from holdall.engine.seccomp_cache import compiled

    capabilities = spec.process.capabilities.bounding if spec.process.capabilities else ()
    return compiled(engine.paths, security.seccomp, capabilities)


def make_launch(
    engine: Engine,
    row: ContainerRow,
    config: StoredConfig,
    plan: NetworkPlan | None,
    attachment: Attachment | None,
    seccomp: str | None,
    resources: dict[str, object],
) -> launches.Launch:
    """What the supervisor has to know."""
    options = config.options
    log = launches.LogLimits()
    if options.log_max_size or options.log_max_files:
        log = launches.LogLimits(options.log_max_size or log.max_size, options.log_max_files or log.max_files)
    return launches.Launch(
        id=row.id,
        name=row.name,
        rootfs=engine.containers.snapshots.rootfs(row.id, row.layers),
        cgroup=f"{engine.paths.cgroup}/{row.id}",
        user=config.resolved.user,
        groups=options.group_add,
        terminal=options.tty,
        open_stdin=options.open_stdin,
        stdin_once=options.stdin_once,
        stop_signal=parse_signal(config.resolved.stop_signal),
        stop_timeout=launches.DEFAULT_STOP_TIMEOUT if options.stop_timeout is None else options.stop_timeout,
        auto_remove=options.auto_remove,
        init=options.init,
        restart=launches.RestartPolicy(options.restart.name, options.restart.max_retries),
        log=log,
        seccomp=seccomp,
        resources=resources,
        network="bridge" if plan else options.network,
        plan=plan,
        attachment=attachment,
        remove=removal(engine, row.id) if options.auto_remove else (),
    )


def removal(engine: Engine, container_id: str) -> tuple[str, ...]:
    """argv that removes the container when nobody waits for it any more."""
    roots = ("--root", engine.paths.root, "--run-root", engine.paths.run_root)
    return (os.path.abspath(sys.executable), "-m", "holdall", *roots, "rm", "--force", "--volumes", container_id)
