"""One platform's build: the stages its target needs, each walked once, side by side, and the image of the last one."""

from __future__ import annotations

from functools import partial

from holdall.build import replacing
from holdall.build.export import Result, export
from holdall.build.progress import STAGE, event
from holdall.build.side_by_side import Once, side_by_side
from holdall.build.state import State
from holdall.build.walking import Walker, count_steps, stage_name
from holdall.dockerfile import arguments, dependencies, stages
from holdall.dockerfile.scope import Settings
from holdall.errors import ImageNotFound
from holdall.oci.platform import Platform, host
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.build.build import Build
    from holdall.build.contexts import Named
    from holdall.build.tree import Tree
    from holdall.dockerfile.instructions import Instruction
    from holdall.dockerfile.stages import Stage
    from holdall.image.image import Image

SCRATCH = "scratch"


class Solver:
    """Solves the target for one platform."""

    def __init__(self, build: Build, platform: Platform) -> None:
        self.build = build
        self.platform = platform
        options, dockerfile = build.options, build.dockerfile
        self.target = dockerfile.target(options.target)
        known = arguments.predefined(host(), platform, self.target.name, options.build_args)
        values = arguments.global_arguments(dockerfile, known, options.build_args)
        self.given = Settings(values, options.build_args, dockerfile.escape, dockerfile.source)
        self._bases = {stage.index: arguments.base(dockerfile, stage, values) for stage in dockerfile.stages}
        self.anew = frozenset([dockerfile.target(word).index for word in options.no_cache_filter])
        self._states: dict[int, Once] = {stage.index: Once() for stage in dockerfile.stages}

    def solve(self) -> Result:
        """Build the target; its image, the blobs in the held store. Raises DockerfileError, StepFailed, Cancelled, …"""
        needed = self.needed()
        for stage in needed:
            total = count_steps(stage.instructions)
            step = self.build.step(stage_name(stage), 0, total, stage.start.line, str(self.platform), STAGE)
            self.build.report(event(step, "planned"))
        side_by_side([partial(self.state, stage) for stage in needed], self.build.stop)
        return export(self.build, self.platform, self.state(self.target))

    def needed(self) -> tuple[Stage, ...]:
        """The stages that the target needs, as far as the Dockerfile says; in its order."""
        names = {index: base.image for index, base in self._bases.items()}
        replaced = {stage.name for stage in self.build.dockerfile.stages if stage.name and self._named(stage.name)}
        return dependencies.reachable(self.build.dockerfile, self.target, names, replaced)

    def state(self, stage: Stage) -> State:
        """What a stage has come to: walked here and now, unless another thread does or did."""
        found: State = self._states[stage.index].get(lambda: self._walk(stage))
        return found

    def _walk(self, stage: Stage) -> State:
        replaced = self._named(stage.name) if stage.name else None
        if replaced is not None:
            return replacing.state_of(self, replaced, stage)[0]
        state, triggers = self._start(stage)
        source = self.build.dockerfile.source
        instructions = [stages.trigger(text, stage.start.location, source) for text in triggers]
        return Walker(self, stage, (*instructions, *stage.instructions)).walk(state)

    def _start(self, stage: Stage) -> tuple[State, tuple[str, ...]]:
        base = self._bases[stage.index]
        before = dependencies.base_stage(self.build.dockerfile, stage, base.image)
        if before is not None:
            state = self.state(before)
            rest = replace(state.config, on_build=())
            return replace(state, config=rest, cmd_set=False), state.config.on_build
        platform = Platform.parse(base.platform) if base.platform else self.platform
        if base.image == SCRATCH:
            return replacing.empty_state(platform), ()
        named = self._named(base.image)
        if named is not None:
            return replacing.state_of(self, named, stage, platform)
        return replacing.state_of_image(self.image(base.image, platform, stage))

    def _named(self, word: str) -> Named | None:
        return self.build.contexts.find(word, str(self.platform))

    def image(self, name: str, platform: Platform, stage: Stage) -> Image:
        """An image that the stage names. Raises DockerfileError, RegistryError, Cancelled."""
        try:
            return self.build.image(name, platform)
        except ImageNotFound as err:
            dockerfile = self.build.dockerfile
            near = dependencies.unknown_stage_hint(dockerfile, stage, name)
            raise dockerfile.source.error(err.message, stage.start.location, near or err.hint) from err

    def files_of(self, stage: Stage, word: str, instruction: Instruction) -> Tree:
        """The files of a stage, a named context or an image that from= names. Raises DockerfileError."""
        named = self._from(stage, word)
        if named is not None and not named.is_image:
            return self.build.sources.named(named)
        return self.build.sources.layers(self.layers_of(stage, word, instruction))

    def diff_ids_of(self, stage: Stage, word: str, instruction: Instruction) -> tuple[str, ...] | None:
        """As `layers_of`, but None for a named context of files."""
        named = self._from(stage, word)
        return None if named is not None and not named.is_image else self.layers_of(stage, word, instruction)

    def layers_of(self, stage: Stage, word: str, instruction: Instruction) -> tuple[str, ...]:
        """The diff-ids of a stage, a named context or an image that from= names, base first. Raises as `files_of`."""
        named = self._from(stage, word)
        if named is not None:
            return replacing.state_of(self, named, stage)[0].diff_ids
        need = dependencies.source(self.build.dockerfile, stage, word, instruction.location)
        if need.stage is not None:
            return self.state(need.stage).diff_ids
        return tuple([str(layer.diff_id) for layer in self.image(word, self.platform, stage).layers])

    def _from(self, stage: Stage, word: str) -> Named | None:
        """The named context that from= means; None where it is a stage or an image."""
        if self.build.dockerfile.find(word, stage.index) is not None:
            return None
        return self._named(word)
