"""Times and durations as Docker's options and outputs write them. All times are nanoseconds since the epoch, UTC."""

from __future__ import annotations

import re
import time

from holdall.errors import InvalidOption

UNITS = {
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "µs": 10**3,
    "ns": 1,
    "d": 86400 * 10**9,
}
PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns|d)")
STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s*(Z|[+-]\d\d:?\d\d)?\Z", re.IGNORECASE
)


def parse_duration(text: str) -> int:
    """Nanoseconds of Go's "1h30m", "90s", "1.5h". Raises InvalidOption."""
    total, position = 0, 0
    for match in PART.finditer(text):
        if match.start() != position:
            break
        total += int(float(match.group(1)) * UNITS[match.group(2)])
        position = match.end()
    if not text or position != len(text):
        raise InvalidOption(f'invalid duration "{text}"', hint="write 10s, 5m or 1h30m")
    return total


def parse_time(text: str, now: int | None = None) -> int:
    """`--since` and `--until`: RFC 3339 (or a part of it), Unix seconds, or a duration before now."""
    import calendar

    match = STAMP.match(text)
    if match:
        year, month, day, hour, minute, second, fraction, zone = match.groups()
        fields = (int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
        try:
            seconds = calendar.timegm((*fields, 0, 0, 0))
        except (ValueError, OverflowError):
            raise InvalidOption(f'invalid time "{text}"') from None
        if zone is None:
            seconds = int(time.mktime((*fields, 0, 0, -1)))
        elif zone.upper() != "Z":
            sign = 1 if zone[0] == "+" else -1
            seconds -= sign * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)
        return seconds * 10**9 + int((fraction or "0").ljust(9, "0"))
    if re.fullmatch(r"\d{5,19}(\.\d{1,9})?", text):
        whole, _, fraction = text.partition(".")
        return int(whole) * 10**9 + int(fraction.ljust(9, "0"))
    try:
        return (time.time_ns() if now is None else now) - parse_duration(text)
    except InvalidOption:
        raise InvalidOption(
            f'invalid time "{text}"', hint="write 2026-01-02T15:04:05, Unix seconds, or a duration such as 10m"
        ) from None


def rfc3339(ns: int | None) -> str:
    """RFC 3339 with nanoseconds in UTC; Go's zero time for None or 0, as Docker's JSON has it."""
    if not ns:
        return "0001-01-01T00:00:00Z"
    seconds, fraction = divmod(ns, 10**9)
    base = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{base}.{fraction:09d}Z" if fraction else base + "Z"


def ago(ns: int, now: int | None = None) -> str:
    """ "About a minute", "3 hours": go-units' HumanDuration of a span in nanoseconds."""
    seconds = max(0, ((time.time_ns() if now is None else now) - ns) // 10**9)
    return span(seconds)


def span(seconds: int) -> str:
    """go-units' HumanDuration."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = seconds // 60
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = round(seconds / 3600)
    if hours < 48:
        return "About an hour" if hours <= 1 else f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"


def size(count: float) -> str:
    """go-units' HumanSize: decimal units, four digits ("75.2MB")."""
    return _scale(count, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB"))


def binary_size(count: float) -> str:
    """go-units' BytesSize: binary units ("1.5GiB")."""
    return _scale(count, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))


def _scale(count: float, base: float, units: tuple[str, ...]) -> str:
    value = float(count)
    for unit in units:
        if value < base or unit == units[-1]:
            return f"{value:.4g}{unit}" if value < 10000 else f"{value:.0f}{unit}"
        value /= base
    raise AssertionError
