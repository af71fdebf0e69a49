"""What a target may say: its keys with their kinds, and how two descriptions of one target become one.

Lists of outputs, caches, secrets and agents are kept as the texts that the options of `build` take, whichever of the
two forms (text or object) a file has.
"""

from __future__ import annotations

import math

from holdall.build import fields
from holdall.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sized
    from typing import Any

TEXT, TRUTH, LIST, MAP, OBJECTS = "text", "truth", "list", "map", "objects"
KEYS = {
    "description": TEXT, "annotations": LIST, "attest": OBJECTS, "context": TEXT, "contexts": MAP, "dockerfile": TEXT,
    "dockerfile-inline": TEXT, "args": MAP, "labels": MAP, "tags": LIST, "cache-from": OBJECTS, "cache-to": OBJECTS,
    "target": TEXT, "secret": OBJECTS, "ssh": OBJECTS, "platforms": LIST, "output": OBJECTS, "pull": TRUTH,
    "no-cache": TRUTH, "network": TEXT, "no-cache-filter": LIST, "shm-size": TEXT, "ulimits": LIST, "call": TEXT,
    "entitlements": LIST, "extra-hosts": MAP,
}  # fmt: skip
"""In the order in which buildx prints them."""
ADDED = ("annotations", "attest", "cache-from", "secret", "ssh", "no-cache-filter", "ulimits", "entitlements")
"""Lists that grow when targets are merged; the later one replaces the others."""
MAX_ITEMS = 10_000


def normal(key: str, value: object, where: str) -> Any:
    """A value as its key wants it; None for a null, which says nothing. Raises InvalidInput."""
    kind = KEYS[key]
    if value is None:
        return None
    if kind == TEXT:
        return text(value, where)
    if kind == TRUTH:
        return truth(value, where)
    if kind == MAP:
        return mapping(value, where)
    if kind == LIST:
        return texts(value, where)
    if not isinstance(value, list):
        raise InvalidInput(f"{where} must be a list")
    bounded(value, where)
    return [_described(key, item, f"{where}[{number}]") for number, item in enumerate(value)]


def text(value: object, where: str) -> str:
    """A string; numbers and truth values are written as HCL does. Raises InvalidInput."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    raise InvalidInput(f"{where} must be a text")


def truth(value: object, where: str) -> bool:
    """A truth value, or its name. Raises InvalidInput."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in (*fields.TRUE, *fields.FALSE):
        return value.lower() in fields.TRUE
    raise InvalidInput(f"{where} must be true or false")


def mapping(value: object, where: str) -> dict[str, str]:
    """Texts by name, without those that are null. Raises InvalidInput."""
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} must be an object")
    bounded(value, where)
    return {name: text(one, f'{where} "{name}"') for name, one in value.items() if one is not None}


def texts(value: object, where: str) -> list[str]:
    """A list of texts. Raises InvalidInput."""
    if not isinstance(value, list):
        raise InvalidInput(f"{where} must be a list")
    bounded(value, where)
    return [text(one, f"{where}[{number}]") for number, one in enumerate(value) if one is not None]


def bounded(value: Sized, where: str) -> None:
    """Raises InvalidInput for what has too many items."""
    if len(value) > MAX_ITEMS:
        raise InvalidInput(f"{where} has more than {MAX_ITEMS} items")


def _described(key: str, value: object, where: str) -> str:
    """An object as KEY=VALUE,…; of an ssh agent as ID=PATH,…"""
    if not isinstance(value, dict):
        return text(value, where)
    if key == "ssh":
        paths = texts(value.get("paths") or [], f'{where} "paths"')
        _refuse(value, ("id", "paths"), where)
        return "=".join([text(value.get("id", "default"), f'{where} "id"'), *([",".join(paths)] if paths else [])])
    found = mapping(value, where)
    first = [(name, found.pop(name)) for name in ("type", "id") if name in found]
    return fields.joined([*first, *sorted(found.items())])


def _refuse(value: Mapping[str, object], known: Iterable[str], where: str) -> None:
    for name in value:
        if name not in known:
            raise InvalidInput(f'{where}: the key "{name}" is not supported')


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """What two descriptions of a target say together, the second being the later."""
    found = dict(first)
    for key, value in second.items():
        if key in found and KEYS[key] == MAP:
            found[key] = {**found[key], **value}
        elif key in found and key in ADDED:
            found[key] = list(dict.fromkeys([*found[key], *value]))
        else:
            found[key] = value
    return found


def shown(key: str, value: Any) -> Any:
    """A value as `--print` writes it: caches, outputs, secrets and agents as objects."""
    if KEYS[key] == MAP:
        return dict(sorted(value.items()))
    if KEYS[key] != OBJECTS:
        return value
    if key == "ssh":
        pairs = [one.partition("=") for one in value]
        return [{"id": name, **({"paths": paths.split(",")} if paths else {})} for name, _, paths in pairs]
    found = []
    for one in value:
        if "=" not in one:
            kinds = {"cache-from": "registry", "cache-to": "registry", "output": "tar" if one == "-" else "local"}
            name = "ref" if key.startswith("cache") else "dest"
            found.append({name: one, "type": kinds.get(key, "")})
        else:
            found.append(dict(sorted(fields.attributes(one, key).items())))
    return found
