"""Tables of a TOML file: no unknown keys, and amounts: seconds as 90 or "1h30m" or "30d", bytes as 1000 or "50m"."""

from __future__ import annotations

import re
import tomllib

from holdall.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.jsonval import JsonObject

MAX_FILE = 1 << 20
MAX_SECONDS = 100 * 365 * 86_400.0
MAX_BYTES = 1 << 62
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_TIME = re.compile(r"([0-9]{1,9})([smhd])")
_SIZE = re.compile(r"([0-9]{1,12})([kmgt]?)b?", re.IGNORECASE)
_POWERS = "kmgt"


def load(path: str) -> dict[str, object]:
    """A TOML file, decoded. Raises OSError, InvalidInput."""
    with open(path, "rb") as file:
        raw = file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise InvalidInput(f'"{path}" has more than {MAX_FILE} bytes')
    try:
        return tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as err:
        raise InvalidInput(f'"{path}" is not valid toml: {str(err)[:200].lower()}') from err


def only(obj: JsonObject, known: set[str]) -> None:
    """Raise the object's error for a key that is not known: a misspelt rule must not be skipped."""
    unknown = sorted(set(obj.values) - known)
    if unknown:
        raise obj.error(f"{obj.path(unknown[0])} is not known", hint=f"one of {', '.join(sorted(known))}")


def seconds(obj: JsonObject, key: str, default: float = 0.0, *, least: float = 0.0) -> float:
    """A span of time. Raises the object's error for anything else and for less than `least` seconds."""
    found = _number(obj, key, default)
    if found is None:
        text = obj.string(key)
        total, end = 0.0, 0
        while match := _TIME.match(text, end):
            total, end = total + int(match[1]) * _UNITS[match[2]], match.end()
        if not text or end != len(text):
            raise obj.error(
                f'{obj.path(key)}: "{text[:50]}" is no time', hint='write 90, "90s", "15m", "1h30m" or "7d"'
            )
        found = total
    if not least <= found <= MAX_SECONDS:
        raise obj.error(f"{obj.path(key)} must be at least {least:g} seconds and at most 100 years")
    return found


def size(obj: JsonObject, key: str, default: int = 0, *, least: int = 0) -> int:
    """A number of bytes; k, m, g and t are powers of 1024. Raises the object's error."""
    found = _number(obj, key, default)
    if found is None:
        text = obj.string(key)
        match = _SIZE.fullmatch(text)
        if match is None:
            raise obj.error(f'{obj.path(key)}: "{text[:50]}" is no size', hint='write 1000, "64k", "50m" or "1g"')
        found = int(match[1]) << (10 * (_POWERS.index(match[2].lower()) + 1) if match[2] else 0)
    if not least <= found <= MAX_BYTES:
        raise obj.error(f"{obj.path(key)} must be at least {least} bytes")
    return int(found)


def rate(obj: JsonObject, key: str, default: float = 0.0) -> float:
    """A number, whole or not, that is not negative. Raises the object's error."""
    found = _number(obj, key, default)
    if found is None or not 0 <= found <= MAX_BYTES:
        raise obj.wrong(key, "a number that is not negative")
    return found


def _number(obj: JsonObject, key: str, default: float) -> float | None:
    """The value as a number, None when it is something else (a text, perhaps)."""
    value = obj.values.get(key)
    if value is None:
        return default
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
