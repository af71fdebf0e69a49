"""Header values a registry steers us with: Retry-After, Content-Range, Range, Link. All bounded, none trusted."""

from __future__ import annotations

import re

from holdall.record import record

MAX_DIGITS = 18
MAX_LINK = 16 << 10

_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,6})?")
_CONTENT_RANGE = re.compile(rf"bytes[ \t]+(\d{{1,{MAX_DIGITS}}})-(\d{{1,{MAX_DIGITS}}})/(\d{{1,{MAX_DIGITS}}}|\*)")
_UPLOAD_RANGE = re.compile(rf"(?:bytes=)?0-(\d{{1,{MAX_DIGITS}}})")
_LINK = re.compile(r'[ \t,]*<([^<>]*)>((?:[ \t]*;[ \t]*[A-Za-z*-]+[ \t]*(?:=[ \t]*(?:"[^"]*"|[^ \t",;]+))?)*)')
_REL_NEXT = re.compile(
    r';[ \t]*rel[ \t]*=[ \t]*(?:next(?=[ \t;]|$)|"(?:[^"]*[ \t])?next(?:[ \t][^"]*)?")', re.IGNORECASE
)


@record
class ContentRange:
    """`bytes first-last/total`; total None when the server does not know."""

    first: int
    last: int
    total: int | None

    @classmethod
    def parse(cls, text: str) -> ContentRange | None:
        """Parse a Content-Range of a 206 answer (RFC 9110 section 14.4); None when malformed."""
        match = _CONTENT_RANGE.fullmatch(text.strip())
        if match is None:
            return None
        first, last = int(match[1]), int(match[2])
        total = None if match[3] == "*" else int(match[3])
        if last < first or (total is not None and last >= total):
            return None
        return cls(first, last, total)


def upload_offset(text: str | None) -> int | None:
    """Bytes a registry has of an upload, from the Range header of its status; None when it does not say.

    distribution-spec has `0-<last>`; `0-0` stands for nothing, as docker-registry says it (one byte is sent again).
    """
    match = _UPLOAD_RANGE.fullmatch((text or "").strip())
    if match is None:
        return None
    last = int(match[1])
    return last + 1 if last else 0


def retry_after(text: str | None, now: float) -> float | None:
    """Seconds to wait as Retry-After says, by number or HTTP date (RFC 9110 section 10.2.3); `now` is Unix time."""
    if not text:
        return None
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text[:100]).timestamp() - now)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def next_link(text: str | None) -> str | None:
    """Target of the Link header's relation "next" (RFC 8288), None when there is none."""
    if not text or len(text) > MAX_LINK:
        return None
    position = 0
    while match := _LINK.match(text, position):
        if _REL_NEXT.search(match[2]):
            return match[1]
        position = match.end()
    return None
