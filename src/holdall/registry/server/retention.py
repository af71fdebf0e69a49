"""Tags and manifests that a policy lets go, in short steps, each with its reason.

Tags that stand for what belongs to another manifest (sha256-DIGEST.sig and the like, cosign's, and those of the
referrers' fallback) are not judged by themselves: they go when that manifest is gone.
"""

from __future__ import annotations

import re

from holdall.record import record
from holdall.registry.server.policy import days

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdall.registry.server.catalog_values import Loose, TagRow
    from holdall.registry.server.policy import Policy, Retention
    from holdall.registry.server.storage import Catalog

BATCH = 50  # rows removed in one transaction, which others wait for
PAGE = 1_000
MAX_PASSES = 4
FRESH_SECONDS = 86_400.0
"""How long a tag of another manifest's is left alone: it may have been pushed before that one."""
_COMPANION = re.compile(r"(sha256|sha512)-([0-9a-f]{64}|[0-9a-f]{128})(?:\.[A-Za-z0-9._-]+)?")


@record
class Leaving:
    """A tag ("NAME:TAG") or manifest ("NAME@DIGEST") that goes, and why."""

    kind: str
    name: str
    reason: str


class Keeper:
    """One round over all repositories. `untagged` is the age for those that the policy does not speak of."""

    def __init__(self, catalog: Catalog, policy: Policy, now: float, *, untagged: float = -1.0, dry: bool) -> None:
        self._catalog = catalog
        self._policy = policy
        self._now = now
        self._untagged = untagged
        self._dry = dry

    def steps(self) -> Iterator[list[Leaving]]:
        """Do one step at each turn and say what went, or would."""
        if any(one.drops for one in self._policy.retention):
            yield from self._repositories()
        yield from self._unused()
        yield from self._loose()

    def _repositories(self) -> Iterator[list[Leaving]]:
        after, more = "", True
        while more:
            page = self._catalog.repositories(after, BATCH)
            for name in page.names:
                tables = [one for one in self._policy.of(name) if one.decides]
                if any(one.drops for one in tables):
                    yield from self._repository(name, tables)
            more, after = page.more, page.names[-1] if page.names else after
            yield []

    def _repository(self, name: str, tables: Sequence[Retention]) -> Iterator[list[Leaving]]:
        rows = list(self._rows(name))
        companions = [row for row in rows if _COMPANION.fullmatch(row.name)]
        judged = judge([row for row in rows if not _COMPANION.fullmatch(row.name)], tables, self._now)
        for start in range(0, len(judged), BATCH):
            yield self._drop(name, judged[start : start + BATCH])
        lost = [(row, "what it belongs to is gone") for row in companions if self._is_lost(name, row)]
        for start in range(0, len(lost), BATCH):
            yield self._drop(name, lost[start : start + BATCH])

    def _rows(self, repository: str) -> Iterator[TagRow]:
        after = ""
        while found := self._catalog.tag_rows(repository, after, PAGE):
            yield from found
            after = found[-1].name

    def _is_lost(self, repository: str, row: TagRow) -> bool:
        algorithm, _, rest = row.name.partition("-")
        digest = f"{algorithm}:{rest.partition('.')[0]}"
        fresh = self._now - row.updated < FRESH_SECONDS
        return not fresh and self._catalog.manifest(repository, digest, content=False) is None

    def _drop(self, repository: str, found: Sequence[tuple[TagRow, str]]) -> list[Leaving]:
        reasons = {row.name: reason for row, reason in found}
        if self._dry:
            return [Leaving("tag", f"{repository}:{tag}", reason) for tag, reason in reasons.items()]
        gone = self._catalog.drop_tags(repository, [row for row, _ in found])
        return [Leaving("tag", f"{repository}:{tag}", reasons[tag]) for tag in gone]

    def _unused(self) -> Iterator[list[Leaving]]:
        ages = [one.unused for one in self._policy.retention if one.unused >= 0]
        if not ages:
            return
        after = 0
        while found := self._catalog.unused_mirrored(self._now - min(ages), after, BATCH):
            after = found[-1].number
            aged = [(row, self._policy.unused(row.repository)) for row in found]
            yield self._leave(aged, "unused", self._catalog.drop_unused_mirrored)

    def _loose(self) -> Iterator[list[Leaving]]:
        """Again when something went: what an index or a subject held may have nobody else."""
        ages = [age for age in (self._untagged, *self._policy.untagged_ages) if age >= 0]
        going = bool(ages)
        for _ in range(1 if self._dry else MAX_PASSES):
            after, anything = 0, going
            going = False
            while anything and (found := self._catalog.loose_manifests(self._now - min(ages), after, BATCH)):
                after = found[-1].number
                aged = [(row, self._policy.untagged(row.repository, self._untagged)) for row in found]
                left = self._leave(aged, "without tag and unused", self._catalog.drop_manifests)
                going = going or bool(left)
                yield left

    def _leave(self, aged: Sequence[tuple[Loose, float]], why: str, drop: Drop) -> list[Leaving]:
        by_age: dict[float, list[Loose]] = {}
        for row, age in aged:
            if 0 <= age < self._now - row.used:
                by_age.setdefault(age, []).append(row)
        if not self._dry:
            for age, rows in by_age.items():
                drop(self._now - age, [row.number for row in rows])
        return [
            Leaving("manifest", f"{row.repository}@{row.digest}", f"{why} for {days(self._now - row.used)}")
            for rows in by_age.values()
            for row in rows
        ]


if TYPE_CHECKING:
    from collections.abc import Callable

    Drop = Callable[[float, Sequence[int]], int]


def judge(rows: Sequence[TagRow], tables: Sequence[Retention], now: float) -> list[tuple[TagRow, str]]:
    """Those of a repository's tags that go, and why."""
    places = [0] * len(tables)
    found = []
    for row in sorted(rows, key=lambda one: (-one.updated, one.name)):
        for number, table in enumerate(tables):
            if table.names(row.name):
                if reason := table.reason(row, places[number], now):
                    found.append((row, reason))
                places[number] += 1
                break
    return found
