"""What the supervisor must know to start one container: `containers/<id>/launch.json`, written by the engine.

The OCI `config.json` beside it says what runs inside; this says what lies around it: root file system, cgroup,
network, stdio, logs, restarts. The engine writes it before `start` and again after `update` and `rename`; the
supervisor reads it at each start and at adoption.
"""

from __future__ import annotations

import json
import os

from holdall.errors import ContainerNotFound, StoreCorrupt
from holdall.record import record
from holdall.runtime.launch import Aside, Directory, LayerMount, Overlay, SecretFile
from holdall.supervisor.durable import read_bounded, write_atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from holdall.network.plan import Attachment, NetworkPlan
    from holdall.paths import Paths

VERSION = 1
MAX_LAUNCH_BYTES = 8 << 20
DEFAULT_LOG_SIZE = 10 << 20
DEFAULT_LOG_FILES = 5
DEFAULT_STOP_TIMEOUT = 10
RESTART_POLICIES = ("no", "always", "on-failure", "unless-stopped")


@record
class RestartPolicy:
    """When a container that ended is started again. `maximum` counts retries of "on-failure", 0 meaning no limit."""

    name: str = "no"
    maximum: int = 0

    def __post_init__(self) -> None:
        if self.name not in RESTART_POLICIES or self.maximum < 0:
            raise ValueError(f"restart policy {self.name!r}:{self.maximum}")


@record
class LogLimits:
    """Bounds of a container's log: bytes per file and number of files kept, the one written to included; 0 files: the
    output goes only to whoever is attached."""

    max_size: int = DEFAULT_LOG_SIZE
    max_files: int = DEFAULT_LOG_FILES


@record
class Launch:
    """One container as the supervisor sees it.

    `user` is Docker's `name|uid[:group|gid]`, looked up in the root file system, "" meaning the specification's;
    `groups` are more groups, looked up there too;
    `stop_timeout` is in seconds, negative meaning for ever; `seccomp` is the path of
    a compiled filter; `cgroup` is the path below each hierarchy's root; `resources` is the `linux.resources` of the
    runtime specification; `network` is "none", "host" or "bridge" (then `plan` and `attachment` are there);
    `remove` is the argv that removes an `auto_remove` container after its exit when the client that started it is gone;
    one that is `bound` is killed then. `asides` and `secret_env` are the runtime's (runtime/launch.py).
    """

    id: str
    name: str
    rootfs: Overlay | Directory
    cgroup: str
    user: str = ""
    groups: tuple[str, ...] = ()
    terminal: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    stop_signal: int = 15
    stop_timeout: int = DEFAULT_STOP_TIMEOUT
    auto_remove: bool = False
    init: bool = False
    restart: RestartPolicy = RestartPolicy()
    log: LogLimits = LogLimits()
    seccomp: str | None = None
    resources: dict[str, Any] = {}
    network: str = "none"
    plan: NetworkPlan | None = None
    attachment: Attachment | None = None
    remove: tuple[str, ...] = ()
    bound: bool = False
    asides: tuple[Aside, ...] = ()
    secret_env: tuple[tuple[str, str], ...] = ()


def _root_to_json(root: Overlay | Directory) -> dict[str, Any]:
    if not isinstance(root, Overlay):
        return {"kind": "directory", **root.__dict__}
    mounts = [[one.source, one.device, one.target] for one in root.mounts]
    return {"kind": "overlay", **root.__dict__, "mounts": mounts}


def _root_from_json(value: dict[str, Any]) -> Overlay | Directory:
    if value.pop("kind") == "directory":
        return Directory(**value)
    value["lowers"] = tuple(value["lowers"])
    value["mounts"] = tuple([LayerMount(*one) for one in value.get("mounts", ())])
    return Overlay(**value)


def _aside_to_json(aside: Aside) -> dict[str, Any]:
    files = [[one.name, one.source, one.mode, one.uid, one.gid] for one in aside.files]
    return {"place": aside.place, "root": _root_to_json(aside.root) if aside.root else None, "files": files}


def _aside_from_json(value: dict[str, Any]) -> Aside:
    root = _root_from_json(value["root"]) if value["root"] is not None else None
    if isinstance(root, Directory):
        raise ValueError("a folder cannot be mounted aside")
    return Aside(value["place"], root, tuple([SecretFile(*one) for one in value["files"]]))


def to_json(launch: Launch) -> dict[str, Any]:
    """The launch as a JSON object."""
    value: dict[str, Any] = {"version": VERSION, **launch.__dict__}
    value["rootfs"] = _root_to_json(launch.rootfs)
    value["restart"] = dict(launch.restart.__dict__)
    value["log"] = dict(launch.log.__dict__)
    value["plan"] = launch.plan.to_json() if launch.plan else None
    value["attachment"] = launch.attachment.to_json() if launch.attachment else None
    value["remove"] = list(launch.remove)
    value["asides"] = [_aside_to_json(one) for one in launch.asides]
    value["secret_env"] = [list(pair) for pair in launch.secret_env]
    return value


def parse(raw: bytes, source: str) -> Launch:
    """A launch from its JSON. Raises StoreCorrupt naming `source`."""
    try:
        value: dict[str, Any] = json.loads(raw)
        if value.pop("version") != VERSION:
            raise ValueError("unknown version")
        value["rootfs"] = _root_from_json(value["rootfs"])
        value["restart"] = RestartPolicy(**value["restart"])
        value["log"] = LogLimits(**value["log"])
        value["groups"] = tuple(value["groups"])
        value["remove"] = tuple(value["remove"])
        value["asides"] = tuple([_aside_from_json(one) for one in value.get("asides", ())])
        value["secret_env"] = tuple([(name, source) for name, source in value.get("secret_env", ())])
        _parse_network(value)
        return Launch(**value)
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise StoreCorrupt(f'cannot read "{source}": {err}') from err


def _parse_network(value: dict[str, Any]) -> None:
    if value["plan"] is None and value["attachment"] is None:
        return
    from holdall.network.plan import Attachment, NetworkPlan

    value["plan"] = NetworkPlan.parse(value["plan"]) if value["plan"] is not None else None
    value["attachment"] = Attachment.parse(value["attachment"]) if value["attachment"] is not None else None


def launch_path(paths: Paths, container_id: str) -> str:
    """Where the launch of a container lies."""
    return paths.container(container_id) + "/launch.json"


def write_launch(paths: Paths, launch: Launch) -> None:
    """Write the launch atomically and durably into the container's folder, which must exist."""
    raw = json.dumps(to_json(launch), separators=(",", ":")).encode()
    write_atomic(launch_path(paths, launch.id), raw, durable=True)


def read_launch(paths: Paths, container_id: str) -> Launch:
    """Read the launch of a container. Raises ContainerNotFound, StoreCorrupt."""
    path = launch_path(paths, container_id)
    try:
        raw = read_bounded(path, MAX_LAUNCH_BYTES)
    except FileNotFoundError:
        raise ContainerNotFound(f'no such container "{os.path.basename(os.path.dirname(path))}"') from None
    return parse(raw, path)
