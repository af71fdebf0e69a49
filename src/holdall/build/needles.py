"""The bytes that give a secret away, found in streams across the borders of their pieces, and blotted out of output."""

from __future__ import annotations

import base64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.build.secrets import Vault

MIN_LENGTH = 6
"""Shorter values would be found by chance everywhere."""
MIN_ENCODED = 8
MAX_LINES = 1000
BLOT = b"***"


class Needles:
    """What to look for: `(bytes, id of the secret)`, each value as it is without blanks around it, and in base64."""

    def __init__(self, vault: Vault) -> None:
        found: dict[bytes, str] = {}
        lines: dict[bytes, None] = {}
        for name, raw in vault.items():
            value = raw.strip()
            if len(value) < MIN_LENGTH:
                continue
            for needle in (value, *encoded(value)):
                found.setdefault(needle, name)
            parts = [line.strip() for line in value.splitlines()[:MAX_LINES]]
            lines.update(dict.fromkeys([part for part in parts if len(part) >= MIN_LENGTH]))
        self.found = tuple(found.items())
        self.longest = max((len(needle) for needle, _ in self.found), default=0)
        self.blotted = tuple(sorted({*lines, *found}, key=len, reverse=True))

    def __bool__(self) -> bool:
        return bool(self.found)

    def search(self, data: bytes) -> tuple[int, str] | None:
        """Where in `data` a secret begins, and its id; None when there is none."""
        for needle, name in self.found:
            at = data.find(needle)
            if at >= 0:
                return at, name
        return None


def encoded(value: bytes) -> Iterable[bytes]:
    """What base64 makes of a value inside of something longer, in its three places, without what depends on that."""
    forms: dict[bytes, None] = {}
    for before in range(3):
        text = base64.b64encode(b"\0" * before + value)
        first = -(-before * 4 // 3)
        last = (before + len(value)) * 4 // 3
        if last - first >= MIN_ENCODED:
            forms[text[first:last]] = None
            forms[text[first:last].replace(b"+", b"-").replace(b"/", b"_")] = None
    return forms


class Blotter:
    """Output with every needle replaced. It holds back only what may be the beginning of one."""

    def __init__(self, needles: Needles) -> None:
        self._needles = needles.blotted
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """What may be shown now."""
        if not self._needles:
            return data
        data = self._blotted(self._rest + data)
        cut = min([_begun(data, needle) for needle in self._needles])
        data, self._rest = data[:cut], data[cut:]
        return data

    def end(self) -> bytes:
        """What was held back."""
        rest, self._rest = self._rest, b""
        return self._blotted(rest)

    def _blotted(self, data: bytes) -> bytes:
        for needle in self._needles:
            data = data.replace(needle, BLOT)
        return data


def _begun(data: bytes, needle: bytes) -> int:
    """Where at the end of `data` the needle may begin; its length when nowhere."""
    at = data.find(needle[:1], max(0, len(data) - len(needle) + 1))
    while at >= 0:
        if needle.startswith(data[at:]):
            return at
        at = data.find(needle[:1], at + 1)
    return len(data)
