"""`--filter` of `builder du` and `builder prune`, and how what they tell of is shown: the words of buildx."""

from __future__ import annotations

import time

from holdall.engine.filters import check_names, parse_filters
from holdall.engine.times import ago, parse_duration, rfc3339, size
from holdall.errors import InvalidOption
from holdall.record import record
from holdall.store.build_usage import CLONE, MOUNT, REGULAR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdall.store.build_usage import Item

TYPES = (REGULAR, MOUNT, CLONE)
NAMES = ("id", "type", "until", "unused-for", "description", "mutable", "shared", "inuse")
TRUTH = {"true": True, "1": True, "false": False, "0": False, "": True}
HEADS = {
    "ID": "ID", "Reclaimable": "RECLAIMABLE", "Shared": "SHARED", "Size": "SIZE", "LastUsedAt": "LAST ACCESSED",
    "Description": "DESCRIPTION", "CreatedAt": "CREATED AT", "Mutable": "MUTABLE", "UsageCount": "USAGE COUNT",
    "Type": "TYPE",
}  # fmt: skip
SHORT = 25


@record
class Chosen:
    """What the filters choose: things for which `keeps` is true, last used before `before` (ns) if that is said."""

    tests: tuple[tuple[str, str], ...]
    before: int | None

    def keeps(self, one: Item) -> bool:
        """Whether a thing passes, but for its age."""
        return all(_passes(one, name, value) for name, value in self.tests)


def read(words: Iterable[str]) -> Chosen:
    """The values of --filter. Raises InvalidOption."""
    filters = parse_filters(words)
    check_names(filters, NAMES)
    for name, values in filters.items():
        if len(values) > 1:
            raise InvalidOption(f'the filter "{name}" takes one value')
    given = {name: values[0] for name, values in filters.items()}
    ages = [given.pop(name) for name in ("until", "unused-for") if name in given]
    if len(ages) > 1:
        raise InvalidOption('the filters "until" and "unused-for" are one and the same')
    if "type" in given and given["type"] not in TYPES:
        raise InvalidOption(f'invalid type "{given["type"]}"', hint=f"use one of {', '.join(TYPES)}")
    for name in ("mutable", "shared", "inuse"):
        if name in given and given[name] not in TRUTH:
            raise InvalidOption(f'invalid value "{given[name]}" of the filter "{name}"', hint="use true or false")
    return Chosen(tuple(given.items()), time.time_ns() - parse_duration(ages[0]) if ages else None)


def _passes(one: Item, name: str, value: str) -> bool:
    if name == "id":
        return one.id.startswith(value)
    if name == "type":
        return one.type == value
    if name == "description":
        return value in one.description
    if name == "inuse":
        return TRUTH[value] is False
    return bool(getattr(one, name)) is TRUTH[value]


def row(one: Item) -> dict[str, object]:
    """One line of a table, by the names that templates have in buildx."""
    mark = "*" if one.mutable else ""
    return {
        "ID": one.id[:SHORT] + mark, "Reclaimable": _word(one.reclaimable), "Shared": _word(one.shared),
        "Size": size(one.size) + ("*" if one.shared else ""), "LastUsedAt": f"{ago(one.used)} ago" if one.used else "",
        "Description": one.description, "CreatedAt": rfc3339(one.created) if one.created else "",
        "Mutable": _word(one.mutable), "UsageCount": one.uses, "Type": one.type,
    }  # fmt: skip


def _word(value: object) -> str:
    return "true" if value else "false"


def paragraph(one: Item) -> str:
    """All that is known of one thing, as `buildx du --verbose` shows it."""
    values = [
        ("ID", one.id), ("Created at", rfc3339(one.created) if one.created else ""), ("Mutable", _word(one.mutable)),
        ("Reclaimable", _word(one.reclaimable)), ("Shared", _word(one.shared)), ("Size", size(one.size)),
        ("Description", one.description), ("Usage count", str(one.uses)),
        ("Last used", f"{ago(one.used)} ago" if one.used else ""), ("Type", one.type),
    ]  # fmt: skip
    return "\n".join([f"{name + ':':<14}{value}" for name, value in values if value]) + "\n"


def summary(found: Sequence[Item]) -> list[tuple[str, str]]:
    """The lines below a table: bytes of everything, a layer that two steps came to counted once."""
    once = list({one.diff_id or one.id: one for one in found}.values())
    shared = sum(one.size for one in once if one.shared)
    total = sum(one.size for one in once)
    lines = [("Shared:", size(shared)), ("Private:", size(total - shared))] if shared else []
    return [*lines, ("Reclaimable:", size(total - shared)), ("Total:", size(total))]
