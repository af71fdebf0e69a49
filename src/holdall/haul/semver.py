"""Version constraints in a sync file: ">= 3.12, < 4", "~1.2", "^2", "1.x || 3.x" (semver.org; signs as npm has them).

A tag may begin with "v" and leave out minor and patch. One with a pre-release fits only constraints that name one.
"""

from __future__ import annotations

import re

from holdall.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Version = tuple[int, int, int, tuple[tuple[int, int, str], ...]]
    Test = Callable[[Version], bool]

MAX_TEXT = 500
_VERSION = re.compile(
    r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:-([0-9A-Za-z.-]{1,100}))?(?:\+[0-9A-Za-z.-]{1,100})?"
)
_PART = re.compile(r"(=|!=|<=|>=|=<|=>|<|>|~>|~|\^)?[ ]*(v?[0-9xX*][0-9A-Za-z.*+-]*)")
_WILD = re.compile(r"v?(?:(\d{1,9})(?:\.(\d{1,9}|[xX*]))?(?:\.(\d{1,9}|[xX*]))?(-[0-9A-Za-z.-]+)?(?:\+.*)?|[xX*])")
_LAST = (1 << 62, 0, "")


def parse_version(text: str) -> Version | None:
    """A tag as a version, None when it is none. The last member makes pre-releases come before their release."""
    match = _VERSION.fullmatch(text)
    if match is None:
        return None
    return (int(match[1]), int(match[2] or 0), int(match[3] or 0), _pre(match[4]))


def _pre(text: str | None) -> tuple[tuple[int, int, str], ...]:
    if not text:
        return (_LAST,)
    return tuple([(0, int(one), "") if one.isdigit() else (1, 0, one) for one in text.split(".")])


class Constraint:
    """A parsed constraint. Raises InvalidInput."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEXT:
            raise InvalidInput(f"a version constraint has more than {MAX_TEXT} characters")
        self._any = [self._all(part, text) for part in text.split("||")]

    def fits(self, tag: str) -> bool:
        """Whether a tag is a version within the constraint."""
        version = parse_version(tag)
        return version is not None and any(all(test(version) for test in tests) for tests in self._any)

    def _all(self, text: str, whole: str) -> list[Test]:
        tests, end = [], 0
        text = text.strip().replace(",", " ")
        while end < len(text):
            match = _PART.match(text, end)
            if match is None:
                raise InvalidInput(f'"{ascii(whole)[1:-1]}" is no version constraint', hint='write ">= 1.2, < 2"')
            tests.append(_test(match[1] or "=", match[2], whole))
            end = match.end()
            end += len(text[end:]) - len(text[end:].lstrip())
        if not tests:
            raise InvalidInput("a version constraint is empty")
        return tests


def _test(sign: str, text: str, whole: str) -> Test:
    match = _WILD.fullmatch(text)
    if match is None:
        raise InvalidInput(f'"{ascii(whole)[1:-1]}" is no version constraint: "{ascii(text)[1:-1]}"')
    given = [int(part) for part in match.groups()[:3] if part is not None and part.isdigit()]
    pre = _pre((match[4] or "")[1:])
    low: Version = (*[*given, 0, 0, 0][:3], pre)  # type: ignore[assignment]  # three numbers
    plain = pre == (_LAST,)
    high = _above(sign, given)

    def released(version: Version) -> bool:
        return version[3] == (_LAST,) or not plain

    exact = len(given) == 3
    within: dict[str, Test] = {
        "=": lambda v: v == low if exact else low <= v < high,
        "!=": lambda v: v != low if exact else not low <= v < high,
        "<": lambda v: v < low,
        ">": lambda v: v > low if exact else v >= high,
        "<=": lambda v: v <= low if exact else v < high,
        ">=": lambda v: v >= low,
        "~": lambda v: low <= v < high,
        "^": lambda v: low <= v < high,
    }
    test = within[{"=<": "<=", "=>": ">=", "~>": "~"}.get(sign, sign)]
    return lambda version: released(version) and test(version)


def _above(sign: str, given: list[int]) -> Version:
    """The first version that is too high for "~1.2", "^1.2", "1.2.x"."""
    if not given:
        return (1 << 62, 0, 0, (_LAST,))
    place = len(given) - 1
    if sign == "^":
        place = next((at for at, part in enumerate(given) if part), len(given) - 1)
    elif sign in ("~", "~>"):
        place = min(len(given) - 1, 1)
    raised = [*given[:place], given[place] + 1, 0, 0, 0][:3]
    return (raised[0], raised[1], raised[2], ((-1, 0, ""),))
