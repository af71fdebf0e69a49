"""`--set TARGET.KEY=VALUE`, TARGET being a pattern; with `+=` lists grow. And what --push, --load and others set."""

from __future__ import annotations

import fnmatch

from holdall.bake import values
from holdall.build import fields
from holdall.errors import InvalidOption, NotFound
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

LISTS = {
    "annotations": "annotations", "attest": "attest", "cache-from": "cache-from", "cache-to": "cache-to",
    "entitlements": "entitlements", "no-cache-filter": "no-cache-filter", "output": "output", "platform": "platforms",
    "secrets": "secret", "ssh": "ssh", "tags": "tags", "ulimits": "ulimits",
}  # fmt: skip
"""buildx's words after the target's name, and the keys they set."""
MAPS = ("args", "contexts", "labels", "extra-hosts")
TEXTS = ("context", "dockerfile", "target", "call", "network", "shm-size", "dockerfile-inline")
TRUTHS = ("no-cache", "pull", "push", "load")
ALWAYS_ADDED = ("annotations", "entitlements", "attest")


@record
class Override:
    """One thing to change: `name` within a map, "" else; `given` are the values, `added` to those that are there."""

    key: str
    name: str
    given: tuple[str, ...]
    added: bool = False


def parse(sets: Iterable[str], targets: Sequence[str], environ: Mapping[str, str]) -> dict[str, list[Override]]:
    """The changes for each target, in order. Raises InvalidOption, NotFound (no target fits)."""
    found: dict[str, dict[tuple[str, str], Override]] = {}
    for one in sets:
        head, equals, value = one.partition("=")
        added = head.endswith("+")
        parts = head.removesuffix("+").split(".", 2)
        if len(parts) < 2 or not parts[1]:
            raise InvalidOption(f'invalid value "{one}" for --set', hint="write TARGET.KEY=VALUE")
        key, name = parts[1], parts[2] if len(parts) == 3 else ""
        if not equals:
            if key != "args" or not name:
                raise InvalidOption(f'invalid value "{one}" for --set', hint="write TARGET.KEY=VALUE")
            if name not in environ:
                continue
            value = environ[name]
        _check(one, key, name, added=added)
        for target in _fitting(parts[0], targets):
            mine = found.setdefault(target, {})
            old = mine.get((key, name))
            given = (*old.given, value) if old is not None and key in LISTS else (value,)
            mine[key, name] = Override(key, name, given, added)
    return {target: list(mine.values()) for target, mine in found.items()}


def _fitting(pattern: str, targets: Sequence[str]) -> list[str]:
    if pattern in targets:
        return [pattern]
    found = [name for name in targets if fnmatch.fnmatchcase(name, pattern)]
    if not found:
        raise NotFound(f'no target fits "{pattern}" of --set')
    return found


def _check(text: str, key: str, name: str, *, added: bool) -> None:
    known = (*LISTS, *MAPS, *TEXTS, *TRUTHS)
    if key not in known:
        raise InvalidOption(f'unknown key "{key}" in --set "{text}"', hint=f"use one of {', '.join(sorted(known))}")
    if (key in MAPS) != bool(name):
        raise InvalidOption(
            f'invalid value "{text}" for --set', hint=f"write TARGET.{key}{'.NAME' * (key in MAPS)}=VALUE"
        )
    if added and key not in LISTS:
        raise InvalidOption(f'"{key}" in --set "{text}" is no list, which += could add to')


def applied(target: Mapping[str, Any], changes: Iterable[Override]) -> dict[str, Any]:
    """The target with the changes. Raises InvalidOption."""
    found = dict(target)
    for one in changes:
        if one.key in MAPS:
            found[one.key] = {**found.get(one.key, {}), one.name: one.given[-1]}
        elif one.key in LISTS:
            key = LISTS[one.key]
            keeps = one.added or one.key in ALWAYS_ADDED
            given = list(one.given) if one.key != "platform" else [p for text in one.given for p in fields.split(text)]
            found[key] = list(dict.fromkeys([*(found.get(key, []) if keeps else []), *given]))
        elif one.key in TEXTS:
            found[one.key] = one.given[-1]
        else:
            _switch(found, one.key, values.truth(one.given[-1], f'--set "{one.key}"'))
    return found


def _switch(found: dict[str, Any], key: str, value: bool) -> None:
    if key in ("pull", "no-cache"):
        found[key] = value
        return
    old: list[str] = list(found.get("output", []))
    kinds = [(one, fields.attributes(one, "output") if "=" in one else {}) for one in old]
    if key == "push":
        found["output"] = _pushed(kinds, push=value)
    elif value and not any(one.get("type") in ("docker", "image", "registry") for _, one in kinds):
        found["output"] = [*old, "type=docker"]


def _pushed(kinds: Sequence[tuple[str, dict[str, str]]], *, push: bool) -> list[str]:
    """Outputs of type image with `push` so, or one more; a registry's is dropped when nothing is to be pushed."""
    if push and not any(one.get("type") in ("image", "registry") for _, one in kinds):
        return [*[text for text, _ in kinds], "type=image,push=true"]
    found = []
    for text, one in kinds:
        if one.get("type") == "image":
            text = fields.joined([*[pair for pair in one.items() if pair[0] != "push"], ("push", str(push).lower())])
        elif one.get("type") == "registry" and not push:
            continue
        found.append(text)
    return found
