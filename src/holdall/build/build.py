"""A whole build: which stages the target needs, each walked once, and the image of the last one.

Text → `dockerfile.stages.read` → `walking.Walker.step` per instruction → a layer from the cache, from files
(`copying.py`) or from a command (the `Runner` that the engine gives) → `export`.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

from holdall.build import lookup
from holdall.build.copying import Request, plan, write
from holdall.build.keys import contents
from holdall.build.state import LayerRef, State
from holdall.build.tree import Tree
from holdall.build.walking import RunWork, Walker
from holdall.dockerfile import arguments, dependencies, ignore, stages
from holdall.dockerfile.lines import MAX_SIZE
from holdall.dockerfile.scope import Scope, Settings
from holdall.errors import DockerfileError, ImageNotFound
from holdall.events import Event
from holdall.image.image import Image, Layer
from holdall.image.mutate import new_image
from holdall.linux.stack import view
from holdall.oci import timestamp
from holdall.oci.config import ImageConfig
from holdall.oci.platform import Platform, host
from holdall.record import replace
from holdall.store.build_cache import BuildCache, FileDigests
from holdall.store.layer_maker import LayerMaker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from holdall.build.copying import Piece
    from holdall.build.options import BuildOptions
    from holdall.build.walking import RunStep
    from holdall.dockerfile.instructions import Instruction
    from holdall.dockerfile.mount import Mount
    from holdall.dockerfile.stages import Stage
    from holdall.events import Reporter
    from holdall.layer.hashing import Writable
    from holdall.store.holds import HeldContent
    from holdall.store.images import ImageStore

    class Runner(Protocol):
        """What a build needs of the engine."""

        def image(self, name: str, platform: str | None) -> Image:
            """A base image, pulled if need be. Raises ImageNotFound, RegistryError."""

        def run(self, work: RunWork, out: Writable, tell: Callable[[bytes], None]) -> None:
            """Execute a step and write the tar of what it changed; `tell` gets its output.

            Raises StartError, StepFailed.
            """


SCRATCH = "scratch"


class Build:
    """One build under way; a context manager that owns descriptors and mounted views."""

    def __init__(
        self, options: BuildOptions, store: ImageStore, hold: HeldContent, runner: Runner, reporter: Reporter
    ) -> None:
        self.options = options
        self.store = store
        self.hold = hold
        self.runner = runner
        self.reporter = reporter
        self.cache = BuildCache(store.database, store.snapshots)
        self.digests = FileDigests(store.database)
        self.epoch = options.epoch if options.epoch is not None else 0
        self.created = timestamp.render(self.epoch * 1_000_000_000)
        name, text = self._text()
        self.dockerfile = stages.read(text, name)
        self._platform = Platform.parse(options.platform) if options.platform else host()
        self._states: dict[int, State] = {}
        self._views: dict[tuple[str, ...], int] = {}
        self._stack = ExitStack()
        self._context: Tree | None = None
        self._name = name

    def __enter__(self) -> Build:  # noqa: PYI034
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _text(self) -> tuple[str, bytes]:
        options = self.options
        if options.text is not None:
            return options.dockerfile or "-", options.text
        path = options.dockerfile or os.path.join(options.context, "Dockerfile")
        try:
            with open(path, "rb") as file:
                return path, file.read(MAX_SIZE + 1)
        except OSError as err:
            raise DockerfileError(
                f'cannot read the Dockerfile "{path}": {err.strerror}', hint="name it with -f, or - for standard input"
            ) from err

    # what to build

    def solve(self) -> Image:
        """Build the target; the image, its blobs in the held store. Raises DockerfileError, StepFailed, …"""
        target = self.dockerfile.target(self.options.target)
        known = arguments.predefined(host(), self._platform, target.name, self.options.build_args)
        values = arguments.global_arguments(self.dockerfile, known, self.options.build_args)
        given = Settings(values, self.options.build_args, self.dockerfile.escape, self.dockerfile.source)
        bases = {stage.index: arguments.base(self.dockerfile, stage, values) for stage in self.dockerfile.stages}
        names = {index: base.image for index, base in bases.items()}
        needed = dependencies.reachable(self.dockerfile, target, names)
        for stage in needed:
            self._states[stage.index] = self._stage(stage, bases[stage.index], given)
        self.digests.save()
        return self._export(self._states[target.index])

    def _stage(self, stage: Stage, base: arguments.Base, given: Settings) -> State:
        state, triggers = self._start(stage, base)
        walker = Walker(self, stage, given)
        for text in triggers:
            state = walker.step(state, stages.trigger(text, stage.start.location, self.dockerfile.source))
        for instruction in stage.instructions:
            state = walker.step(state, instruction)
        return state

    def _start(self, stage: Stage, base: arguments.Base) -> tuple[State, tuple[str, ...]]:
        before = dependencies.base_stage(self.dockerfile, stage, base.image)
        if before is not None:
            return replace(self._states[before.index], cmd_set=False), ()
        platform = Platform.parse(base.platform) if base.platform else self._platform
        if base.image == SCRATCH:
            return State(platform, Scope.of_image(())), ()
        image = self._image(base.image, base.platform or self.options.platform, stage)
        config = image.config.config
        layers = tuple([LayerRef(layer.descriptor, layer.diff_id) for layer in image.layers])
        state = State(
            image.config.platform,
            Scope.of_image(config.env),
            layers,
            replace(config, on_build=()),
            image.config.history,
        )
        return state, config.on_build

    def _image(self, name: str, platform: str | None, stage: Stage) -> Image:
        try:
            image = self.runner.image(name, platform)
        except ImageNotFound as err:
            near = dependencies.unknown_stage_hint(self.dockerfile, stage, name)
            raise self.dockerfile.source.error(err.message, stage.start.location, near or err.hint) from err
        for layer in image.layers:
            self.hold.announce(layer.descriptor.digest)
            self.hold.keep_layer(layer.diff_id)
        return image

    def _export(self, state: State) -> Image:
        labels = {**state.config.labels, **self.options.labels}
        config = ImageConfig.build(
            state.platform,
            [layer.diff_id for layer in state.layers],
            replace(state.config, labels=labels),
            history=state.history,
            created=self.created,
            author=state.author,
        )
        return new_image(config, [Layer(layer.descriptor, layer.diff_id, self.hold) for layer in state.layers])

    # what steps use

    def cached(self, key: str, instruction: Instruction) -> LayerRef | None:
        """The layer of a step that was made before. Tells of it, or that the step begins."""
        found = None if self.options.no_cache else self.cache.find(key)
        if found is None:
            self.tell(instruction, "building")
            return None
        self.hold.announce(found.descriptor.digest)
        self.hold.keep_layer(found.diff_id)
        self.tell(instruction, "cached")
        return LayerRef(found.descriptor, found.diff_id)

    def write(self, pieces: Iterable[Piece], tree: Tree | None, key: str, instruction: Instruction) -> LayerRef:
        """A layer of copied files."""
        return self._make(key, instruction, lambda out: write(pieces, tree, out))

    def run(self, state: State, step: RunStep, key: str, instruction: Instruction) -> LayerRef:
        """A layer of what a command changes."""

        def tell(data: bytes) -> None:
            self.reporter(Event(step.what, "output", message=data.decode(errors="replace")))

        binds = {number: one for number, one in enumerate(step.mounts) if one.type == "bind"}
        files = {number: self._bound_folder(one) for number, one in binds.items()}
        work = RunWork(step, state.diff_ids, files, self.epoch)
        return self._make(key, instruction, lambda out: self.runner.run(work, out, tell))

    def _make(self, key: str, instruction: Instruction, fill: Callable[[Writable], None]) -> LayerRef:
        with LayerMaker(self.store.snapshots, self.hold) as maker:
            fill(maker)
            made = maker.commit()
        self.cache.keep(key, made.descriptor, made.diff_id, instruction.line, maker.size)
        self.tell(instruction, "done")
        return LayerRef(made.descriptor, made.diff_id)

    def tell(self, instruction: Instruction, action: str) -> None:
        """A progress event."""
        self.reporter(Event(instruction.line, action, done=action in ("cached", "done")))

    def below(self, state: State) -> int | None:
        """The files a step stands on, as a descriptor of ours; None for no layers."""
        return self._view(state.diff_ids) if state.layers else None

    def _view(self, diff_ids: tuple[str, ...]) -> int:
        found = self._views.get(diff_ids)
        if found is None:
            lowers = self._stack.enter_context(self.store.snapshots.view(diff_ids))
            found = self._views[diff_ids] = view(lowers)
            self._stack.callback(os.close, found)
        return found

    def context_files(self) -> Tree | None:
        """The build context behind its ignore rules."""
        if self._context is None and self.options.context:
            fd = os.open(self.options.context, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._stack.callback(os.close, fd)
            self._context = Tree(fd, self._rules(fd), own=True)
        return self._context

    def _rules(self, fd: int) -> ignore.IgnoreRules | None:
        candidates = [os.path.abspath(self._name) + ".dockerignore"] if self.options.text is None else []
        for path in candidates:
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    return ignore.IgnoreRules(ignore.read(file.read(ignore.MAX_SIZE + 1), path))
        data = lookup.read(fd, ".dockerignore", ignore.MAX_SIZE)
        return ignore.IgnoreRules(ignore.read(data)) if data else None

    def files_of(self, stage: Stage, word: str, instruction: Instruction) -> Tree:
        """The files of a stage or an image that --from names."""
        need = dependencies.source(self.dockerfile, stage, word, instruction.location)
        if need.stage is not None:
            diff_ids = self._states[need.stage.index].diff_ids
        else:
            diff_ids = tuple([str(layer.diff_id) for layer in self._image(word, self.options.platform, stage).layers])
        return Tree(self._view(diff_ids) if diff_ids else self._empty())

    def _empty(self) -> int:
        import tempfile

        folder = self._stack.enter_context(tempfile.TemporaryDirectory(dir=self.store.content.paths.ingest))
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._stack.callback(os.close, fd)
        return fd

    # bind mounts of RUN

    def _bound_folder(self, mount: Mount) -> str:
        """The folder or file of the build context that a bind mount shows; the ignore file has no say in it."""
        tree = self.context_files()
        if tree is None:
            raise DockerfileError("a bind mount needs a build context")
        found = lookup.find(tree.root, mount.source)
        if found.status is None:
            raise DockerfileError(f'"{mount.source}" is not there', hint="paths are relative to the build context")
        return os.path.join(os.path.realpath(self.options.context), found.path)

    def bound(self, mount: Mount) -> str:
        """What a bind mount shows, for the key: the contents of the context below its source."""
        tree = self.context_files()
        return contents(plan(Request((mount.source or ".",), "/bound/"), tree, None), tree, self.digests)
