"""Build arguments: the predefined ones, the global ones before the first FROM, and what a FROM line becomes."""

from __future__ import annotations

from holdall.dockerfile.instructions import Arg
from holdall.dockerfile.shell import Lexer
from holdall.dockerfile.suggest import hint
from holdall.errors import DockerfileError
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Protocol

    from holdall.dockerfile.stages import Dockerfile, Stage

    class PlatformWords(Protocol):
        """What is asked of a platform; holdall.oci.platform.Platform fits."""

        @property
        def os(self) -> str: ...
        @property
        def architecture(self) -> str: ...
        @property
        def variant(self) -> str: ...
        @property
        def os_version(self) -> str: ...


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
NEVER_IN_ENVIRONMENT = ("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE")
_UNDECLARED = ("SOURCE_DATE_EPOCH",)


@record
class Base:
    """What a FROM line names once expanded; `platform` is "" for the target's."""

    image: str
    platform: str
    image_used: frozenset[str]
    image_missing: frozenset[str]
    platform_used: frozenset[str]
    platform_missing: frozenset[str]


def format_platform(platform: PlatformWords, *, with_version: bool = False) -> str:
    """`os[(version)]/architecture[/variant]`."""
    version = f"({platform.os_version})" if with_version and platform.os_version else ""
    variant = f"/{platform.variant}" if platform.variant else ""
    return f"{platform.os}{version}/{platform.architecture}{variant}"


def predefined(
    build: PlatformWords, target: PlatformWords, stage: str = "", overrides: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The arguments in global scope by themselves; `stage` is the target stage's name, build arguments override."""
    found = {
        "BUILDPLATFORM": format_platform(build),
        "BUILDOS": build.os,
        "BUILDOSVERSION": build.os_version,
        "BUILDARCH": build.architecture,
        "BUILDVARIANT": build.variant,
        "TARGETPLATFORM": format_platform(target, with_version=True),
        "TARGETOS": target.os,
        "TARGETOSVERSION": target.os_version,
        "TARGETARCH": target.architecture,
        "TARGETVARIANT": target.variant,
        "TARGETSTAGE": stage or "default",
    }
    return {name: (overrides or {}).get(name, value) for name, value in found.items()}


def global_arguments(
    dockerfile: Dockerfile, known: Mapping[str, str], build_arguments: Mapping[str, str]
) -> dict[str, str]:
    """The values in global scope after the ARGs before the first FROM. Raises DockerfileError."""
    values = dict(known)
    for instruction in dockerfile.arguments:
        for definition in instruction.definitions:
            if definition.name in build_arguments:
                values[definition.name] = build_arguments[definition.name]
            elif definition.default is not None:
                lexer = Lexer(dockerfile.escape, values)
                try:
                    values[definition.name] = lexer.word(definition.default)
                except DockerfileError as err:
                    raise dockerfile.source.error(err.cause, instruction.location, err.hint) from err
    return values


def base(dockerfile: Dockerfile, stage: Stage, values: Mapping[str, str]) -> Base:
    """Expand a stage's FROM line with the global arguments. Raises DockerfileError when it becomes empty."""
    image, platform = Lexer(dockerfile.escape, values), Lexer(dockerfile.escape, values)
    start = stage.start
    try:
        name = image.word(start.image)
        where = platform.word(start.platform)
    except DockerfileError as err:
        raise dockerfile.source.error(err.cause, start.location, err.hint) from err
    if not name:
        near = _nearest(image.unmatched, values)
        raise dockerfile.source.error(f'the base image "{start.image}" is empty', start.location, near)
    if start.platform and not where:
        near = _nearest(platform.unmatched, values)
        raise dockerfile.source.error(f'the platform "{start.platform}" is empty', start.location, near)
    return Base(name, where, *map(frozenset, (image.matched, image.unmatched, platform.matched, platform.unmatched)))


def _nearest(missing: Iterable[str], values: Mapping[str, str]) -> str | None:
    for name in sorted(missing):
        found = hint(name, values)
        if found:
            return found
    return "declare the ARG before the first FROM and give it a default" if missing else None


def proxy_environment(build_arguments: Mapping[str, str]) -> dict[str, str]:
    """The proxy variables RUN gets without any ARG, in both cases; they are no part of cache keys or history."""
    found: dict[str, str] = {}
    for name in sorted(build_arguments):
        if name.upper() in PROXIES:
            found[name.upper()] = found[name.lower()] = build_arguments[name]
    return found


def unused(dockerfile: Dockerfile, stages: Iterable[Stage], build_arguments: Iterable[str]) -> tuple[str, ...]:
    """The build arguments given that nothing asks for: no ARG in global scope or in `stages`, no predefined name."""
    declared = {definition.name for found in dockerfile.arguments for definition in found.definitions}
    for stage in stages:
        for instruction in stage.instructions:
            if isinstance(instruction, Arg):
                declared |= {definition.name for definition in instruction.definitions}
    return tuple(sorted(name for name in build_arguments if name not in declared and not _undeclared(name)))


def _undeclared(name: str) -> bool:
    if name.upper() in PROXIES or name in _UNDECLARED or name.startswith("BUILDKIT_"):
        return True
    return name.startswith(("TARGET", "BUILD")) and name.removeprefix("TARGET").removeprefix("BUILD") in (
        "PLATFORM",
        "OS",
        "OSVERSION",
        "ARCH",
        "VARIANT",
        "STAGE",
    )
