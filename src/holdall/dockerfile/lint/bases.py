"""Rules about FROM lines: arguments in them, platforms, names of base images."""

from __future__ import annotations

from holdall.dockerfile import arguments, image_name
from holdall.dockerfile.lint import rules
from holdall.dockerfile.suggest import nearest
from holdall.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdall.dockerfile.arguments import Base
    from holdall.dockerfile.lint.report import Collector
    from holdall.dockerfile.stages import Dockerfile, Stage

_SYSTEMS = frozenset("linux windows darwin freebsd".split())
_MACHINES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm", "armel": "arm"}
_KNOWN_MACHINES = frozenset("386 amd64 arm arm64 loong64 mips64le ppc64le riscv64 s390x".split())


def check(
    dockerfile: Dockerfile, known: Mapping[str, str], build_arguments: Mapping[str, str], collector: Collector
) -> dict[int, Base]:
    """All rules of this module; returns the expanded FROM lines by stage index, without those that failed."""
    _defaults(dockerfile, known, collector)
    try:
        values = arguments.global_arguments(dockerfile, known, build_arguments)
    except DockerfileError as err:
        collector.fail(err)
        return {}
    names = set(values) | {found.name for arg in dockerfile.arguments for found in arg.definitions}
    done: dict[int, Base] = {}
    for stage in dockerfile.stages:
        try:
            base = arguments.base(dockerfile, stage, values)
        except DockerfileError as err:
            collector.fail(err)
            continue
        if not image_name.is_valid(base.image):
            collector.fail(dockerfile.source.error(f'invalid image name "{base.image}"', stage.start.location))
            continue
        done[stage.index] = base
        _undeclared(stage, base, names, collector)
        _platform(stage, base, values, collector)
    return done


def _defaults(dockerfile: Dockerfile, known: Mapping[str, str], collector: Collector) -> None:
    try:
        values = arguments.global_arguments(dockerfile, known, {})
    except DockerfileError:
        return
    for stage in dockerfile.stages:
        try:
            valid = image_name.is_valid(arguments.base(dockerfile, stage, values).image)
        except DockerfileError:
            valid = False
        if not valid:
            start = stage.start
            message = f"Default value for ARG {start.image} results in empty or invalid base image name"
            collector.add(rules.INVALID_DEFAULT_ARG_IN_FROM, message, start.location, start.comments)


def _undeclared(stage: Stage, base: Base, names: set[str], collector: Collector) -> None:
    for name in sorted((base.image_missing | base.platform_missing) - names):
        near = nearest(name, sorted(names))
        message = f"FROM argument '{name}' is not declared" + (f" (did you mean {near}?)" if near else "")
        collector.add(rules.UNDEFINED_ARG_IN_FROM, message, stage.start.location, stage.start.comments)


def _platform(stage: Stage, base: Base, values: Mapping[str, str], collector: Collector) -> None:
    start = stage.start
    if not start.platform:
        return
    if base.platform_used == {"TARGETPLATFORM"} and not base.platform_missing:
        if base.platform == values.get("TARGETPLATFORM"):
            message = (
                f"Setting platform to predefined {start.platform} in FROM is redundant as this is the default behavior"
            )
            collector.add(rules.REDUNDANT_TARGET_PLATFORM, message, start.location, start.comments)
    elif not base.platform_used and not base.platform_missing:
        words = platform_words(base.platform)
        if words and not any(word in stage.name for word in words):
            message = f'FROM --platform flag should not use constant value "{base.platform}"'
            collector.add(rules.FROM_PLATFORM_FLAG_CONST_DISALLOWED, message, start.location, start.comments)


def platform_words(text: str) -> tuple[str, str] | None:
    """System and machine a platform names, or None when it names none."""
    parts = text.lower().split("/")
    system = parts[0].partition("(")[0]
    if len(parts) == 1:
        machine = _MACHINES.get(system, system)
        if machine in _KNOWN_MACHINES:
            return "linux", machine
        return (system, "") if system in _SYSTEMS else None
    if len(parts) > 3 or not all(parts):
        return None
    return system, _MACHINES.get(parts[1], parts[1])
