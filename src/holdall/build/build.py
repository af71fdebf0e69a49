"""A whole build: a Dockerfile and a context become an image for each platform.

Text → `dockerfile.stages.read` → `solver.Solver.solve` per platform, stages side by side → `walking.Walker.step` per
instruction → a layer from the cache (`layers.StepLayers.layer`), from files (`copying.py`) or from a command (the
`Runner` that the engine gives) → `export`.
"""

from __future__ import annotations

import itertools
import os
import threading
from functools import partial

from holdall.build import keys
from holdall.build.layers import StepLayers
from holdall.build.leaks import Searched, leaked
from holdall.build.mounts import Mounts
from holdall.build.needles import Blotter, Needles
from holdall.build.progress import BASE, STEP, Step, event
from holdall.build.recording import Recorder
from holdall.build.replacing import NamedContexts
from holdall.build.searching import Searching
from holdall.build.secrets import Vault
from holdall.build.side_by_side import side_by_side
from holdall.build.solver import Solver
from holdall.build.sources import Sources
from holdall.build.tails import Tails
from holdall.build.turns import Turns
from holdall.dockerfile import stages
from holdall.oci import timestamp
from holdall.oci.platform import Platform, host

EPOCH = 315_532_800
"""1980-01-01: the time of everything where nobody says another."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from holdall.build.export import Result
    from holdall.build.options import BuildOptions
    from holdall.build.progress import BuildEvent, BuildReporter
    from holdall.build.running import RunWork
    from holdall.build.stop import Stop
    from holdall.events import Event, Reporter
    from holdall.image.image import Image
    from holdall.layer.hashing import Writable
    from holdall.store.holds import HeldContent
    from holdall.store.images import ImageStore

    class Runner(Protocol):
        """What a build needs of the engine."""

        def image(self, name: str, platform: str | None, report: Reporter) -> Image:
            """A base image, pulled if need be, of which `report` is told. Raises ImageNotFound, RegistryError."""

        def run(self, work: RunWork, out: Writable, tell: Callable[[bytes], None]) -> None:
            """Execute a step and write the tar of what it changed; `tell` gets its output.

            Raises StartError, StepFailed.
            """


class Build:
    """One build under way; a context manager that owns descriptors and mounted views. Usable from several threads."""

    def __init__(
        self,
        options: BuildOptions,
        store: ImageStore,
        hold: HeldContent,
        runner: Runner,
        report: BuildReporter,
        stop: Stop,
        recorder: Recorder | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.options = options
        self.recorder = recorder or Recorder()
        self.vault = Vault(options.secrets)
        self._needles = Needles(self.vault)
        self._store = store
        self.hold = hold
        self.runner = runner
        self.stop = stop
        self._report = report
        self._reporting = threading.Lock()
        self.tails = Tails()
        self._steps = itertools.count(1)
        self.contexts = NamedContexts(options.contexts)
        self.sources = Sources(options, store, stop, self.vault.get)
        main = self.sources.main
        self.epoch = EPOCH if options.epoch is None else options.epoch
        made = (options.epoch, options.committed, main.made, EPOCH)
        self.created = timestamp.render(next(time for time in made if time is not None) * 1_000_000_000)
        self.turns = turns or Turns(options.jobs or default_jobs(), store.content.paths.ingest, stop)
        self.layers = StepLayers(store, hold, self.report, stop, self.turns)
        self.searching = Searching(self._needles, self.layers, hold, stop)
        self.mounts = Mounts(self, store)
        self._images: dict[tuple[str, str], Image] = {}
        try:
            self.dockerfile = stages.read(main.text, main.name)
            if options.cache_from:
                from holdall.build.cache_import import imports

                self.layers.imports = imports(self, store)
        except BaseException:
            self.sources.close()
            raise

    def __enter__(self) -> Build:  # noqa: PYI034
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self.layers.close()
            self.mounts.close()
        finally:
            self.sources.close()

    def report(self, event: BuildEvent) -> None:
        """Tell of an event; reporters need not care which thread it is."""
        with self._reporting:
            self.tails(event)
            self.recorder(event)
            self._report(event)

    def blotter(self) -> Blotter:
        """For one command's output, which must not show secrets."""
        return Blotter(self._needles)

    def searched(self, fill: Callable[[Writable], bool | None]) -> Callable[[Writable], bool | None]:
        """`fill`, but raising DockerfileError when it writes a secret into the layer."""
        if not self._needles:
            return fill

        def write(out: Writable) -> bool | None:
            search = Searched(out, self._needles)
            told = fill(search)
            search.finish()
            return told

        return write

    def refuse_secrets(self, data: bytes, what: str) -> None:
        """Raises DockerfileError when there is a secret in `data`."""
        found = self._needles.search(data)
        if found is not None:
            raise leaked(found[1], what)

    def solve(self) -> tuple[Result, ...]:
        """Build the target for each platform, side by side; the images, their blobs in the held store.

        Raises DockerfileError, StepFailed, …
        """
        names = dict.fromkeys([Platform.parse(one) for one in self.options.platforms] or [host()])
        solvers = [Solver(self, platform) for platform in names]
        found: dict[Platform, Result] = {}

        def solve(solver: Solver) -> None:
            found[solver.platform] = solver.solve()

        side_by_side([partial(solve, solver) for solver in solvers], self.stop)
        self.sources.digests.save()
        return tuple([found[platform] for platform in names])

    def image(self, name: str, platform: Platform) -> Image:
        """A base image, which stays until the build is over. Raises ImageNotFound, RegistryError, Cancelled."""
        key = (name, str(platform))
        with self.turns.within(f"image {name} {platform}"):
            if key not in self._images:
                image = self._ensured(name, platform)
                if not self._kept(image):
                    # others remove images at any time
                    image = self._ensured(name, platform)
                    self._kept(image)
                self._images[key] = image
            return self._images[key]

    def _kept(self, image: Image) -> bool:
        """Whether all layers are here; from now on they stay."""
        for layer in image.layers:
            self.hold.keep_found(layer.descriptor.digest, layer.diff_id)
        return all(self._store.snapshots.has(str(layer.diff_id)) for layer in image.layers)

    def known_image(self, name: str) -> Image | None:
        """A base image that this build has asked for already."""
        return next((image for (known, _), image in self._images.items() if known == name), None)

    def stored(self, image: Image) -> Image:
        """An image from elsewhere, from now on in the store, where it stays until the build is over and beyond."""
        record = self._store.write(image)
        for layer in image.layers:
            self.hold.keep_found(layer.descriptor.digest, layer.diff_id)
        return self._store.image(self._store.get(record.id))

    def known_images(self) -> list[tuple[str, Image]]:
        """All base images that this build has asked for, by their names."""
        return [(name, image) for (name, _), image in self._images.items()]

    def following(self, step: Step) -> Reporter:
        """Tells of a transfer as progress of this step. What it is called by raises Cancelled when the build ends."""

        def tell(got: Event) -> None:
            self.stop.check()
            subject = f"{got.subject} {got.message or got.action}".strip()
            self.report(event(step, "progress", size=got.current, total=got.total, subject=subject))

        return tell

    def _ensured(self, name: str, platform: Platform) -> Image:
        step = self.step("", 0, 0, f"FROM {name}", str(platform), BASE)
        begun = False

        follow = self.following(step)

        def tell(got: Event) -> None:
            nonlocal begun
            if not begun:
                begun = True
                self.report(event(step, "started"))
            follow(got)

        try:
            image = self.runner.image(name, str(platform), tell)
        except BaseException:
            if begun:
                self.report(event(step, "stopped" if self.stop.is_set else "failed"))
            raise
        self.report(event(step, "done" if begun else "cached"))
        return image

    def key(self, kind: str, below: tuple[str, ...], facts: object) -> str:
        """The key of a step; SOURCE_DATE_EPOCH is part of it, since its layer has that time in it."""
        return keys.key(kind, below, facts if self.options.epoch is None else [facts, self.epoch])

    def step(self, stage: str, number: int, total: int, line: str, platform: str, kind: str = STEP) -> Step:
        """A step with an id of its own; its line is text also where the Dockerfile's is not."""
        text = line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return Step(next(self._steps), stage, number, total, text, platform, kind)


def default_jobs() -> int:
    """How many commands run at once when nobody says: two for each processor, at least four; many wait for others."""
    return max(4, 2 * len(os.sched_getaffinity(0)))
