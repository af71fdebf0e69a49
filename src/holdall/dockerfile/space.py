"""White space as the Dockerfile language means it: Unicode's for trimming, ASCII's between words."""

from __future__ import annotations

import re

# Unicode's White_Space property; str.isspace() would add the separators U+001C to U+001F
SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
BETWEEN = re.compile(r"[\t\v\f\r ]+")
NOT_SPACE = re.compile(f"[^{SPACE}]")


def split_once(text: str) -> tuple[str, str | None]:
    """The text before the first run of ASCII blanks, and after it (None without a run)."""
    parts = BETWEEN.split(text, 1)
    return parts[0], parts[1] if len(parts) == 2 else None
