"""Warnings and where they are collected."""

from __future__ import annotations

from holdall.dockerfile.lint.options import Options
from holdall.dockerfile.lint.rules import Rule
from holdall.dockerfile.location import Location, Source, visible
from holdall.errors import DockerfileError
from holdall.record import record


@record
class Warning:  # noqa: A001
    """A rule broken at a place."""

    rule: Rule
    message: str
    location: Location

    def render(self, source: Source) -> str:
        """Rule, link, message, place and excerpt, as shown to a reader."""
        head = f"WARNING: {self.rule.name} - {self.rule.url}\n{self.message}"
        return f"{head}\n{source.name}:{self.location.start}\n{source.excerpt(self.location)}"


@record
class Report:
    """All warnings in file order. `error` is why the file cannot be built at all, or None."""

    warnings: tuple[Warning, ...]
    fails: bool
    error: DockerfileError | None = None

    def raise_for_rules(self) -> None:
        """Raise DockerfileError when there are warnings and `error=true` asks for it."""
        if self.fails and self.warnings:
            names = ", ".join(sorted({warning.rule.name for warning in self.warnings}))
            raise DockerfileError(f"checks failed: {names}", hint="fix them, or skip one with # check=skip=RULE")


class Collector:
    """Takes warnings, and drops those that options switch off."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.warnings: list[Warning] = []
        self.error: DockerfileError | None = None

    def add(self, rule: Rule, message: str, location: Location, comments: tuple[str, ...] = ()) -> None:
        """Note a warning about `location`; `comments` stand above it and may skip the rule."""
        warning = Warning(rule, visible(message), location)
        if self.options.with_comments(comments).runs(rule) and warning not in self.warnings:
            self.warnings.append(warning)

    def fail(self, error: DockerfileError) -> None:
        """Keep the first error met."""
        self.error = self.error or error

    def report(self) -> Report:
        """What was collected, in file order."""
        ordered = sorted(self.warnings, key=lambda warning: (warning.location.start, warning.rule.name))
        return Report(tuple(ordered), self.options.error, self.error)
