"""The policy file: what goes when nobody needs it any more, and how much there may be, in TOML.

[[retention]]                       # a tag's fate is decided by the first table that is about it
repositories = ["**"]               # "*" within one component, "**" across them
tags = ["latest", "v*"]             # "*": anything; without this key: all tags
keep = true                         # they stay

[[retention]]
repositories = ["team/**"]
keep_last = 10                      # of each repository: the newest stay,
keep_pushed = "14d"                 # and those pushed in the last 14 days, and those pulled in the last 30;
keep_pulled = "30d"                 # the others go (drop = true: all go)
untagged = "1d"                     # manifests without tag that were not pushed or pulled for a day (the default)
unused = "90d"                      # content of upstreams that was not brought or pulled for 90 days

[[quota]]
name = "team"                       # for messages; else the globs
repositories = ["team/**"]
bytes = "50g"
tags = 5000
each = true                         # each repository may have so much; else all of them together
"""

from __future__ import annotations

from functools import lru_cache

from holdall.errors import InvalidInput
from holdall.oci.jsonval import JsonObject
from holdall.record import record
from holdall.registry.server import tables
from holdall.registry.server.catalog_values import Bound
from holdall.registry.server.rules import pattern
from holdall.registry.server.watching import WatchedFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdall.registry.server.catalog_values import TagRow

MAX_TABLES = 10_000
MAX_GLOBS = 10_000
NEVER = -1.0
DAY = 86_400.0
_RETENTION = {
    "name", "repositories", "tags", "keep", "drop", "keep_last", "keep_pushed", "keep_pulled", "untagged", "unused",
}  # fmt: skip
_QUOTA = {"name", "repositories", "bytes", "tags", "each"}


@record
class Retention:
    """One table; ages in seconds, -1 where there is none. `decides`: it says of tags whether they stay."""

    name: str
    repositories: tuple[str, ...]
    tags: tuple[str, ...] = ()
    keep: bool = False
    drop: bool = False
    keep_last: int = -1
    keep_pushed: float = NEVER
    keep_pulled: float = NEVER
    untagged: float = NEVER
    unused: float = NEVER

    @property
    def decides(self) -> bool:
        """Whether it is about tags."""
        return self.keep or self.drops

    @property
    def drops(self) -> bool:
        """Whether tags may go by it."""
        return self.drop or self.keep_last >= 0 or self.keep_pushed >= 0 or self.keep_pulled >= 0

    def covers(self, repository: str) -> bool:
        """Whether it is about the repository."""
        return any(pattern(glob).fullmatch(repository) for glob in self.repositories)

    def names(self, tag: str) -> bool:
        """Whether it is about the tag."""
        return not self.tags or any(pattern(glob).fullmatch(tag) for glob in self.tags)

    def reason(self, row: TagRow, place: int, now: float) -> str:
        """Why a tag goes, "" when it stays; `place` is 0 for the newest of those the table is about."""
        if self.keep or place < self.keep_last:
            return ""
        used = max(row.updated, row.pulled)
        if 0 <= now - row.updated < self.keep_pushed or 0 <= now - used < self.keep_pulled:
            return ""
        reasons = [f"not among the last {self.keep_last}"] if self.keep_last >= 0 else []
        if self.keep_pushed >= 0:
            reasons.append(f"pushed {days(now - row.updated)} ago")
        if self.keep_pulled >= 0:
            reasons.append(f"not pulled for {days(now - used)}" if row.pulled else "never pulled")
        return f'{", ".join(reasons) or "dropped by name"} ("{self.name}")'


@record
class Quota:
    """One table. `each`: every repository for itself."""

    name: str
    repositories: tuple[str, ...]
    octets: int = -1
    tags: int = -1
    each: bool = False

    def bound(self, repository: str) -> Bound | None:
        """What binds a push to the repository, None when this is not about it."""
        if not any(pattern(glob).fullmatch(repository) for glob in self.repositories):
            return None
        if self.each:
            return Bound(f"{self.name}: {repository}", (repository,), self.octets, self.tags)
        return Bound(self.name, self.repositories, self.octets, self.tags)


