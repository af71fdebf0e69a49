"""`config.json` read and written (runtime-spec 1.2 config.md, config-linux.md).

Unknown properties are ignored, as the specification demands; known ones that Holdall does not do are refused, so that
nothing is confined less than the file says.
"""

from __future__ import annotations

from holdall.errors import InvalidInput, Unsupported
from holdall.oci import jsonval
from holdall.oci.runtime_spec import (
    Capabilities,
    Device,
    Hook,
    Hooks,
    IdMapping,
    Mount,
    Namespace,
    ProcessSpec,
    Rlimit,
    RuntimeSpec,
    User,
)
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdall.oci.jsonval import JsonObject

MAX_LIST = 10_000
INFINITY = 2**64 - 1
NAMESPACES = frozenset({"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"})
DEVICE_TYPES = frozenset("cbup")
RLIM_UNLIMITED = -1

_HOOKS = (
    ("prestart", "prestart"), ("createRuntime", "create_runtime"), ("createContainer", "create_container"),
    ("startContainer", "start_container"), ("poststart", "poststart"), ("poststop", "poststop"),
)  # fmt: skip
_REFUSED_PROCESS = ("ioPriority", "scheduler", "execCPUAffinity")
_REFUSED_LINUX = ("intelRdt", "personality", "timeOffsets", "memoryPolicy")
_CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


def parse(raw: bytes) -> RuntimeSpec:
    """A config.json. Raises InvalidInput, LimitExceeded, Unsupported."""
    top = jsonval.load_object(raw, "config.json", error=InvalidInput)
    root, linux, process = top.need_child("root"), top.child("linux"), top.child("process")
    version = top.need_string("ociVersion")
    if version.partition(".")[0] != "1":
        raise Unsupported(f'runtime-spec version "{version}" is not supported')
    spec = RuntimeSpec(
        process=_process(process) if process else ProcessSpec(),
        root_path=root.need_string("path"),
        root_readonly=root.boolean("readonly"),
        hostname=top.string("hostname"),
        domainname=top.string("domainname"),
        mounts=tuple([_mount(entry) for entry in top.children("mounts", MAX_LIST)]),
        hooks=_hooks(top.child("hooks")),
        annotations=top.string_map("annotations") or {},
        version=version,
    )
    return _with_linux(spec, linux) if linux else spec


def parse_process(value: object) -> ProcessSpec:
    """A `process` object that has been decoded. Raises InvalidInput, LimitExceeded, Unsupported."""
    return _process(jsonval.JsonObject.of(value, "process", error=InvalidInput))


def _refuse(entry: JsonObject, keys: tuple[str, ...]) -> None:
    for key in keys:
        if key in entry:
            raise Unsupported(f"{entry.path(key)} is not supported")


def _process(entry: JsonObject) -> ProcessSpec:
    _refuse(entry, _REFUSED_PROCESS)
    user, size, caps = entry.child("user"), entry.child("consoleSize"), entry.child("capabilities")
    cwd = entry.need_string("cwd")
    if not cwd.startswith("/"):
        raise entry.wrong("cwd", "an absolute path")
    return ProcessSpec(
        args=entry.strings("args"),
        env=entry.strings("env"),
        cwd=cwd,
        terminal=entry.boolean("terminal"),
        console_size=(size.integer("height"), size.integer("width")) if size else None,
        user=_user(user) if user else User(),
        capabilities=Capabilities(*[caps.strings(name) for name in _CAPABILITY_SETS]) if caps else None,
        rlimits=tuple([_rlimit(item) for item in entry.children("rlimits", MAX_LIST)]),
        no_new_privileges=entry.boolean("noNewPrivileges"),
        oom_score_adj=entry.optional_integer("oomScoreAdj", minimum=-1000),
        apparmor_profile=entry.string("apparmorProfile"),
        selinux_label=entry.string("selinuxLabel"),
    )


