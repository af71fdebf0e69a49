"""What a caller may ask of a new container, as one frozen value; stored as JSON in the container's row."""

from __future__ import annotations

from holdall.errors import StoreCorrupt
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


@record
class Mount:
    """One `-v`, `--mount` or `--tmpfs`.

    `kind` is "bind", "volume" or "tmpfs"; `source` a host path, a volume name ("" for an anonymous one) or "";
    `propagation` as in mount_namespaces(7); `size` in bytes (tmpfs), `mode` octal permission bits (tmpfs).
    """

    kind: str
    target: str
    source: str = ""
    read_only: bool = False
    propagation: str = ""
    create_source: bool = False
    copy_up: bool = True
    recursive: bool = True
    size: int = 0
    mode: int | None = None
    options: tuple[str, ...] = ()


@record
class Ulimit:
    """One `--ulimit`: a resource of getrlimit(2) in lower case without RLIMIT_, -1 for unlimited."""

    name: str
    soft: int
    hard: int


@record
class Device:
    """One `--device`: a host node, its name in the container, and cgroup permissions out of "rwm"."""

    host: str
    target: str
    permissions: str = "rwm"


@record
class Resources:
    """Limits that `update` may change. Sizes in bytes, CPU time in units of 1e-9 cores; None leaves the default."""

    memory: int | None = None
    memory_reservation: int | None = None
    memory_swap: int | None = None
    nano_cpus: int | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids_limit: int | None = None


@record
class RestartPolicy:
    """`--restart`: "no", "always", "unless-stopped" or "on-failure" with a bound (0: none)."""

    name: str = "no"
    max_retries: int = 0


@record
class CreateOptions:
    """Everything `create` and `run` can be told, in Docker's terms. None means: what the image says."""

    image: str
    command: tuple[str, ...] = ()
    name: str | None = None
    entrypoint: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    working_dir: str | None = None
    user: str | None = None
    group_add: tuple[str, ...] = ()
    hostname: str | None = None
    domainname: str | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    mounts: tuple[Mount, ...] = ()
    ports: tuple[str, ...] = ()
    publish_all: bool = False
    expose: tuple[str, ...] = ()
    network: str = "bridge"
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    add_hosts: tuple[str, ...] = ()
    read_only: bool = False
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    resources: Resources = Resources()
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: Mapping[str, str] = {}
    shm_size: int | None = None
    pid: str = ""
    ipc: str = ""
    uts: str = ""
    init: bool = False
    stop_signal: str | None = None
    stop_timeout: int | None = None
    restart: RestartPolicy = RestartPolicy()
    auto_remove: bool = False
    platform: str | None = None
    pull: str = "missing"
    oom_score_adj: int | None = None
    log_max_size: int | None = None
    log_max_files: int | None = None


NESTED: dict[str, type] = {"mounts": Mount, "ulimits": Ulimit, "devices": Device}
RECORDS: dict[str, type] = {"resources": Resources, "restart": RestartPolicy}


def to_json(value: Any) -> Any:
    """Return a record (and what is in it) as plain JSON values, leaving out what is at its default."""
    cls = type(value)
    if hasattr(cls, "__record_fields__"):
        defaults = cls.__record_defaults__
        items = value.__dict__.items()
        return {k: to_json(v) for k, v in items if k not in defaults or defaults[k] != v}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return dict(value)
    return value


def from_json(data: Any) -> CreateOptions:
    """Rebuild what `to_json` made. Raises StoreCorrupt when the row holds something else."""
    try:
        values = {key: _value(key, item) for key, item in data.items()}
        return CreateOptions(**values)
    except (TypeError, AttributeError) as err:
        raise StoreCorrupt(f"a container's stored options cannot be read: {err}") from err


def _value(key: str, item: Any) -> Any:
    if key in NESTED:
        return tuple([_record(NESTED[key], entry) for entry in item])
    if key in RECORDS:
        return _record(RECORDS[key], item)
    return tuple(item) if isinstance(item, list) else item


def _record(cls: type, item: dict[str, Any]) -> Any:
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in item.items()})
