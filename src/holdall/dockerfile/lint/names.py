"""Rules about words: casing, stage names, descriptions, empty continuation lines."""

from __future__ import annotations

from holdall.dockerfile.instructions import Arg, From, Maintainer
from holdall.dockerfile.lint import rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.dockerfile.instructions import Instruction
    from holdall.dockerfile.lint.report import Collector
    from holdall.dockerfile.stages import Dockerfile

_RESERVED = ("context", "scratch")


def check(dockerfile: Dockerfile, collector: Collector) -> None:
    """All rules of this module."""
    for place in dockerfile.empty_continuations:
        collector.add(rules.NO_EMPTY_CONTINUATION, "Empty continuation line", place)
    _consistent_casing(dockerfile, collector)
    _stage_names(dockerfile, collector)
    for instruction in (*dockerfile.arguments, *_all(dockerfile)):
        if isinstance(instruction, From):
            _from_casing(instruction, collector)
            _description("FROM", (instruction.stage,) if instruction.stage else (), instruction, collector)
        elif isinstance(instruction, Arg):
            names = tuple(definition.name for definition in instruction.definitions)
            _description("ARG", names, instruction, collector)
        elif isinstance(instruction, Maintainer):
            message = "Maintainer instruction is deprecated in favor of using label"
            collector.add(rules.MAINTAINER_DEPRECATED, message, instruction.location, instruction.comments)


def _all(dockerfile: Dockerfile) -> Iterator[Instruction]:
    for stage in dockerfile.stages:
        yield stage.start
        yield from stage.instructions


def _consistent_casing(dockerfile: Dockerfile, collector: Collector) -> None:
    keywords = [instruction.keyword for instruction in _all(dockerfile)]
    lower = sum(word == word.lower() for word in keywords)
    upper = sum(word == word.upper() for word in keywords)
    wanted, name = (str.lower, "lowercase") if lower > upper else (str.upper, "uppercase")
    for instruction in _all(dockerfile):
        if instruction.keyword != wanted(instruction.keyword):
            message = f"Command '{instruction.keyword}' should match the case of the command majority ({name})"
            rule = rules.CONSISTENT_INSTRUCTION_CASING
            collector.add(rule, message, instruction.location, instruction.comments)


def _stage_names(dockerfile: Dockerfile, collector: Collector) -> None:
    seen: set[str] = set()
    for stage in dockerfile.stages:
        start = stage.start
        if stage.name in _RESERVED:
            message = f'Stage name should not use the same name as reserved stage "{stage.name}"'
            collector.add(rules.RESERVED_STAGE_NAME, message, start.location, start.comments)
        if stage.name in seen:
            message = f'Duplicate stage name "{stage.name}", stage names should be unique'
            collector.add(rules.DUPLICATE_STAGE_NAME, message, start.location, start.comments)
        if stage.name:
            seen.add(stage.name)


def _from_casing(start: From, collector: Collector) -> None:
    if start.stage_written != start.stage:
        message = f"Stage name '{start.stage_written}' should be lowercase"
        collector.add(rules.STAGE_NAME_CASING, message, start.location, start.comments)
    if not start.as_keyword or start.keyword not in (start.keyword.lower(), start.keyword.upper()):
        return
    wanted = start.as_keyword.lower() if start.keyword == start.keyword.lower() else start.as_keyword.upper()
    if start.as_keyword != wanted:
        message = f"'{start.as_keyword}' and '{start.keyword}' keywords' casing do not match"
        collector.add(rules.FROM_AS_CASING, message, start.location, start.comments)


def _description(keyword: str, names: tuple[str, ...], instruction: Instruction, collector: Collector) -> None:
    comments = instruction.comments
    if not comments or not names or comments[-1].split(" ")[0] in names:
        return
    example = names[0] if len(names) == 1 else "<arg_key>"
    message = f"Comment for {keyword} should follow the format: `# {example} <description>`"
    collector.add(rules.INVALID_DEFINITION_DESCRIPTION, message, instruction.location, comments)
