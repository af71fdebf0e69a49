"""Whether a text can be an image reference (distribution's reference grammar), without making one of it."""

from __future__ import annotations

import re

MAX_NAME = 255
MAX_REFERENCE = 1024

_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"((?:{_DOMAIN}/)?{_PART}(?:/{_PART})*)(?::[0-9A-Za-z_][0-9A-Za-z_.-]{{0,127}})?(?:@{_DIGEST})?", re.ASCII
)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


def is_valid(text: str) -> bool:
    """Whether `text` is a reference such as `debian:12` or `host:5000/path@sha256:…`."""
    if len(text) > MAX_REFERENCE or _IDENTIFIER.fullmatch(text):
        return False
    match = _REFERENCE.fullmatch(text)
    return match is not None and len(match[1]) <= MAX_NAME
