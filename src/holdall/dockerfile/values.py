"""Values inside flags: comma-separated fields, truth values, durations and sizes, as Go's libraries read them."""

from __future__ import annotations

import csv
import re

from holdall.errors import DockerfileError

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
_NANOSECONDS["h"] = 3600 * 10**9
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(?:([kmgtp])i?b?|b)?", re.IGNORECASE | re.ASCII)
MAX_DURATION = (1 << 63) - 1
MAX_DIGITS = 30


def fields(text: str) -> list[str]:
    """The fields of one line of CSV (RFC 4180). Raises DockerfileError for stray quotes."""
    if '"' not in text:
        return text.split(",")
    if "\n" in text or "\r" in text:
        raise DockerfileError(f'a line break in "{text}"')
    if not re.fullmatch(r'(?:(?:"(?:[^"]|"")*"|[^",]*)(?:,|\Z))+', text):
        raise DockerfileError(f'stray quote in "{text}"')
    return next(csv.reader([text], strict=True))


def truth(name: str, text: str) -> bool:
    """A truth value of `name`. Raises DockerfileError."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise DockerfileError(f'invalid value for {name}: "{text}"', hint="use true or false")


def unsigned(name: str, text: str, base: int) -> int:
    """A number below 2³² in `base`. Raises DockerfileError."""
    digits = "01234567" if base == 8 else "0123456789"
    if not text or len(text) > MAX_DIGITS or text.strip(digits) or int(text, base) >= 1 << 32:
        kind = "an octal number" if base == 8 else "a number"
        raise DockerfileError(f'invalid value for {name}: "{text}" is not {kind}')
    return int(text, base)


def duration(name: str, text: str) -> int:
    """Nanoseconds of a duration such as `1m30s`; 0 for "". Raises DockerfileError below 1 ms."""
    if text in ("", "0", "+0", "-0"):
        return 0
    at = 1 if text[0] in "+-" else 0
    total = 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None or not (part[1] or part[2]) or len(part[1]) > MAX_DIGITS:
            raise DockerfileError(f'invalid duration for --{name}: "{text}"', hint="write it like 30s or 1m30s")
        total += _nanoseconds(part[1], part[2] or "", _NANOSECONDS[part[3]])
        at = part.end()
    total = -total if text[0] == "-" else total
    if (at == 1 and text[0] in "+-") or total > MAX_DURATION:
        raise DockerfileError(f'invalid duration for --{name}: "{text}"')
    if total and total < 10**6:
        raise DockerfileError(f'--{name} "{text}" is below 1ms')
    return total


def _nanoseconds(whole: str, fraction: str, unit: int) -> int:
    digits = fraction[:MAX_DIGITS]
    return int(whole or "0") * unit + (int(digits) * unit // 10 ** len(digits) if digits else 0)


def size(name: str, text: str) -> int:
    """Bytes of a size such as `64m`, units of 1024. Raises DockerfileError."""
    match = _SIZE.fullmatch(text)
    if match is None or len(text) > MAX_DIGITS:
        raise DockerfileError(f'invalid value for {name}: "{text}"', hint="write it like 64m or 1g")
    unit = "bkmgtp".index((match[2] or "b").lower())
    return int(float(match[1]) * 1024**unit)
