"""A stage walked instruction by instruction: each either changes the configuration or becomes a layer."""

from __future__ import annotations

from holdall.build import quick, running, settings
from holdall.build.layers import Way
from holdall.build.progress import Step, event
from holdall.dockerfile.instructions import Arg, FileTransfer, Run, Workdir
from holdall.dockerfile.location import at, visible
from holdall.errors import DockerfileError, StepFailed
from holdall.oci.history import History
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from holdall.build.solver import Solver
    from holdall.build.state import LayerRef, State
    from holdall.dockerfile.instructions import Instruction
    from holdall.dockerfile.stages import Stage
    from holdall.layer.hashing import Writable

CREATED_BY = "holdall build"
MAX_SHOWN = 200


class Walker:
    """Walks one stage of a build."""

    def __init__(self, solver: Solver, stage: Stage, instructions: Sequence[Instruction]) -> None:
        self.solver = solver
        self.build = solver.build
        self.stage = stage
        self._instructions = instructions
        self._total = count_steps(instructions)
        self._number = 0
        self._latest: Step | None = None
        self.cached = not self.build.options.no_cache and stage.index not in solver.anew

    def walk(self, state: State) -> State:
        """The state after all instructions. Raises as `step` does, and Cancelled."""
        for instruction in self._instructions:
            self.build.stop.check()
            state = self.step(state, instruction)
        return state

    def step(self, state: State, instruction: Instruction) -> State:
        """The state after one instruction. Raises DockerfileError that shows the line, and what the step raises."""
        source = self.build.dockerfile.source
        try:
            done, scope = state.scope.step(instruction, self.solver.given)
            state = replace(state, scope=scope)
            return self._apply(state, done.instruction)
        except DockerfileError as err:
            raise (err if err.start else at(source, instruction.location, err)) from err
        except StepFailed as err:
            shown = visible(instruction.line[:MAX_SHOWN])
            raise StepFailed(
                f"{source.name}:{instruction.location.start}: {shown}: {err.message}", code=err.code, hint=err.hint,
                excerpt=source.excerpt(instruction.location), output=err.output,
            ) from err  # fmt: skip

    def layer(self, step: Step, key: str, fill: Callable[[Writable], bool | None], *, job: bool = False) -> LayerRef:
        """The layer of a step: from the cache, or what `fill` writes; a `job` is one of the commands run at once."""
        try:
            self.build.recorder.keyed(step, key)
            return self.build.layers.layer(step, key, self.build.searched(fill), Way(self.cached, job))
        except BaseException as err:
            if isinstance(err, StepFailed):
                err.output = self.build.tails.of(step)
                where = self.build.recorder.where(step) if err.output else None
                err.hint = err.hint or (f"all of its output: {where}" if where else None)
            self.build.report(event(step, "stopped" if self.build.stop.is_set else "failed"))
            raise

    def _apply(self, state: State, instruction: Instruction) -> State:
        if isinstance(instruction, Run):
            return self._layered(state, instruction, running.run(self, state, instruction, self._step(instruction)))
        if isinstance(instruction, FileTransfer):
            step = self._step(instruction)
            self.build.recorder.copied(step, instruction, state.diff_ids)
            return self._layered(state, instruction, self._transferred(state, instruction, step))
        if isinstance(instruction, Workdir):
            return self._workdir(state, instruction)
        changed = settings.apply(state, instruction)
        if changed is None:
            raise DockerfileError(f"{instruction.name} is not supported")
        return changed if isinstance(instruction, Arg) else self._noted(changed, instruction)

    def _workdir(self, state: State, instruction: Workdir) -> State:
        path = settings.workdir(state, instruction.path)
        state = replace(state, config=replace(state.config, working_dir=path))
        step = self._step(instruction)

        def make() -> LayerRef | None:
            from holdall.build import transfer

            pieces = transfer.folders(self, state, path)
            return transfer.made(self, state, pieces, step) if pieces else None

        layer = quick.layer(self, state, instruction, step, make)
        return self._noted(state, instruction) if layer is None else self._layered(state, instruction, layer)

    def _transferred(self, state: State, instruction: FileTransfer, step: Step) -> LayerRef:
        def make() -> LayerRef:
            from holdall.build import transfer

            return transfer.transfer(self, state, instruction, step)

        layer = quick.layer(self, state, instruction, step, make)
        assert layer is not None
        return layer

    def _step(self, instruction: Instruction) -> Step:
        self._number += 1
        platform = str(self.solver.platform)
        step = self.build.step(stage_name(self.stage), self._number, self._total, instruction.line, platform)
        self._latest = step
        return step

    def _noted(self, state: State, instruction: Instruction) -> State:
        history = History(self.build.created, instruction.line, state.author, CREATED_BY, empty_layer=True)
        return replace(state, history=(*state.history, history))

    def _layered(self, state: State, instruction: Instruction, layer: LayerRef) -> State:
        self.build.searching.check(layer)
        state = state.with_layer(layer, History(self.build.created, instruction.line, state.author, CREATED_BY))
        if self._latest is not None:
            self.build.recorder.made(self._latest, state)
        return state


def count_steps(instructions: Iterable[Instruction]) -> int:
    """How many of these may make a layer."""
    return sum(isinstance(one, (Run, FileTransfer, Workdir)) for one in instructions)


def stage_name(stage: Stage) -> str:
    """What a stage is called in what is told of it."""
    return stage.name or f"stage-{stage.index}"
