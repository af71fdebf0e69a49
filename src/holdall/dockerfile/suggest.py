"""The nearest known word to a mistyped one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DISTANCE = 2
MAX_WORD = 64


def nearest(word: str, known: Iterable[str], *, ignore_case: bool = False) -> str:
    """The known word at most two edits away: the nearest, then one of the same letters, then the first; or ""."""
    wanted = word.lower() if ignore_case else word
    found = []
    for candidate in known:
        other = candidate.lower() if ignore_case else candidate
        far = distance(wanted, other, MAX_DISTANCE + 1)
        if far == 0:
            return ""
        if far <= MAX_DISTANCE:
            found.append((far, sorted(other) != sorted(wanted), candidate))
    best = min(found, key=lambda entry: entry[:2])[2] if found else ""
    return _cased(best, word) if ignore_case else best


def hint(word: str, known: Iterable[str], *, ignore_case: bool = False) -> str | None:
    """A hint that names the nearest known word, or None."""
    found = nearest(word, sorted(known), ignore_case=ignore_case)
    return f"did you mean {found}?" if found else None


def distance(one: str, other: str, bound: int) -> int:
    """Levenshtein distance, or `bound` when it is not below that."""
    if abs(len(one) - len(other)) >= bound or len(one) > MAX_WORD:
        return bound
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return min(row[-1], bound)


def _cased(found: str, like: str) -> str:
    if like == like.lower():
        return found.lower()
    return found.upper() if like == like.upper() else found
