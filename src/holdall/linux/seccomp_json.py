"""The JSON of seccomp profiles: strict and bounded reading of runtime-spec's and Docker's form, writing the first.

Counterparts: moby's profiles/seccomp, containers/common's, runtime-spec config-linux.md#seccomp. Unlike there, an
unknown field, action, operator or architecture is refused by name: a typing error in a security profile must not
pass in silence.
"""

from __future__ import annotations

import errno
import json

from holdall.errors import InvalidInput, LimitExceeded
from holdall.linux.seccomp_profile import (
    ACTIONS,
    ALWAYS,
    ARCHITECTURES,
    CARRIES_ERRNO,
    FLAGS,
    OPERATORS,
    Argument,
    Condition,
    Profile,
    Rule,
    kernel_version,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_BYTES = 1 << 20
MAX_RULES = 4096
MAX_NAMES = 4096
MAX_ARGUMENTS = 32
MAX_ERRNO = 4095
MAX_WORD = 256


def parse(raw: bytes) -> Profile:
    """Read a profile in either form. Raises InvalidInput naming the field, LimitExceeded when it is too large."""
    if len(raw) > MAX_BYTES:
        raise LimitExceeded(f"seccomp profile is larger than {MAX_BYTES} bytes")
    try:
        value = json.loads(raw, object_pairs_hook=_no_doubles)
    except (ValueError, RecursionError) as err:
        raise InvalidInput(f"seccomp profile is not JSON: {err}") from err
    return from_value(value)


def from_value(value: object) -> Profile:
    """The same from decoded JSON (the `linux.seccomp` object of a bundle's config.json)."""
    obj = _object(
        value,
        "seccomp profile",
        "defaultAction defaultErrnoRet defaultErrno architectures archMap syscalls flags listenerPath listenerMetadata",
    )
    where = "seccomp profile"
    action = _choice(obj.get("defaultAction"), f"{where}: defaultAction", ACTIONS)
    if action == "SCMP_ACT_NOTIFY":
        raise InvalidInput(f"{where}: SCMP_ACT_NOTIFY cannot be the default action")
    architectures = _words(obj, "architectures", where, ARCHITECTURES)
    arch_map = _arch_map(obj.get("archMap"))
    if architectures and arch_map:
        raise InvalidInput(f"{where}: both architectures and archMap are given")
    rules = []
    for index, item in enumerate(_list(obj.get("syscalls"), f"{where}: syscalls", MAX_RULES)):
        rules.append(_rule(item, f"{where}: syscalls[{index}]"))
    listener = _text(obj.get("listenerPath"), f"{where}: listenerPath", 4096)
    if not listener and any(rule.action == "SCMP_ACT_NOTIFY" for rule in rules):
        raise InvalidInput(f"{where}: SCMP_ACT_NOTIFY needs listenerPath")
    return Profile(
        action,
        _error(obj, "defaultErrnoRet", "defaultErrno", where, action),
        architectures,
        arch_map,
        tuple(rules),
        _words(obj, "flags", where, FLAGS),
        listener,
        _text(obj.get("listenerMetadata"), f"{where}: listenerMetadata", 65536),
    )


def to_value(profile: Profile) -> dict[str, Any]:
    """runtime-spec's `linux.seccomp` of a resolved profile (32-bit comparisons are given in its 64-bit terms)."""
    value: dict[str, Any] = {"defaultAction": profile.default_action}
    if profile.default_error is not None:
        value["defaultErrnoRet"] = profile.default_error
    if profile.architectures:
        value["architectures"] = list(profile.architectures)
    if profile.listener_path:
        value["listenerPath"] = profile.listener_path
    if profile.listener_metadata:
        value["listenerMetadata"] = profile.listener_metadata
    if profile.flags:
        value["flags"] = list(profile.flags)
    value["syscalls"] = [_rule_value(rule) for rule in profile.rules]
    return value


def _rule_value(rule: Rule) -> dict[str, Any]:
    value: dict[str, Any] = {"names": list(rule.names), "action": rule.action}
    if rule.error is not None:
        value["errnoRet"] = rule.error
    if rule.arguments:
        value["args"] = [
            {"index": arg.index, "value": arg.value, "valueTwo": arg.value_two, "op": "SCMP_CMP_" + arg.op}
            for arg in rule.arguments
        ]
    return value


def _rule(value: object, where: str) -> Rule:
    obj = _object(value, where, "names name action errnoRet errno args comment includes excludes")
    names = _words(obj, "names", where)
    single = _text(obj.get("name"), f"{where}: name", MAX_WORD)
    if single and names:
        raise InvalidInput(f"{where}: both name and names are given")
    if single:
        names = (single,)
    if not names:
        raise InvalidInput(f"{where}: names is empty")
    for name in names:
        if not name.replace("_", "").isalnum() or not name.isascii():
            raise InvalidInput(f'{where}: "{name}" is not a system call name')
    action = _choice(obj.get("action"), f"{where}: action", ACTIONS)
    if action == "SCMP_ACT_NOTIFY" and "write" in names:
        raise InvalidInput(f"{where}: SCMP_ACT_NOTIFY cannot be used for write")
    _text(obj.get("comment"), f"{where}: comment", MAX_BYTES)
    arguments = []
    for index, item in enumerate(_list(obj.get("args"), f"{where}: args", MAX_ARGUMENTS)):
        arguments.append(_argument(item, f"{where}: args[{index}]"))
    return Rule(
        names,
        action,
        _error(obj, "errnoRet", "errno", where, action),
        tuple(arguments),
        _condition(obj.get("includes"), f"{where}: includes"),
        _condition(obj.get("excludes"), f"{where}: excludes"),
    )


def _argument(value: object, where: str) -> Argument:
    obj = _object(value, where, "index value valueTwo op")
    for name in ("index", "value", "op"):
        if name not in obj:
            raise InvalidInput(f"{where}: {name} is missing")
    op = _text(obj["op"], f"{where}: op", MAX_WORD)
    if op.removeprefix("SCMP_CMP_") not in OPERATORS or not op.startswith("SCMP_CMP_"):
        raise InvalidInput(f'{where}: unknown op "{op}"')
    return Argument(
        _integer(obj["index"], f"{where}: index", 5),
        op.removeprefix("SCMP_CMP_"),
        _integer(obj["value"], f"{where}: value", (1 << 64) - 1),
        _integer(0 if obj.get("valueTwo") is None else obj["valueTwo"], f"{where}: valueTwo", (1 << 64) - 1),
    )


def _condition(value: object, where: str) -> Condition:
    if value is None:
        return ALWAYS
    obj = _object(value, where, "caps arches minKernel")
    kernel = _text(obj.get("minKernel"), f"{where}: minKernel", 16)
    if kernel and len(kernel.split(".")) != 2:
        raise InvalidInput(f'{where}: minKernel "{kernel}" is not "MAJOR.MINOR"')
    capabilities = _words(obj, "caps", where)
    for name in capabilities:
        if not name.startswith("CAP_"):
            raise InvalidInput(f'{where}: "{name}" is not a capability')
    return Condition(capabilities, _words(obj, "arches", where), kernel_version(kernel) if kernel else None)


def _arch_map(value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    for index, item in enumerate(_list(value, "seccomp profile: archMap", 64)):
        where = f"seccomp profile: archMap[{index}]"
        obj = _object(item, where, "architecture subArchitectures")
        name = _choice(obj.get("architecture"), f"{where}: architecture", ARCHITECTURES)
        found.append((name, _words(obj, "subArchitectures", where, ARCHITECTURES)))
    return tuple(found)


def _error(obj: dict[str, Any], number: str, name: str, where: str, action: str) -> int | None:
    """The error number; containers/common's profiles also name it ("EINVAL"), and the name goes before the number."""
    symbol = _text(obj.get(name), f"{where}: {name}", MAX_WORD)
    value = obj.get(number)
    if symbol:
        value = getattr(errno, symbol, None) if symbol.startswith("E") else None
        if value is None:
            raise InvalidInput(f'{where}: {name}: unknown error "{symbol}"')
    if value is None:
        return None
    if action not in CARRIES_ERRNO:
        raise InvalidInput(f"{where}: {action} takes no error number")
    return _integer(value, f"{where}: {number}", MAX_ERRNO)


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    obj = dict(pairs)
    if len(obj) != len(pairs):
        raise ValueError("a field is given twice")
    return obj


def _object(value: object, where: str, known: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{where}: not an object")
    allowed = known.split()
    for name in value:
        if name not in allowed:
            raise InvalidInput(f'{where}: unknown field "{name}"', hint=f"known fields are {', '.join(allowed)}")
    return value


def _list(value: object, where: str, limit: int) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidInput(f"{where}: not a list")
    if len(value) > limit:
        raise LimitExceeded(f"{where}: more than {limit} entries")
    return value


def _words(obj: dict[str, Any], name: str, where: str, known: object = None) -> tuple[str, ...]:
    words = _list(obj.get(name), f"{where}: {name}", MAX_NAMES)
    for word in words:
        if not _text(word, f"{where}: {name}", MAX_WORD):
            raise InvalidInput(f"{where}: {name}: an entry is empty")
        if known is not None:
            _choice(word, f"{where}: {name}", known)
    return tuple(words)


def _text(value: object, where: str, limit: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInput(f"{where}: not a string")
    if len(value) > limit:
        raise LimitExceeded(f"{where}: longer than {limit} characters")
    return value


def _choice(value: object, where: str, known: Any) -> str:
    if not isinstance(value, str) or value not in known:
        raise InvalidInput(f"{where}: unknown value {json.dumps(value)[:MAX_WORD]}")
    return value


def _integer(value: object, where: str, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise InvalidInput(f"{where}: not a whole number from 0 to {limit}")
    return value
