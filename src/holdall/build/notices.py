"""Warnings of a build: what the checks find in the Dockerfile, and build arguments that nothing asks for."""

from __future__ import annotations

import json

from holdall import __version__
from holdall.build import keys
from holdall.build.progress import CHECK, Notice, event
from holdall.errors import Cancelled, DockerfileError, HoldallError
from holdall.oci.platform import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.build.build import Build
    from holdall.build.checks import Checked
    from holdall.oci.config import ImageConfig

MAX_KEPT = 1 << 16
"""Characters of warnings that are remembered for the next build of the same Dockerfile."""


def heed(build: Build) -> None:
    """Fail before anything is made when the Dockerfile says that warnings are errors. Raises DockerfileError."""
    if not build.dockerfile.directives.check and not build.options.build_args:
        return
    from holdall.build import checks

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
        _report(build, _found(done))
    done.report.raise_for_rules()


def run(build: Build, config: Callable[[str], ImageConfig | None]) -> Checked:
    """The checks, with the context's ignore rules. Raises DockerfileError."""
    from holdall.build import checks

    tree = build.sources.context()
    return checks.checked(build.dockerfile, build.options, config, tree.rules if tree is not None else None)


def at_end(build: Build) -> None:
    """Tell of all warnings, unless the build was given up; what base images say is known by now. Raises nothing."""
    error = build.stop.error
    if build.stop.is_set and (not isinstance(error, HoldallError) or isinstance(error, Cancelled)):
        return

    def config(name: str) -> ImageConfig | None:
        image = build.known_image(name)
        return None if image is None else image.config

    try:
        stamp = _stamp(build)
        known = build.layers.remembered(stamp)
        if known is not None:
            _report(build, [Notice(*one) for one in json.loads(known)])
            return
        done = run(build, config)
        from holdall.build import token_shapes

        found = [*_found(done), *_unused(build), *token_shapes.notices(build.dockerfile, build.options.build_args)]
        _report(build, found)
        text = json.dumps([list(one.__dict__.values()) for one in found])
        if done.report.error is None and len(text) <= MAX_KEPT:
            build.layers.remember(stamp, text)
    except HoldallError:
        # an error of the build itself, which says more, is on its way
        pass


def _stamp(build: Build) -> str:
    """What all warnings depend on."""
    options, tree = build.options, build.sources.context()
    rules = tree.rules.rules if tree is not None and tree.rules is not None else ()
    facts = [
        __version__, build.dockerfile.source.lines, sorted(options.build_args.items()), options.target,
        options.platforms, [[rule.pattern.text, rule.exception] for rule in rules],
        sorted([name, str(image.id)] for name, image in build.known_images()),
    ]  # fmt: skip
    return keys.key("warnings", (), facts)


def _found(done: Checked) -> list[Notice]:
    return [
        Notice(one.rule.name, one.message, one.location.start, one.rule.url, done.source.excerpt(one.location))
        for one in done.report.warnings
    ]


def _unused(build: Build) -> list[Notice]:
    from holdall.dockerfile import arguments, dependencies

    dockerfile, options = build.dockerfile, build.options
    target = dockerfile.target(options.target)
    values = arguments.global_arguments(dockerfile, {}, options.build_args)
    try:
        images = {stage.index: arguments.base(dockerfile, stage, values).image for stage in dockerfile.stages}
    except DockerfileError:
        images = {}
    needed = dependencies.reachable(dockerfile, target, images)
    names = arguments.unused(dockerfile, needed, options.build_args)
    return [Notice("", f"no ARG takes the build arguments {', '.join(names)}")] if names else []


def _report(build: Build, notices: list[Notice]) -> None:
    """An event for each."""
    for notice in notices:
        build.report(event(build.step("", 0, 0, "checks", "", CHECK), "warning", notice=notice))
