"""What a Dockerfile can be asked without building it: its warnings, its targets, and what one target takes."""

from __future__ import annotations

from holdall.dockerfile import arguments, dependencies
from holdall.dockerfile.instructions import Arg, Run
from holdall.dockerfile.lint.check import ImageFacts, Situation, check, options_of
from holdall.dockerfile.lint.options import parse as parse_options
from holdall.dockerfile.scope import Scope, Settings
from holdall.oci.platform import Platform, host
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdall.build.options import BuildOptions
    from holdall.dockerfile.ignore import IgnoreRules
    from holdall.dockerfile.instructions import ArgDefinition, Instruction
    from holdall.dockerfile.lint.options import Options
    from holdall.dockerfile.lint.report import Report
    from holdall.dockerfile.location import Location, Source
    from holdall.dockerfile.mount import Mount
    from holdall.dockerfile.stages import Dockerfile, Stage
    from holdall.oci.config import ImageConfig

OVERRIDE = "BUILDKIT_DOCKERFILE_CHECK"
"""A build argument that replaces the file's own `# check=` directive, as with BuildKit."""


@record
class Checked:
    """A Dockerfile and what its checks found."""

    source: Source
    report: Report


@record
class Target:
    """A stage that can be asked for. `base` is its FROM as written, `number` counts stages from 0."""

    name: str
    number: int
    description: str
    base: str
    platform: str
    default: bool
    location: Location


@record
class Argument:
    """An ARG of a target; `value` is None without one."""

    name: str
    description: str
    value: str | None
    location: Location


@record
class Needed:
    """A secret, an SSH agent or a cache that a target's commands mount."""

    name: str
    required: bool
    location: Location


@record
class Outline:
    """What one target takes."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    secrets: tuple[Needed, ...]
    ssh: tuple[Needed, ...]
    caches: tuple[Needed, ...]


def checked(
    dockerfile: Dockerfile,
    options: BuildOptions,
    image: Callable[[str], ImageConfig | None],
    ignore: IgnoreRules | None,
) -> Checked:
    """The warnings about what the target needs; `image` gives a base image's configuration when it is at hand.

    Raises DockerfileError for a `check` directive or a target that makes no sense.
    """
    target = dockerfile.target(options.target)

    def facts(name: str) -> ImageFacts | None:
        config = image(name)
        if config is None:
            return None
        env = dict([entry.partition("=")[::2] for entry in config.config.env])
        return ImageFacts(env, has_shell=bool(config.config.shell))

    situation = Situation(_known(options, target), options.build_args, facts, ignore, target)
    return Checked(dockerfile.source, check(dockerfile, situation, chosen(dockerfile, options)))


def chosen(dockerfile: Dockerfile, options: BuildOptions) -> Options:
    """Which rules run: as a build argument says, else as the file says. Raises DockerfileError."""
    text = options.build_args.get(OVERRIDE)
    return options_of(dockerfile) if text is None else parse_options(text)


def targets(dockerfile: Dockerfile) -> tuple[Target, ...]:
    """All stages, in order."""
    last = len(dockerfile.stages) - 1
    return tuple([_target(stage, default=stage.index == last) for stage in dockerfile.stages])


def outline(dockerfile: Dockerfile, options: BuildOptions) -> Outline:
    """What the target takes. Raises DockerfileError."""
    target = dockerfile.target(options.target)
    values = arguments.global_arguments(dockerfile, _known(options, target), options.build_args)
    bases = {stage.index: arguments.base(dockerfile, stage, values) for stage in dockerfile.stages}
    images = {index: base.image for index, base in bases.items()}
    needed = dependencies.reachable(dockerfile, target, images)
    asked = {name for stage in needed for name in bases[stage.index].image_used | bases[stage.index].platform_used}
    found = _Found(Settings(values, options.build_args, dockerfile.escape, dockerfile.source))
    for instruction in dockerfile.arguments:
        for one in instruction.definitions:
            if one.name in asked:
                found.argument(one, values.get(one.name), instruction.location)
    scopes: dict[int, Scope] = {}
    for stage in needed:
        before = dependencies.base_stage(dockerfile, stage, images[stage.index])
        start = Scope.of_image(()) if before is None else scopes[before.index]
        scopes[stage.index] = found.walk(stage.instructions, start)
    return Outline(
        target.name, target.start.description, tuple(found.arguments.values()), tuple(found.secrets.values()),
        tuple(found.ssh.values()), tuple(found.caches.values()),
    )  # fmt: skip


class _Found:
    """Collects what instructions take, the first place of each name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.arguments: dict[str, Argument] = {}
        self.secrets: dict[str, Needed] = {}
        self.ssh: dict[str, Needed] = {}
        self.caches: dict[str, Needed] = {}

    def argument(self, one: ArgDefinition, value: str | None, location: Location) -> None:
        self.arguments.setdefault(one.name, Argument(one.name, one.description, value, location))

    def walk(self, instructions: tuple[Instruction, ...], scope: Scope) -> Scope:
        """The scope after these instructions. Raises DockerfileError."""
        for instruction in instructions:
            done, scope = scope.step(instruction, self._settings)
            if isinstance(done.instruction, Arg):
                for one in done.instruction.definitions:
                    self.argument(one, one.default, instruction.location)
            elif isinstance(done.instruction, Run):
                for mount in done.instruction.mounts or ():
                    self._mount(mount, instruction.location)
        return scope

    def _mount(self, mount: Mount, location: Location) -> None:
        name = mount.id or mount.source.rpartition("/")[2] or mount.target.rpartition("/")[2]
        if mount.type == "secret":
            self.secrets.setdefault(name, Needed(name, mount.required, location))
        elif mount.type == "ssh":
            name = mount.id or "default"
            self.ssh.setdefault(name, Needed(name, mount.required, location))
        elif mount.type == "cache":
            name = mount.id or mount.target
            self.caches.setdefault(name, Needed(name, required=False, location=location))


def _known(options: BuildOptions, target: Stage) -> Mapping[str, str]:
    platform = Platform.parse(options.platform) if options.platform else host()
    return arguments.predefined(host(), platform, target.name, options.build_args)


def _target(stage: Stage, *, default: bool) -> Target:
    start = stage.start
    return Target(
        stage.name, stage.index, start.description, start.image, start.platform, default, start.location
    )  # fmt: skip
