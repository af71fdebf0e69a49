"""`RUN --device`: devices by the names of the Container Device Interface (CDI), from files of JSON or YAML.

Of a device's edits variables, device nodes, mounts and groups are made; what else a file asks for is refused.
"""

from __future__ import annotations

import os

from holdall.engine.config import MountPoint
from holdall.engine.options import Device
from holdall.errors import DockerfileError
from holdall.oci.jsonval import JsonObject
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.dockerfile.device import Device as Asked
    from holdall.engine.options import CreateOptions

FOLDERS = ("/etc/cdi", "/var/run/cdi")
VARIABLE = "HOLDALL_CDI_FOLDERS"
CLASS = "org.mobyproject.buildkit.device.class"
AUTO_ALLOW = "org.mobyproject.buildkit.device.autoallow"
ENTITLEMENT = "device"
MAX_FILE = 4 << 20
MAX_ITEMS = 10_000
_EDITS = {"env", "deviceNodes", "mounts", "additionalGids"}
_WORDS = ("nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "sync")


@record
class Found:
    """One device of a file: "vendor/class=name", its notes, and its edits with the file's own before them."""

    name: str
    notes: JsonObject
    edits: tuple[JsonObject, ...]

    @property
    def kind(self) -> str:
        """Vendor and class."""
        return self.name.partition("=")[0]

    def is_called(self, name: str) -> bool:
        """Whether a --device or --allow device= of this text means it."""
        return name in (self.name, self.kind, f"{self.kind}=*") or (bool(name) and self.notes.string(CLASS) == name)


def with_devices(
    options: CreateOptions, asked: tuple[Asked, ...], allow: tuple[str, ...]
) -> tuple[CreateOptions, list[MountPoint]]:
    """The options with the devices, and their mounts. One that is not here is left out unless it is required.

    Raises DockerfileError for one that is missing or not allowed, or asks for what is not done.
    """
    known = list(devices())
    points: list[MountPoint] = []
    for one in asked:
        for device in _chosen(one, known):
            if not _is_allowed(device, allow):
                raise DockerfileError(
                    f'the device "{device.name}" is not allowed',
                    hint=f"give the build --allow {ENTITLEMENT} or --allow {ENTITLEMENT}={device.name}",
                )
            for edits in device.edits:
                options, more = _edited(options, edits, device)
                points += more
    return options, points


def _chosen(asked: Asked, known: list[Found]) -> list[Found]:
    found = [device for device in known if device.is_called(asked.name)]
    if not found and asked.required:
        folders = os.environ.get(VARIABLE) or " or ".join(FOLDERS)
        raise DockerfileError(f'the device "{asked.name}" is not here', hint=f"no CDI file in {folders} names it")
    # a vendor's class without a name means its first device
    return found if asked.name.endswith("=*") else found[:1]


def _is_allowed(device: Found, allow: tuple[str, ...]) -> bool:
    if device.notes.string(AUTO_ALLOW) == "true" or ENTITLEMENT in allow:
        return True
    names = [text.partition("=")[2] for text in allow if text.startswith(ENTITLEMENT + "=")]
    return any(device.is_called(name) for name in names)


def devices() -> Iterator[Found]:
    """Every device of every file, the later folder's first of those with one name. Raises DockerfileError."""
    folders = tuple(filter(None, os.environ.get(VARIABLE, "").split(":"))) or FOLDERS
    seen: set[str] = set()
    for folder in reversed(folders):
        try:
            names = sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name in names:
            if name.endswith((".json", ".yaml", ".yml")):
                for device in _read(f"{folder}/{name}"):
                    if device.name not in seen:
                        seen.add(device.name)
                        yield device


def _read(path: str) -> Iterator[Found]:
    import yaml

    with open(path, "rb") as file:
        raw = file.read(MAX_FILE + 1)
    try:
        # what is JSON is YAML as well
        values = yaml.safe_load(raw) if len(raw) <= MAX_FILE else None
    except (yaml.YAMLError, ValueError) as err:
        raise DockerfileError(f'the CDI file "{path}" is neither JSON nor YAML') from err
    if not isinstance(values, dict):
        raise DockerfileError(f'the CDI file "{path}" holds no object, or has more than {MAX_FILE} bytes')
    top = JsonObject(values, f'"{path}"', DockerfileError)
    kind = top.string("kind")
    own = top.child("containerEdits")
    for device in top.children("devices", MAX_ITEMS):
        edits = tuple([one for one in (own, device.child("containerEdits")) if one is not None])
        notes = {**_values(top.child("annotations")), **_values(device.child("annotations"))}
        yield Found(f"{kind}={device.string('name')}", JsonObject(notes, f'"{path}"', DockerfileError), edits)


def _values(child: JsonObject | None) -> dict[str, object]:
    return dict(child.values) if child is not None else {}


def _edited(options: CreateOptions, edits: JsonObject, device: Found) -> tuple[CreateOptions, list[MountPoint]]:
    unknown = sorted(key for key in edits.values if key not in _EDITS and edits.values[key])
    if unknown:
        raise DockerfileError(f'the device "{device.name}" needs "{unknown[0]}" of its CDI file, which is not done')
    nodes = [_node(one, device) for one in edits.children("deviceNodes", MAX_ITEMS)]
    points = [_mount(one, device) for one in edits.children("mounts", MAX_ITEMS)]
    groups = [str(number) for number in edits.items("additionalGids", MAX_ITEMS) or ()]
    changed = replace(
        options,
        env=(*options.env, *edits.strings("env")),
        devices=(*options.devices, *nodes),
        group_add=(*options.group_add, *groups),
    )
    return changed, points


def _node(node: JsonObject, device: Found) -> Device:
    path = node.string("path")
    host = node.string("hostPath") or path
    if not path.startswith("/"):
        raise DockerfileError(f'the device "{device.name}" has a node without path in its CDI file')
    for key in ("fileMode", "uid", "gid"):
        if key in node.values and not _is_so(host, key, node.values[key]):
            raise DockerfileError(f'the device "{device.name}" wants another {key} for "{path}", which is not done')
    return Device(host, path, node.string("permissions") or "rwm")


def _is_so(host: str, key: str, value: object) -> bool:
    try:
        status = os.stat(host)
    except OSError:
        return True
    return value == {"fileMode": status.st_mode & 0o7777, "uid": status.st_uid, "gid": status.st_gid}[key]


def _mount(mount: JsonObject, device: Found) -> MountPoint:
    source, target = mount.string("hostPath"), mount.string("containerPath")
    if mount.string("type") not in ("", "bind", "none") or not (source.startswith("/") and target.startswith("/")):
        raise DockerfileError(f'the device "{device.name}" wants a mount at "{target}" that is not done')
    words = mount.strings("options")
    return MountPoint(
        "bind", source, os.path.normpath(target), read_only="ro" in words,
        options=tuple([word for word in words if word in _WORDS]),
    )  # fmt: skip
