"""registries.toml: mirrors of any registry, tried in order before the registry itself.

    [mirror."docker.io"]
    endpoints = ["https://mirror.example/hub", "10.0.0.1:5000"]   # [scheme://]host[:port][/prefix]
    insecure = true    # these endpoints may have unverified certificates or speak plain HTTP
    blocked = true     # the registry itself is never asked: only the mirrors serve, or nobody

Read from $HOLDALL_CONFIG alone when it is set, else from /etc/holdall/registries.toml and then
$XDG_CONFIG_HOME/holdall/registries.toml, whose tables replace those of the first. `insecure` never concerns the
registry itself.
"""

from __future__ import annotations

import os
import tomllib

from holdall.errors import InvalidInput
from holdall.record import record
from holdall.registry import endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdall.registry.endpoint import Endpoint
    from holdall.registry.options import Options

SYSTEM_FILE = "/etc/holdall/registries.toml"
MAX_FILE = 1 << 20
MAX_ENDPOINTS = 32
_KEYS = {"endpoints": list, "insecure": bool, "blocked": bool}


@record
class Mirror:
    """What the files say of one registry."""

    endpoints: tuple[Endpoint, ...] = ()
    blocked: bool = False


def endpoints(registry: str, options: Options, *, write: bool = False) -> tuple[Endpoint, ...]:
    """Servers to ask for a registry's images, in order; for writing only the registry itself.

    Raises InvalidInput for a malformed file or a registry that is blocked.
    """
    found = load(options).get(registry, Mirror())
    own = () if found.blocked else (endpoint.origin(registry, insecure=not options.verifies(registry)),)
    usable = own if write else found.endpoints + own
    if not usable:
        raise InvalidInput(f'registry "{registry}" is blocked by registries.toml')
    return usable


def load(options: Options) -> dict[str, Mirror]:
    """The files, merged. Raises InvalidInput."""
    found: dict[str, Mirror] = {}
    for path, required in _paths(options):
        found |= _read(path, required=required)
    return found


def _paths(options: Options) -> list[tuple[str, bool]]:
    environ = options.environment
    only = options.mirrors or environ.get("HOLDALL_CONFIG")
    if only:
        return [(only, True)]
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")
    return [(SYSTEM_FILE, False), (os.path.join(config, "holdall/registries.toml"), False)]


def _read(path: str, *, required: bool) -> dict[str, Mirror]:
    try:
        with open(path, "rb") as stream:
            raw = stream.read(MAX_FILE + 1)
    except FileNotFoundError as err:
        if required:
            raise InvalidInput(f'cannot read "{path}": {err.strerror}') from err
        return {}
    except OSError as err:
        raise InvalidInput(f'cannot read "{path}": {err.strerror}') from err
    if len(raw) > MAX_FILE:
        raise InvalidInput(f'"{path}" has more than {MAX_FILE} bytes')
    try:
        return parse(raw.decode())
    except (ValueError, InvalidInput) as err:
        raise InvalidInput(f'"{path}": {err}') from err


def parse(text: str) -> dict[str, Mirror]:
    """Parse one file. Raises InvalidInput, tomllib.TOMLDecodeError (a ValueError)."""
    tree = tomllib.loads(text)
    _refuse_unknown(tree, ("mirror",), "the file")
    tables = tree.get("mirror", {})
    if not isinstance(tables, dict):
        raise InvalidInput('"mirror" must be a table for each registry')
    found = {}
    for name, table in tables.items():
        if endpoint.registry_name(name) != name:
            raise InvalidInput(
                f'"{name}" is not a registry as references name it', hint=f'write "{endpoint.registry_name(name)}"'
            )
        found[name] = _mirror(name, table)
    return found


def _mirror(name: str, table: object) -> Mirror:
    where = f'mirror."{name}"'
    if not isinstance(table, dict):
        raise InvalidInput(f"{where} must be a table")
    _refuse_unknown(table, tuple(_KEYS), where)
    for key, kind in _KEYS.items():
        if key in table and not isinstance(table[key], kind):
            raise InvalidInput(f'{where}: "{key}" must be a {"list" if kind is list else "boolean"}')
    texts = table.get("endpoints", [])
    if len(texts) > MAX_ENDPOINTS or not all(isinstance(text, str) for text in texts):
        raise InvalidInput(f'{where}: "endpoints" must be a list of at most {MAX_ENDPOINTS} strings')
    insecure = table.get("insecure", False)
    return Mirror(
        tuple([endpoint.mirror(name, text, insecure=insecure) for text in texts]), table.get("blocked", False)
    )


def _refuse_unknown(table: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise InvalidInput(f'unknown key "{ascii(key)[1:-1]}" in {where}', hint=f"use {', '.join(known)}")