@record
class Policy:
    """A policy file."""

    retention: tuple[Retention, ...] = ()
    quotas: tuple[Quota, ...] = ()

    def bounds(self, repository: str) -> tuple[Bound, ...]:
        """All quotas that bind a push to the repository."""
        return _bounds(self.quotas, repository) if self.quotas else ()

    def of(self, repository: str) -> tuple[Retention, ...]:
        """The tables about a repository, in order."""
        return tuple([one for one in self.retention if one.covers(repository)])

    @property
    def untagged_ages(self) -> tuple[float, ...]:
        """All ages that `untagged` may give, besides its default."""
        return tuple([one.untagged if one.untagged >= 0 else DAY for one in self.retention])

    def untagged(self, repository: str, default: float = NEVER) -> float:
        """The age at which manifests without tag go there, -1 for never. A day where tags may go, unless it is said."""
        tables = self.of(repository)
        said = next((one.untagged for one in tables if one.untagged >= 0), default)
        return DAY if said < 0 and any(one.drops for one in tables) else said

    def unused(self, repository: str) -> float:
        """The age at which unused content of an upstream goes there, -1 for never."""
        return next((one.unused for one in self.of(repository) if one.unused >= 0), NEVER)


@lru_cache(maxsize=4096)
def _bounds(quotas: tuple[Quota, ...], repository: str) -> tuple[Bound, ...]:
    found = [quota.bound(repository) for quota in quotas]
    return tuple([one for one in found if one is not None])


def days(seconds: float) -> str:
    """A span of time as people say it: "3d", "5h", "2m"."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def read(path: str) -> Policy:
    """Read a policy file. Raises OSError, InvalidInput."""
    return parse(tables.load(path), path)


def watched(path: str, complain: Callable[[str], None]) -> WatchedFile[Policy]:
    """The file as a long-lived process has it. Raises as `read`, if it was never right."""
    return WatchedFile(path, read, complain, what="retention and quotas")


def parse(values: Mapping[str, object], path: str) -> Policy:
    """A policy from decoded TOML; `path` is the file's, for messages."""
    obj = JsonObject(values, f'"{path}"', InvalidInput)
    tables.only(obj, {"retention", "quota"})
    retention = tuple([_retention(one) for one in obj.children("retention", MAX_TABLES)])
    quotas = tuple([_quota(one) for one in obj.children("quota", MAX_TABLES)])
    named = [one.name for one in quotas]
    for name in named:
        if named.count(name) > 1:
            raise InvalidInput(f'{obj.path("quota")}: two are called "{name}"', hint="give one of them another name")
    return Policy(retention, quotas)


def _globs(obj: JsonObject) -> tuple[str, ...]:
    found = obj.strings("repositories", MAX_GLOBS)
    if not found:
        raise obj.missing("repositories")
    return found


def _retention(obj: JsonObject) -> Retention:
    tables.only(obj, _RETENTION)
    globs = _globs(obj)
    last = obj.optional_integer("keep_last")
    made = Retention(
        obj.string("name") or ", ".join(globs)[:200],
        globs,
        obj.strings("tags", MAX_GLOBS),
        obj.boolean("keep"),
        obj.boolean("drop"),
        -1 if last is None else last,
        *[tables.seconds(obj, key) if key in obj else NEVER for key in ("keep_pushed", "keep_pulled")],
        *[tables.seconds(obj, key) if key in obj else NEVER for key in ("untagged", "unused")],
    )
    if made.keep and made.drops:
        raise InvalidInput(f"{obj.where}: keep = true contradicts the other keys")
    if made.drop and (made.keep_last >= 0 or made.keep_pushed >= 0 or made.keep_pulled >= 0):
        raise InvalidInput(f"{obj.where}: drop = true contradicts keep_last, keep_pushed and keep_pulled")
    if not made.decides and made.untagged < 0 and made.unused < 0:
        raise InvalidInput(f"{obj.where} says nothing", hint="give keep_last, keep_pushed, keep_pulled, keep or drop")
    if made.tags and not made.decides:
        raise InvalidInput(f"{obj.path('tags')} goes with a key that says whether they stay")
    return made


def _quota(obj: JsonObject) -> Quota:
    tables.only(obj, _QUOTA)
    globs = _globs(obj)
    octets = tables.size(obj, "bytes") if "bytes" in obj else -1
    tags = obj.optional_integer("tags")
    if octets < 0 and tags is None:
        raise obj.missing("bytes")
    name = obj.string("name") or ", ".join(globs)[:200]
    return Quota(name, globs, octets, -1 if tags is None else tags, obj.boolean("each"))
