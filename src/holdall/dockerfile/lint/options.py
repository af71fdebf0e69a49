"""`# check=skip=A,B;error=true;experimental=all`: which rules run, for the file or for one instruction."""

from __future__ import annotations

from holdall.dockerfile import directives, values
from holdall.dockerfile.suggest import hint
from holdall.errors import DockerfileError
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.dockerfile.lint.rules import Rule

_KEYS = ("skip", "experimental", "error")
ALL = "all"


@record
class Options:
    """`skip` and `experimental` hold rule names, or only "all"; `error`: a warning fails the build."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    def runs(self, rule: Rule) -> bool:
        """Whether `rule` is to be reported."""
        if rule.experimental:
            return bool(self.experimental & {ALL, rule.name})
        return not self.skip & {ALL, rule.name}

    def with_comments(self, comments: tuple[str, ...]) -> Options:
        """These options and those of a `# check=` among the comments above an instruction; a bad one is ignored."""
        for comment in comments:
            found = directives.parse_comment(comment)
            if found and found[0] == "check":
                try:
                    local = parse(found[1].split(" ", 1)[0])
                except DockerfileError:
                    return self
                return Options(self.skip | local.skip, self.experimental | local.experimental, self.error)
        return self


def parse(text: str) -> Options:
    """The options a `check` directive or BUILDKIT_DOCKERFILE_CHECK holds. Raises DockerfileError."""
    found: dict[str, frozenset[str]] = {}
    error = False
    for part in text.strip().split(";") if text.strip() else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in _KEYS:
            raise DockerfileError(f'invalid check option "{part.strip()}"', hint=hint(key, _KEYS))
        if key == "error":
            error = values.truth("error", value)
        else:
            found[key] = frozenset(name.strip() for name in value.split(","))
    return Options(found.get("skip", frozenset()), found.get("experimental", frozenset()), error)
