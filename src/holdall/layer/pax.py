"""PAX extended headers (POSIX.1-2001, pax(1)): the `length key=value` records, both ways."""

from __future__ import annotations

from holdall.errors import InvalidArchive, LimitExceeded

XATTR = b"SCHILY.xattr."
_NS = 1_000_000_000
_SECONDS = 1 << 63


def parse(data: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    """The records in order, repetitions kept (GNU sparse 0.0 needs them). Raises InvalidArchive, LimitExceeded."""
    records: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        digits = data[at:space] if space > 0 else b""
        if not digits.isdigit():
            if not data[at:].strip(b"\0"):
                break
            raise InvalidArchive("PAX header has a malformed record length")
        end = at + int(digits)
        if end > len(data) or end <= space + 1 or data[end - 1] != 0x0A:
            raise InvalidArchive("PAX header has a record of the wrong length")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key or b"\0" in key:
            raise InvalidArchive("PAX header has a record without a key")
        records.append((key, value))
        if len(records) > limit:
            raise LimitExceeded(f"PAX headers hold more than {limit} records")
        at = end
    return records


def build(records: dict[bytes, bytes]) -> bytes:
    """Serialise records, sorted by key. A length counts its own digits."""
    parts = []
    for key, value in sorted(records.items()):
        body = b" " + key + b"=" + value + b"\n"
        length = len(body)
        while length != len(body) + len(str(length)):
            length = len(body) + len(str(length))
        parts.append(str(length).encode() + body)
    return b"".join(parts)


def text(value: bytes, what: str) -> bytes:
    """A path-like value: no NUL inside. Raises InvalidArchive."""
    if b"\0" in value:
        raise InvalidArchive(f"PAX header has a NUL in its {what}")
    return value


def integer(value: bytes, what: str) -> int:
    """A decimal that is not negative. Raises InvalidArchive."""
    if not value.isdigit() or len(value) > 20:
        raise InvalidArchive(f"PAX header has a malformed {what}")
    return int(value)


def nanoseconds(value: bytes) -> int:
    """A time `[-]seconds[.fraction]`, cut (toward the past) to nanoseconds. Raises InvalidArchive."""
    negative = value.startswith(b"-")
    whole, _, fraction = (value[1:] if negative else value).partition(b".")
    if not (whole or fraction) or (whole and not whole.isdigit()) or (fraction and not fraction.isdigit()):
        raise InvalidArchive("PAX header has a malformed time")
    if len(whole) > 20 or int(whole or b"0") >= _SECONDS:
        raise InvalidArchive("PAX header has a time out of range")
    total = int(whole or b"0") * _NS + int((fraction + b"000000000")[:9])
    if not negative:
        return total
    return -total - (1 if fraction[9:].strip(b"0") else 0)


def time(mtime_ns: int) -> bytes:
    """The shortest exact text of a time in nanoseconds."""
    sign, value = ("-", -mtime_ns) if mtime_ns < 0 else ("", mtime_ns)
    whole, fraction = divmod(value, _NS)
    return (f"{sign}{whole}" + (f".{fraction:09d}".rstrip("0") if fraction else "")).encode()
