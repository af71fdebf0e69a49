"""`.dockerignore` files: reading them, and which paths of a context they leave out (the last match decides)."""

from __future__ import annotations

import posixpath

from holdall.dockerfile.pattern import Pattern
from holdall.dockerfile.space import SPACE
from holdall.errors import DockerfileError
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SIZE = 4 << 20
MAX_PATTERNS = 10_000


def file_names(dockerfile: str) -> tuple[str, str]:
    """Where to look for the patterns of a build: beside its Dockerfile first, then at the context's root."""
    return f"{dockerfile}.dockerignore", ".dockerignore"


def read(data: bytes | str, name: str = ".dockerignore") -> tuple[str, ...]:
    """The patterns of an ignore file, cleaned, `!` kept in front. Raises DockerfileError past the bounds."""
    if len(data) > MAX_SIZE:
        raise DockerfileError(f"larger than {MAX_SIZE} bytes", file=name)
    text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
    found = []
    for line in text.removeprefix("\ufeff").split("\n"):
        pattern = line.strip(SPACE)
        if pattern and not line.startswith("#"):
            found.append(_cleaned(pattern))
    if len(found) > MAX_PATTERNS:
        raise DockerfileError(f"more than {MAX_PATTERNS} patterns", file=name)
    return tuple(found)


def _cleaned(pattern: str) -> str:
    mark = "!" if pattern.startswith("!") else ""
    rest = pattern[len(mark) :].strip(SPACE)
    if rest:
        rest = clean(rest)
        rest = rest[1:] if len(rest) > 1 and rest[0] == "/" else rest
    return mark + rest


def clean(path: str) -> str:
    """The shortest path that names the same, as Go's path.Clean."""
    done = posixpath.normpath(path)
    return done[1:] if done.startswith("//") else done


@record
class Rule:
    """A pattern and whether it takes paths back in."""

    pattern: Pattern
    exception: bool


@record
class State:
    """The verdict on one path: `ignored`, and which rules (by bit) matched it or a folder above it."""

    ignored: bool
    matched: int


class IgnoreRules:
    """Decides about paths relative to the context's root, with slashes. Raises DockerfileError for bad patterns."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.rules = tuple(_rule(text) for text in map(str, patterns) if text.strip(SPACE))
        self.has_exceptions = any(rule.exception for rule in self.rules)

    def ignores(self, path: str) -> bool:
        """Whether `path` is left out, by itself or with a folder above it. The root itself never is."""
        path = clean(path)
        if path == ".":
            return False
        state = None
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            state = self.step("/".join(parts[:count]), state)
        return state is not None and state.ignored

    def step(self, path: str, parent: State | None = None) -> State:
        """The verdict on `path`, given that on the folder it is in (None at the root): for walking down a tree."""
        ignored = False
        matched = parent.matched if parent else 0
        for at, rule in enumerate(self.rules):
            bit = 1 << at
            if not matched & bit:
                # a rule that could not change the verdict is not asked, and so is not inherited either (moby)
                if rule.exception != ignored or not rule.pattern.matches(path):
                    continue
                matched |= bit
            ignored = not rule.exception
        return State(ignored, matched)

    def may_keep_below(self, folder: str, state: State) -> bool:
        """Whether anything below `folder` can be kept: an ignored folder need be walked for an exception only."""
        if not state.ignored:
            return True
        below = folder + "/"
        return any(rule.exception and _can_match_below(rule.pattern, below) for rule in self.rules)


def _can_match_below(pattern: Pattern, below: str) -> bool:
    if pattern.is_literal:
        return pattern.literal.startswith(below)
    return pattern.literal.startswith(below) or below.startswith(pattern.literal)


def _rule(text: str) -> Rule:
    text = text.strip(SPACE)
    exception = text.startswith("!")
    bare = text[1:] if exception else text
    pattern = clean(bare) if bare else ""
    if pattern == "" or (exception and pattern == "/"):
        raise DockerfileError(f'a pattern that is only "{text}"', hint='name what "!" takes back in')
    return Rule(Pattern(pattern), exception)
