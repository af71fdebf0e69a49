"""Warnings of a build: what the checks find in the Dockerfile, and build arguments that nothing asks for."""

from __future__ import annotations

from holdall.build import checks
from holdall.build.progress import CHECK, Notice, event
from holdall.dockerfile import arguments, dependencies
from holdall.errors import DockerfileError, HoldallError
from holdall.oci.platform import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.build.build import Build
    from holdall.build.checks import Checked
    from holdall.oci.config import ImageConfig


def heed(build: Build) -> None:
    """Fail before anything is made when the Dockerfile says that warnings are errors. Raises DockerfileError."""
    if not checks.chosen(build.dockerfile, build.options).error:
        return

    def config(name: str) -> ImageConfig | None:
        try:
            return build.image(name, host()).config
        except HoldallError:
            # whoever needs the image tells of it, with its line
            return None

    done = run(build, config)
    if done.report.warnings:
        tell(build, done)
    done.report.raise_for_rules()


def run(build: Build, config: Callable[[str], ImageConfig | None]) -> Checked:
    """The checks, with the context's ignore rules. Raises DockerfileError."""
    tree = build.sources.context()
    return checks.checked(build.dockerfile, build.options, config, tree.rules if tree is not None else None)


def at_end(build: Build) -> None:
    """Tell of all warnings; what base images say is known by now. Raises nothing of its own."""

    def config(name: str) -> ImageConfig | None:
        image = build.known_image(name)
        return None if image is None else image.config

    try:
        tell(build, run(build, config))
        _unused(build)
    except HoldallError:
        # an error of the build itself, which says more, is on its way
        pass


def tell(build: Build, done: Checked) -> None:
    """An event for each warning."""
    for one in done.report.warnings:
        excerpt = done.source.excerpt(one.location)
        _report(build, Notice(one.rule.name, one.message, one.location.start, one.rule.url, excerpt))


def _unused(build: Build) -> None:
    dockerfile, options = build.dockerfile, build.options
    target = dockerfile.target(options.target)
    values = arguments.global_arguments(dockerfile, {}, options.build_args)
    try:
        images = {stage.index: arguments.base(dockerfile, stage, values).image for stage in dockerfile.stages}
    except DockerfileError:
        images = {}
    needed = dependencies.reachable(dockerfile, target, images)
    names = arguments.unused(dockerfile, needed, options.build_args)
    if names:
        _report(build, Notice("", f"no ARG takes the build arguments {', '.join(names)}"))


def _report(build: Build, notice: Notice) -> None:
    build.report(event(build.step("", 0, 0, "checks", "", CHECK), "warning", notice=notice))
