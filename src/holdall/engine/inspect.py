"""A container in the shape of `docker inspect`, since scripts read it."""

from __future__ import annotations

from holdall.engine.filters import display_status
from holdall.engine.times import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.engine.config import MountPoint
    from holdall.engine.container import Container
    from holdall.engine.engine import Engine
    from holdall.engine.options import CreateOptions
    from holdall.supervisor.state import State


def container_json(engine: Engine, container: Container, *, size: bool) -> dict[str, Any]:
    """Every field Docker's users read; those of features Holdall has not are left out or empty."""
    state = container.state
    config = container.config
    args = config.resolved.args
    found: dict[str, Any] = {
        "Id": container.id,
        "Created": rfc3339(container.created),
        "Path": args[0],
        "Args": list(args[1:]),
        "State": state_json(state),
        "Image": container.image_id,
        "ResolvConfPath": f"{container.folder}/etc/resolv.conf",
        "HostnamePath": f"{container.folder}/etc/hostname",
        "HostsPath": f"{container.folder}/etc/hosts",
        "LogPath": f"{container.folder}/logs/container.log",
        "Name": f"/{container.name}",
        "RestartCount": state.restart_count,
        "Driver": engine.containers.snapshots.name,
        "Platform": config.platform.partition("/")[0],
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": host_config(config.options),
        "GraphDriver": {
            "Name": engine.containers.snapshots.name,
            "Data": {"UpperDir": f"{container.folder}/upper", "WorkDir": f"{container.folder}/work"},
        },
        "Mounts": [mount_json(mount) for mount in config.mounts],
        "Config": config_json(container),
        "NetworkSettings": network_json(engine, container, state),
    }
    if size:
        found["SizeRw"] = engine.containers.snapshots.upper_usage(container.id)
        found["SizeRootFs"] = engine.images.store.get(container.image_id).size + found["SizeRw"]
    return found


def state_json(state: State) -> dict[str, Any]:
    """`.State`: an exit code nobody could see is -1, and `Error` says so."""
    unknown = state.status == "exited" and state.exit_code is None
    error = state.error or ("the exit code is unknown: no supervisor was there to see it" if unknown else "")
    return {
        "Status": display_status(state),
        "Running": state.alive,
        "Paused": state.status == "paused",
        "Restarting": state.status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": state.status == "dead",
        "Pid": state.pid,
        "ExitCode": -1 if unknown else state.exit_code or 0,
        "Error": error,
        "StartedAt": rfc3339(state.started_at),
        "FinishedAt": rfc3339(state.finished_at),
    }


def host_config(options: CreateOptions) -> dict[str, Any]:
    """`.HostConfig`."""
    limits = options.resources
    return {
        "Binds": [_bind(m.source, m.target, m.read_only) for m in options.mounts if m.kind != "tmpfs"] or None,
        "Tmpfs": {m.target: ",".join(m.options) for m in options.mounts if m.kind == "tmpfs"} or None,
        "ContainerIDFile": "",
        "NetworkMode": options.network,
        "PortBindings": port_bindings(options),
        "RestartPolicy": {"Name": options.restart.name, "MaximumRetryCount": options.restart.max_retries},
        "AutoRemove": options.auto_remove,
        "CapAdd": list(options.cap_add) or None,
        "CapDrop": list(options.cap_drop) or None,
        "Dns": list(options.dns),
        "DnsOptions": list(options.dns_options),
        "DnsSearch": list(options.dns_search),
        "ExtraHosts": list(options.add_hosts) or None,
        "GroupAdd": list(options.group_add) or None,
        "IpcMode": options.ipc or "private",
        "OomScoreAdj": options.oom_score_adj or 0,
        "PidMode": options.pid,
        "Privileged": options.privileged,
        "PublishAllPorts": options.publish_all,
        "ReadonlyRootfs": options.read_only,
        "SecurityOpt": list(options.security_opt) or None,
        "UTSMode": options.uts,
        "ShmSize": options.shm_size or 64 << 20,
        "Sysctls": dict(options.sysctls) or None,
        "Init": options.init,
        "CpuShares": limits.cpu_shares or 0,
        "Memory": limits.memory or 0,
        "NanoCpus": limits.nano_cpus or 0,
        "CpuPeriod": limits.cpu_period or 0,
        "CpuQuota": limits.cpu_quota or 0,
        "CpusetCpus": limits.cpuset_cpus or "",
        "CpusetMems": limits.cpuset_mems or "",
        "Devices": [
            {"PathOnHost": d.host, "PathInContainer": d.target, "CgroupPermissions": d.permissions}
            for d in options.devices
        ],
        "MemoryReservation": limits.memory_reservation or 0,
        "MemorySwap": limits.memory_swap or 2 * (limits.memory or 0),
        "PidsLimit": limits.pids_limit,
        "Ulimits": [{"Name": u.name, "Soft": u.soft, "Hard": u.hard} for u in options.ulimits] or None,
        "LogConfig": {"Type": "json-file", "Config": {}},
    }


