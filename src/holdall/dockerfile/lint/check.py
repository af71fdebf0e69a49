"""All checks over a Dockerfile."""

from __future__ import annotations

from holdall.dockerfile import arguments, dependencies
from holdall.dockerfile.lint import bases, names, options
from holdall.dockerfile.lint.options import Options
from holdall.dockerfile.lint.report import Collector, Report
from holdall.dockerfile.lint.steps import State, Walk, environment_of
from holdall.dockerfile.scope import Scope, Settings
from holdall.errors import DockerfileError
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdall.dockerfile.arguments import Base
    from holdall.dockerfile.ignore import IgnoreRules
    from holdall.dockerfile.stages import Dockerfile, Stage


@record
class ImageFacts:
    """What the checks need of a base image's config."""

    env: Mapping[str, str]
    has_shell: bool = False


@record
class Situation:
    """The build a check is made for.

    `known` are the predefined arguments; `image` gives a base image's facts, or None when they are not at hand;
    `ignore` are the context's rules; `target` limits the walk to the stages it needs.
    """

    known: Mapping[str, str]
    build_arguments: Mapping[str, str]
    image: Callable[[str], ImageFacts | None] | None = None
    ignore: IgnoreRules | None = None
    target: Stage | None = None


def options_of(dockerfile: Dockerfile) -> Options:
    """The options of the file's `check` directive. Raises DockerfileError."""
    try:
        return options.parse(dockerfile.directives.check)
    except DockerfileError as err:
        raise DockerfileError(err.cause, hint=err.hint, file=dockerfile.source.name) from err


def check(dockerfile: Dockerfile, situation: Situation, chosen: Options | None = None) -> Report:
    """Run all rules; `chosen` replaces the file's own options. Raises DockerfileError for a bad `check` directive."""
    out = Collector(options_of(dockerfile) if chosen is None else chosen)
    names.check(dockerfile, out)
    expanded = bases.check(dockerfile, situation.known, situation.build_arguments, out)
    _steps(dockerfile, situation, expanded, out)
    return out.report()


def _steps(dockerfile: Dockerfile, situation: Situation, expanded: dict[int, Base], out: Collector) -> None:
    try:
        values = arguments.global_arguments(dockerfile, situation.known, situation.build_arguments)
        wanted = _stages(dockerfile, situation, expanded)
    except DockerfileError as err:
        out.fail(err)
        return
    settings = Settings(values, situation.build_arguments, dockerfile.escape, dockerfile.source)
    states: dict[int, State] = {}
    for stage in wanted:
        if stage.index in expanded:
            start = _start(dockerfile, stage, expanded[stage.index].image, states, situation)
            states[stage.index] = Walk(start, settings, situation.ignore, out).run(stage)


def _stages(dockerfile: Dockerfile, situation: Situation, expanded: dict[int, Base]) -> tuple[Stage, ...]:
    if situation.target is None:
        return dockerfile.stages
    images = {index: base.image for index, base in expanded.items()}
    return dependencies.reachable(dockerfile, situation.target, images)


def _start(dockerfile: Dockerfile, stage: Stage, image: str, states: dict[int, State], situation: Situation) -> State:
    before = dependencies.base_stage(dockerfile, stage, image)
    if before is not None and before.index in states:
        return states[before.index]
    if image == "scratch":
        return State(Scope(environment_of(None)))
    facts = situation.image(image) if situation.image else None
    if facts is None:
        return State(Scope(environment_of(None)), base_known=False)
    return State(Scope(environment_of(facts.env)), has_shell=facts.has_shell)
