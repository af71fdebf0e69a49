"""The `config` member of an image configuration: what a container of the image runs by default."""

from __future__ import annotations

from holdall.errors import InvalidManifest
from holdall.oci.healthcheck import Healthcheck
from holdall.oci.jsonval import JsonObject
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_STRINGS = 10_000


@record
class ContainerConfig:
    """Defaults for a container. None for `entrypoint`, `cmd` and `shell` means not set; () means set to nothing.

    `stop_timeout` is in seconds. `exposed_ports` ("80/tcp") and `volumes` are sorted.
    """

    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    working_dir: str = ""
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] | None = None
    args_escaped: bool = False
    on_build: tuple[str, ...] = ()
    stop_timeout: int | None = None

    @classmethod
    def from_json(cls, obj: JsonObject) -> ContainerConfig:
        """Parse the member. Raises InvalidManifest, LimitExceeded."""
        health = obj.child("Healthcheck")
        return cls(
            user=_plain(obj, "User"),
            env=_plain_all(obj, "Env") or (),
            entrypoint=_arguments(obj, "Entrypoint"),
            cmd=_arguments(obj, "Cmd"),
            working_dir=_plain(obj, "WorkingDir"),
            exposed_ports=obj.key_set("ExposedPorts"),
            volumes=obj.key_set("Volumes"),
            labels=obj.string_map("Labels") or {},
            stop_signal=obj.string("StopSignal"),
            healthcheck=None if health is None else Healthcheck.from_json(health),
            shell=_arguments(obj, "Shell"),
            args_escaped=obj.boolean("ArgsEscaped"),
            on_build=obj.strings("OnBuild", MAX_STRINGS),
            stop_timeout=obj.optional_integer("StopTimeout", minimum=-1),
        )

    def to_json(self) -> dict[str, object]:
        """The JSON object; what is not set is left out, maps are sorted."""
        made: dict[str, object] = {
            "User": self.user,
            "ExposedPorts": {port: {} for port in sorted(self.exposed_ports)},
            "Env": list(self.env),
            "Volumes": {path: {} for path in sorted(self.volumes)},
            "WorkingDir": self.working_dir,
            "Labels": dict(sorted(self.labels.items())),
            "StopSignal": self.stop_signal,
            "ArgsEscaped": self.args_escaped,
            "OnBuild": list(self.on_build),
        }
        made = {key: value for key, value in made.items() if value}
        optional = (("Entrypoint", self.entrypoint), ("Cmd", self.cmd), ("Shell", self.shell))
        made.update({key: list(value) for key, value in optional if value is not None})
        if self.healthcheck is not None:
            made["Healthcheck"] = self.healthcheck.to_json()
        if self.stop_timeout is not None:
            made["StopTimeout"] = self.stop_timeout
        return made

    @classmethod
    def unknown(cls, obj: JsonObject) -> dict[str, object]:
        """Members that this type does not model (Docker's Hostname, Tty, Image …), sorted."""
        return {key: value for key, value in sorted(obj.values.items()) if key not in _KNOWN and value is not None}

    @property
    def argv(self) -> tuple[str, ...]:
        """Entrypoint and command, as a container without arguments runs them."""
        return (self.entrypoint or ()) + (self.cmd or ())

    def __hash__(self) -> int:
        return hash((self.user, self.env, self.entrypoint, self.cmd, self.working_dir))


_KNOWN = frozenset(
    (
        "User",
        "Env",
        "Entrypoint",
        "Cmd",
        "WorkingDir",
        "ExposedPorts",
        "Volumes",
        "Labels",
        "StopSignal",
        "Healthcheck",
        "Shell",
        "ArgsEscaped",
        "OnBuild",
        "StopTimeout",
    )
)


def _plain(obj: JsonObject, key: str) -> str:
    value = obj.string(key)
    if "\0" in value:
        raise _nul(obj, key)
    return value


def _plain_all(obj: JsonObject, key: str) -> tuple[str, ...] | None:
    values = obj.optional_strings(key, MAX_STRINGS)
    for value in values or ():
        if "\0" in value:
            raise _nul(obj, key)
    return values


def _arguments(obj: JsonObject, key: str) -> tuple[str, ...] | None:
    """A command; Docker also reads a bare string as a list of one (its strslice type)."""
    if isinstance(obj.values.get(key), str):
        return (_plain(obj, key),)
    return _plain_all(obj, key)


def _nul(obj: JsonObject, key: str) -> InvalidManifest:
    return InvalidManifest(f"{obj.path(key)} holds a nul character, which no process can be given")