def _user(entry: JsonObject) -> User:
    groups = entry.items("additionalGids", MAX_LIST) or []
    numbers: list[int] = []
    for group in groups:
        if isinstance(group, bool) or not isinstance(group, int) or not 0 <= group < 2**32:
            raise entry.wrong("additionalGids", "a list of group numbers")
        numbers.append(group)
    return User(entry.integer("uid"), entry.integer("gid"), entry.optional_integer("umask"), tuple(numbers))


def _limit(entry: JsonObject, key: str) -> int:
    value = entry.values.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= INFINITY:
        raise entry.wrong(key, "an unsigned 64-bit number")
    return RLIM_UNLIMITED if value == INFINITY else value


def _rlimit(entry: JsonObject) -> Rlimit:
    return Rlimit(entry.need_string("type"), _limit(entry, "soft"), _limit(entry, "hard"))


def _mount(entry: JsonObject) -> Mount:
    _refuse(entry, ("uidMappings", "gidMappings"))
    options = entry.strings("options", MAX_LIST)
    return Mount(entry.need_string("destination"), entry.string("type"), entry.string("source"), options)


def _hooks(entry: JsonObject | None) -> Hooks:
    if entry is None:
        return Hooks()
    found: dict[str, tuple[Hook, ...]] = {}
    for key, name in _HOOKS:
        found[name] = tuple([_hook(item) for item in entry.children(key, MAX_LIST)])
    return Hooks(**found)


def _hook(entry: JsonObject) -> Hook:
    path = entry.need_string("path")
    if not path.startswith("/"):
        raise entry.wrong("path", "an absolute path")
    timeout = entry.optional_integer("timeout", minimum=1)
    return Hook(path, entry.strings("args"), entry.strings("env"), timeout)


def _with_linux(spec: RuntimeSpec, entry: JsonObject) -> RuntimeSpec:
    _refuse(entry, _REFUSED_LINUX)
    resources, seccomp = entry.child("resources"), entry.child("seccomp")
    namespaces = tuple([_namespace(item) for item in entry.children("namespaces", MAX_LIST)])
    if len({item.type for item in namespaces}) != len(namespaces):
        raise InvalidInput("config.json names a namespace type twice")
    return replace(
        spec,
        namespaces=namespaces,
        devices=tuple([_device(item) for item in entry.children("devices", MAX_LIST)]),
        masked_paths=entry.strings("maskedPaths", MAX_LIST),
        readonly_paths=entry.strings("readonlyPaths", MAX_LIST),
        sysctl=entry.string_map("sysctl") or {},
        cgroups_path=entry.string("cgroupsPath"),
        rootfs_propagation=entry.string("rootfsPropagation"),
        mount_label=entry.string("mountLabel"),
        uid_mappings=tuple([_mapping(item) for item in entry.children("uidMappings", MAX_LIST)]),
        gid_mappings=tuple([_mapping(item) for item in entry.children("gidMappings", MAX_LIST)]),
        resources=dict(resources.values) if resources else None,
        seccomp=dict(seccomp.values) if seccomp else None,
    )


def _namespace(entry: JsonObject) -> Namespace:
    kind = entry.need_string("type")
    if kind not in NAMESPACES:
        raise Unsupported(f'namespace type "{kind}" is not supported')
    return Namespace(kind, entry.string("path"))


def _device(entry: JsonObject) -> Device:
    kind = entry.need_string("type")
    if kind not in DEVICE_TYPES:
        raise entry.wrong("type", "one of c, b, u, p")
    mode = entry.integer("fileMode", 0o666) & 0o7777
    numbers = entry.integer("major"), entry.integer("minor")
    return Device(entry.need_string("path"), kind, *numbers, mode, entry.integer("uid"), entry.integer("gid"))


def _mapping(entry: JsonObject) -> IdMapping:
    return IdMapping(entry.integer("containerID"), entry.integer("hostID"), entry.need_integer("size"))


