"""Byte ranges of RFC 9110 section 14: one range is honoured, several at once are answered with the whole."""

from __future__ import annotations

import re

from holdall.registry.server.refusal import Refusal

_ONE = r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*"


def parse(header: str, size: int) -> tuple[int, int] | None:
    """First byte and end (excluded) of the part that is wanted, None for the whole. Raises Refusal (416)."""
    match = re.fullmatch(_ONE, header)
    if match is None or (not match[1] and not match[2]):
        return None
    if not match[1]:
        first, end = max(size - int(match[2]), 0), size
    else:
        first = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
    if first >= end:
        raise Refusal("RANGE_INVALID", "no byte lies in this range", headers={"Content-Range": f"bytes */{size}"})
    return first, end
