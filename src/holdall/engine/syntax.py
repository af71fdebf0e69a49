"""Docker's small languages for sizes, mounts, limits, devices and variables: text in, typed values out."""

from __future__ import annotations

import os

from holdall.engine.options import Device, Mount, RestartPolicy, Ulimit
from holdall.errors import InvalidOption, PathNotFound, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
ULIMITS = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
MAX_ENV_FILE = 1 << 20


def parse_size(text: str, option: str) -> int:
    """Bytes of "512m", "1.5g", "64kb" or "1073741824". Raises InvalidOption naming `option`."""
    body = text.strip().lower()
    number = body.rstrip("bkmgtpi")
    unit = body[len(number) :].removesuffix("b").removesuffix("i")
    try:
        value = float(number)
        size = int(value * UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise InvalidOption(f'invalid value "{text}" for {option}: not a size', hint="write 512m or 2g") from None
    if value < 0 or value != value:
        raise InvalidOption(f'invalid value "{text}" for {option}: a size cannot be negative')
    return size


def parse_cpus(text: str) -> int:
    """`--cpus` in 1e-9 cores. Raises InvalidOption."""
    try:
        value = float(text)
        nano = round(value * 1e9)
    except (ValueError, OverflowError):
        raise InvalidOption(f'invalid value "{text}" for --cpus: not a number of cores') from None
    if nano < 0:
        raise InvalidOption(f'invalid value "{text}" for --cpus: cannot be negative')
    return nano


def parse_ulimit(text: str) -> Ulimit:
    """`--ulimit NAME=SOFT[:HARD]`. Raises InvalidOption."""
    name, equals, rest = text.partition("=")
    soft, _, hard = rest.partition(":")
    if not equals or name not in ULIMITS:
        raise InvalidOption(
            f'invalid value "{text}" for --ulimit', hint=f"write NAME=SOFT[:HARD] with one of {', '.join(ULIMITS)}"
        )
    try:
        low = int(soft)
        high = int(hard) if hard else low
    except ValueError:
        raise InvalidOption(f'invalid value "{text}" for --ulimit: limits are whole numbers or -1') from None
    if high != -1 and (low == -1 or low > high):
        raise InvalidOption(f'invalid value "{text}" for --ulimit: the soft limit is above the hard one')
    return Ulimit(name, low, high)


def parse_device(text: str) -> Device:
    """`--device HOST[:TARGET[:PERMISSIONS]]`. Raises InvalidOption."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0].startswith("/"):
        raise InvalidOption(f'invalid value "{text}" for --device', hint="write /dev/NODE[:/dev/NAME[:rwm]]")
    host, target, permissions = parts[0], parts[0], "rwm"
    if len(parts) == 2 and set(parts[1]) <= set("rwm") and parts[1]:
        permissions = parts[1]
    elif len(parts) > 1 and parts[1]:
        target = parts[1]
    if len(parts) == 3:
        permissions = parts[2]
    if not target.startswith("/") or not permissions or not set(permissions) <= set("rwm"):
        raise InvalidOption(f'invalid value "{text}" for --device', hint="write /dev/NODE[:/dev/NAME[:rwm]]")
    return Device(host, os.path.normpath(target), permissions)


def parse_restart(text: str) -> RestartPolicy:
    """`--restart no|always|unless-stopped|on-failure[:N]`. Raises InvalidOption."""
    name, colon, bound = text.partition(":")
    if name not in ("no", "always", "unless-stopped", "on-failure") or (colon and name != "on-failure"):
        raise InvalidOption(
            f'invalid value "{text}" for --restart', hint="write no, always, unless-stopped or on-failure[:N]"
        )
    if colon and not bound.isdigit():
        raise InvalidOption(f'invalid value "{text}" for --restart: the bound is a whole number')
    return RestartPolicy(name, int(bound) if bound else 0)


def parse_volume(text: str) -> Mount:
    """`-v [SOURCE:]TARGET[:OPTIONS]`. Raises InvalidOption or Unsupported naming the option."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise InvalidOption(f'invalid value "{text}" for --volume', hint="write SOURCE:TARGET[:ro]")
    if len(parts) == 1:
        return Mount("volume", _target(parts[0], "--volume"))
    source, target = parts[0], _target(parts[1], "--volume")
    flags = parts[2].split(",") if len(parts) == 3 else []
    if source.startswith(("/", "./", "../", "~/")) or source in (".", "..", "~"):
        mount = Mount("bind", target, os.path.abspath(os.path.expanduser(source)), create_source=True)
    elif "/" in source:
        raise InvalidOption(
            f'invalid value "{text}" for --volume: "{source}" is neither a volume name nor an absolute path',
            hint=f'write "./{source}" for a relative path',
        )
    else:
        mount = Mount("volume", target, source)
    return _with_flags(mount, flags, "--volume")


def _with_flags(mount: Mount, flags: list[str], option: str) -> Mount:
    values = dict(mount.__dict__)
    for flag in flags:
        if flag in ("ro", "readonly"):
            values["read_only"] = True
        elif flag in PROPAGATIONS and mount.kind == "bind":
            values["propagation"] = flag
        elif flag == "nocopy" and mount.kind == "volume":
            values["copy_up"] = False
        elif flag not in ("rw", "z", "Z", "consistent", "cached", "delegated"):
            # SELinux relabelling (z, Z) has no meaning where SELinux does not enforce; Docker ignores it there too
            raise Unsupported(f'the {option} option "{flag}" is not supported')
    return Mount(**values)


def _target(text: str, option: str) -> str:
    if not text.startswith("/"):
        raise InvalidOption(f'invalid value "{text}" for {option}: the path in the container must be absolute')
    target = os.path.normpath("/" + text.lstrip("/"))
    if target == "/":
        raise InvalidOption(f'invalid value "{text}" for {option}: the destination cannot be "/"')
    return target


MOUNT_KEYS = {
    "bind": {"type", "source", "src", "target", "destination", "dst", "readonly", "ro", "bind-propagation",
             "bind-nonrecursive", "bind-recursive", "bind-create-src"},
    "volume": {"type", "source", "src", "target", "destination", "dst", "readonly", "ro", "volume-nocopy"},
    "tmpfs": {"type", "target", "destination", "dst", "tmpfs-size", "tmpfs-mode", "readonly", "ro"},
}  # fmt: skip


def parse_mount(text: str) -> Mount:
    """`--mount type=…,source=…,target=…`. Raises InvalidOption or Unsupported naming the key."""
    values: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        values[key.strip().lower()] = value if equals else "true"
    kind = values.get("type", "volume")
    if kind not in MOUNT_KEYS:
        raise Unsupported(f'the mount type "{kind}" is not supported', hint="use bind, volume or tmpfs")
    for key in values:
        if key not in MOUNT_KEYS[kind]:
            raise Unsupported(f'the --mount key "{key}" is not supported for type {kind}')
    target = values.get("target") or values.get("destination") or values.get("dst") or ""
    source = values.get("source") or values.get("src") or ""
    if kind == "bind" and not source.startswith("/"):
        raise InvalidOption(f'invalid value "{text}" for --mount: a bind needs an absolute source')
    propagation = values.get("bind-propagation", "")
    if propagation and propagation not in PROPAGATIONS:
        raise InvalidOption(f'invalid value "{propagation}" for --mount bind-propagation')
    mode = values.get("tmpfs-mode")
    return Mount(
        kind,
        _target(target, "--mount target"),
        os.path.normpath(source) if kind == "bind" else source,
        read_only=_flag(values, "readonly") or _flag(values, "ro"),
        propagation=propagation,
        create_source=_flag(values, "bind-create-src"),
        recursive=not (_flag(values, "bind-nonrecursive") or values.get("bind-recursive") == "disabled"),
        copy_up=not _flag(values, "volume-nocopy"),
        size=parse_size(values["tmpfs-size"], "--mount tmpfs-size") if "tmpfs-size" in values else 0,
        mode=_octal(mode) if mode else None,
    )


def _flag(values: dict[str, str], key: str) -> bool:
    text = values.get(key, "false").lower()
    if text in ("true", "1", "t"):
        return True
    if text in ("false", "0", "f"):
        return False
    raise InvalidOption(f'invalid value "{text}" for --mount {key}: true or false')


def _octal(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise InvalidOption(f'invalid value "{text}" for a tmpfs mode: octal permission bits')
    return mode


def parse_tmpfs(text: str) -> Mount:
    """`--tmpfs TARGET[:OPTIONS]` with mount(8)'s tmpfs options. Raises InvalidOption."""
    target, _, rest = text.partition(":")
    size, mode, read_only, options = 0, None, False, []
    for flag in [part for part in rest.split(",") if part]:
        key, _, value = flag.partition("=")
        if key == "size":
            size = parse_size(value, "--tmpfs size")
        elif key == "mode":
            mode = _octal(value)
        elif key in ("ro", "rw"):
            read_only = key == "ro"
        elif key in ("noexec", "exec", "nosuid", "suid", "nodev", "dev", "noatime", "uid", "gid", "nr_inodes"):
            options.append(flag)
        else:
            raise Unsupported(f'the --tmpfs option "{flag}" is not supported')
    return Mount("tmpfs", _target(target, "--tmpfs"), read_only=read_only, size=size, mode=mode, options=tuple(options))


def parse_env(items: Iterable[str], environ: dict[str, str] | None = None) -> tuple[str, ...]:
    """`-e KEY=VALUE` or `-e KEY` (taken from the caller's environment, left out when unset). Raises InvalidOption."""
    env = dict(os.environ) if environ is None else environ
    result = []
    for item in items:
        key, equals, _ = item.partition("=")
        if not key or "\0" in item:
            raise InvalidOption(f'invalid environment variable "{item}"')
        if equals:
            result.append(item)
        elif key in env:
            result.append(f"{key}={env[key]}")
    return tuple(result)


def read_env_file(path: str) -> tuple[str, ...]:
    """Lines of an `--env-file`; comments and blank lines left out. Raises PathNotFound or InvalidOption."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(MAX_ENV_FILE + 1)
    except FileNotFoundError as err:
        raise PathNotFound(f'cannot read the file "{path}": {err.strerror}') from err
    except (OSError, UnicodeDecodeError) as err:
        raise InvalidOption(f'cannot read the file "{path}": {err}') from err
    if len(text) > MAX_ENV_FILE:
        raise InvalidOption(f'the file "{path}" is larger than {MAX_ENV_FILE} bytes')
    lines = [line.lstrip() for line in text.splitlines()]
    items = [line for line in lines if line and not line.startswith("#")]
    for line in items:
        name = line.partition("=")[0]
        if not name or any(c.isspace() for c in name):
            raise InvalidOption(f'the file "{path}" has an invalid variable name in "{line}"')
    return tuple(items)


def parse_labels(items: Iterable[str]) -> dict[str, str]:
    """`--label KEY[=VALUE]`. Raises InvalidOption."""
    labels = {}
    for item in items:
        key, _, value = item.partition("=")
        if not key:
            raise InvalidOption(f'invalid label "{item}"', hint="write KEY=VALUE")
        labels[key] = value
    return labels