def serialise(spec: RuntimeSpec) -> bytes:
    """The config.json of `spec`; `parse` gives the same value back."""
    top: dict[str, object] = {
        "ociVersion": spec.version,
        "process": process_json(spec.process),
        "root": {"path": spec.root_path, "readonly": spec.root_readonly},
        "hostname": spec.hostname,
        "domainname": spec.domainname,
        "mounts": [_mount_json(entry) for entry in spec.mounts],
        "hooks": _hooks_json(spec.hooks),
        "annotations": dict(spec.annotations),
        "linux": _linux_json(spec),
    }
    return jsonval.dumps_words(_pruned(top))


def _pruned(values: Mapping[str, object]) -> dict[str, object]:
    """Without what is empty: absent and empty mean the same in config.json."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {}, ())}


def process_json(spec: ProcessSpec) -> dict[str, object]:
    """The `process` object, as for `exec --process` of an OCI runtime."""
    made: dict[str, object] = {
        "terminal": spec.terminal,
        "user": _user_json(spec.user),
        "args": list(spec.args),
        "env": list(spec.env),
        "cwd": spec.cwd,
        "rlimits": [_rlimit_json(limit) for limit in spec.rlimits],
        "noNewPrivileges": spec.no_new_privileges,
        "oomScoreAdj": spec.oom_score_adj,
        "apparmorProfile": spec.apparmor_profile,
        "selinuxLabel": spec.selinux_label,
    }
    if spec.console_size:
        made["consoleSize"] = {"height": spec.console_size[0], "width": spec.console_size[1]}
    if spec.capabilities is not None:
        made["capabilities"] = {name: list(getattr(spec.capabilities, name)) for name in _CAPABILITY_SETS}
    return _pruned(made)


def _user_json(user: User) -> dict[str, object]:
    made: dict[str, object] = {"uid": user.uid, "gid": user.gid}
    if user.umask is not None:
        made["umask"] = user.umask
    if user.additional_gids:
        made["additionalGids"] = list(user.additional_gids)
    return made


def _rlimit_json(limit: Rlimit) -> dict[str, object]:
    soft, hard = (INFINITY if value == RLIM_UNLIMITED else value for value in (limit.soft, limit.hard))
    return {"type": limit.type, "soft": soft, "hard": hard}


def _mount_json(entry: Mount) -> dict[str, object]:
    fields = {"destination": entry.destination, "type": entry.type, "source": entry.source}
    return _pruned({**fields, "options": list(entry.options)})


def _hooks_json(hooks: Hooks) -> dict[str, object]:
    made: dict[str, object] = {}
    for key, name in _HOOKS:
        entries = getattr(hooks, name)
        made[key] = [
            _pruned({"path": hook.path, "args": list(hook.args), "env": list(hook.env), "timeout": hook.timeout})
            for hook in entries
        ]
    return _pruned(made)


def _device_json(device: Device) -> dict[str, object]:
    made: dict[str, object] = {"path": device.path, "type": device.type}
    if device.type != "p":
        made.update(major=device.major, minor=device.minor)
    return {**made, "fileMode": device.file_mode, "uid": device.uid, "gid": device.gid}


def _mapping_json(entry: IdMapping) -> dict[str, object]:
    return {"containerID": entry.container_id, "hostID": entry.host_id, "size": entry.size}


def _linux_json(spec: RuntimeSpec) -> dict[str, object]:
    made: dict[str, object] = {
        "namespaces": [_pruned({"type": entry.type, "path": entry.path}) for entry in spec.namespaces],
        "uidMappings": [_mapping_json(entry) for entry in spec.uid_mappings],
        "gidMappings": [_mapping_json(entry) for entry in spec.gid_mappings],
        "devices": [_device_json(device) for device in spec.devices],
        "cgroupsPath": spec.cgroups_path,
        "resources": None if spec.resources is None else dict(spec.resources),
        "rootfsPropagation": spec.rootfs_propagation,
        "mountLabel": spec.mount_label,
        "seccomp": None if spec.seccomp is None else dict(spec.seccomp),
        "sysctl": dict(spec.sysctl),
        "maskedPaths": list(spec.masked_paths),
        "readonlyPaths": list(spec.readonly_paths),
    }
    return _pruned(made)