def _bind(source: str, target: str, read_only: bool) -> str:
    return f"{source}:{target}" + (":ro" if read_only else "") if source else target


def port_bindings(options: CreateOptions) -> dict[str, list[dict[str, str]]]:
    """`.HostConfig.PortBindings`: what was asked for, not what it became."""
    from holdall.network import ports

    found: dict[str, list[dict[str, str]]] = {}
    for binding in ports.parse_all(options.ports):
        key = f"{binding.container_port}/{binding.protocol}"
        host = str(binding.host_port) if binding.host_port else ""
        found.setdefault(key, []).append({"HostIp": binding.host_ip, "HostPort": host})
    return found


def mount_json(mount: MountPoint) -> dict[str, Any]:
    """One entry of `.Mounts`."""
    found: dict[str, Any] = {"Type": mount.kind}
    if mount.name:
        found["Name"] = mount.name
        found["Driver"] = "local"
    found.update(
        Source=mount.source,
        Destination=mount.target,
        Mode="" if not mount.read_only else "ro",
        RW=not mount.read_only,
        Propagation=mount.propagation,
    )
    return found


def config_json(container: Container) -> dict[str, Any]:
    """`.Config`."""
    options, resolved = container.config.options, container.config.resolved
    return {
        "Hostname": options.hostname or container.short_id,
        "Domainname": options.domainname or "",
        "User": resolved.user,
        "AttachStdin": False,
        "Tty": options.tty,
        "OpenStdin": options.open_stdin,
        "StdinOnce": options.stdin_once,
        "ExposedPorts": {port: {} for port in resolved.exposed_ports} or None,
        "Env": list(resolved.env),
        "Cmd": list(resolved.command) or None,
        "Image": container.image,
        "Volumes": {path: {} for path in resolved.volumes} or None,
        "WorkingDir": resolved.working_dir,
        "Entrypoint": list(resolved.entrypoint) or None,
        "Labels": dict(resolved.labels),
        "StopSignal": resolved.stop_signal,
        "StopTimeout": options.stop_timeout,
    }


def network_json(engine: Engine, container: Container, state: State) -> dict[str, Any]:
    """`.NetworkSettings`."""
    options = container.config.options
    published: dict[str, Any] = dict.fromkeys(container.config.resolved.exposed_ports)
    for port in state.ports:
        key = f"{port.container_port}/{port.protocol}"
        published[key] = [*(published.get(key) or []), {"HostIp": port.host_ip, "HostPort": str(port.host_port)}]
    address, _, prefix = (state.address if state.alive else "").partition("/")
    found: dict[str, Any] = {
        "Ports": published if state.alive else {},
        "IPAddress": address,
        "IPPrefixLen": int(prefix or 0),
        "Gateway": "",
        "MacAddress": "",
        "Networks": {},
    }
    name = "bridge" if options.network == "default" else options.network
    entry: dict[str, Any] = {"IPAddress": address, "IPPrefixLen": int(prefix or 0), "Gateway": "", "MacAddress": ""}
    if name == "bridge" and address:
        from holdall.network.ipam import mac_address

        gateway = engine.networks.plan().gateway
        entry.update(Gateway=gateway, MacAddress=mac_address(address))
        found.update(Gateway=gateway, MacAddress=entry["MacAddress"])
    found["Networks"][name] = entry
    return found
