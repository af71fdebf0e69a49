"""RFC 3339 times as nanoseconds since 1970 and back, without the import cost of `datetime`."""

from __future__ import annotations

import re
import time

from holdall.errors import InvalidManifest

_VALID = r"(?a)(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))"
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SECOND = 1_000_000_000


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days(year: int, month: int, day: int) -> int:
    before = year - 1
    total = before * 365 + before // 4 - before // 100 + before // 400 - 719_162
    total += sum(_MONTH_DAYS[: month - 1]) + day - 1
    return total + (1 if month > 2 and _leap(year) else 0)


def parse(text: str) -> int:
    """Nanoseconds since 1970-01-01T00:00:00Z; digits beyond the ninth are cut off. Raises InvalidManifest."""
    match = re.fullmatch(_VALID, text)
    if match is None:
        raise InvalidManifest(f'invalid time "{ascii(text[:60])[1:-1]}": not rfc 3339')
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, off_hour, off_minute = match.groups()[6:]
    most = _MONTH_DAYS[month - 1] + (1 if month == 2 and _leap(year) else 0) if 1 <= month <= 12 else 0
    if not (1 <= day <= most and hour < 24 and minute < 60 and second < 61):
        raise InvalidManifest(f'invalid time "{text[:60]}": out of range')
    offset = 0
    if sign:
        if int(off_hour) > 23 or int(off_minute) > 59:
            raise InvalidManifest(f'invalid time "{text[:60]}": offset out of range')
        offset = (int(off_hour) * 60 + int(off_minute)) * (60 if sign == "+" else -60)
    seconds = _days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset
    return seconds * _SECOND + int((fraction or "")[:9].ljust(9, "0"))


def render(nanoseconds: int) -> str:
    """RFC 3339 in UTC as Go's RFC3339Nano writes it (no trailing zeros in the fraction)."""
    seconds, rest = divmod(nanoseconds, _SECOND)
    moment = time.gmtime(seconds)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{moment.tm_year:04d}-{time.strftime('%m-%dT%H:%M:%S', moment)}{fraction}Z"
