"""`RUN --mount=…`: the fields of a mount and the rules between them."""

from __future__ import annotations

from holdall.dockerfile import values
from holdall.dockerfile.suggest import hint
from holdall.errors import DockerfileError
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING = ("shared", "private", "locked")
KEYS = tuple(
    "type from source src target dst destination readonly ro readwrite rw id sharing required size".split()
    + "mode uid gid env".split()
)
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_BARE = ("readonly", "readwrite", "required")


@record
class Mount:
    """A mount of one RUN. `env` is None, or the variable's name (of a secret), "" for the default name.

    `mode` in bits, `size` in bytes (0: no bound), `sharing` "" for the default.
    """

    type: str = "bind"
    source_stage: str = ""
    source: str = ""
    target: str = ""
    readonly: bool = True
    size: int = 0
    id: str = ""
    sharing: str = ""
    required: bool = False
    env: str | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def source_stage(text: str) -> str:
    """The `from` of a --mount text before expansion, "" without one. Raises DockerfileError for a variable in it."""
    found = ""
    for field in values.fields(text):
        key, equals, value = field.partition("=")
        if key.lower() == "from" and equals:
            if "$" in value[:-1]:
                raise DockerfileError(
                    f'"from" takes no variables: "{value}"', hint="define a stage with FROM and name that"
                )
            found = value
    return found


def parse(text: str, expand: Callable[[str], str]) -> Mount:
    """The mount `text` describes, each value run through `expand`. Raises DockerfileError."""
    found: dict[str, str] = {"type": "bind"}
    for field in values.fields(text):
        written, equals, value = field.partition("=")
        key = _ALIASES.get(written.lower(), written.lower())
        if not equals and key not in _BARE:
            raise DockerfileError(f'"{field}" must be key=value', hint=hint(written, KEYS))
        if key not in KEYS:
            raise DockerfileError(f'unexpected key "{written}" in "{field}"', hint=hint(written, KEYS))
        _take(found, key, expand(value) if equals else "true")
    return _checked(_made(found))


def _take(found: dict[str, str], key: str, value: str) -> None:
    kind = found["type"]
    if key == "type":
        value = _choice("mount type", value, TYPES)
    elif key == "sharing":
        value = _choice("sharing value", value, SHARING)
    elif (key == "required" and kind not in ("secret", "ssh")) or (key == "size" and kind != "tmpfs"):
        raise DockerfileError(f'unexpected key "{key}" for mount type "{kind}"', hint=_order_hint(key))
    elif key == "readwrite":
        key, value = "readonly", "false" if values.truth("readwrite", value) else "true"
    found[key] = value


def _order_hint(key: str) -> str | None:
    return f'put "type" before "{key}"' if key in ("required", "size") else None


def _choice(what: str, value: str, known: tuple[str, ...]) -> str:
    if value.lower() not in known:
        near = hint(value, known) or "use one of " + ", ".join(known)
        raise DockerfileError(f'unsupported {what} "{value}"', hint=near)
    return value.lower()


def _made(found: dict[str, str]) -> Mount:
    kind = found["type"]
    readonly = found.get("readonly")
    return Mount(
        type=kind,
        source_stage=found.get("from", ""),
        source=found.get("source", ""),
        target=found.get("target", ""),
        readonly=kind not in ("cache", "tmpfs") if readonly is None else values.truth("readonly", readonly),
        size=values.size("size", found["size"]) if "size" in found else 0,
        id=found.get("id", ""),
        sharing=found.get("sharing", ""),
        required="required" in found and values.truth("required", found["required"]),
        env=found.get("env"),
        mode=values.unsigned("mode", found["mode"], 8) if "mode" in found else None,
        uid=values.unsigned("uid", found["uid"], 10) if "uid" in found else None,
        gid=values.unsigned("gid", found["gid"], 10) if "gid" in found else None,
    )


def _checked(mount: Mount) -> Mount:
    if mount.type in ("bind", "tmpfs"):
        for key, value in (("mode", mount.mode), ("uid", mount.uid), ("gid", mount.gid)):
            if value is not None:
                raise DockerfileError(f'"{key}" is not allowed for mounts of type "{mount.type}"')
    if mount.sharing and mount.type != "cache":
        raise DockerfileError(f'"sharing" is not allowed for mounts of type "{mount.type}"')
    if mount.type == "secret":
        _check_secret(mount)
    return mount


def _check_secret(mount: Mount) -> None:
    if mount.source_stage:
        raise DockerfileError('a secret mount takes no "from"')
    if not (mount.source or mount.target or mount.id):
        raise DockerfileError("a secret mount needs an id or a target", hint="write --mount=type=secret,id=…")
    if mount.source and mount.id:
        raise DockerfileError('a secret mount takes "source" or "id", not both')
