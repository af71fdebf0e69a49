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

from holdall.build.layers import StepLayers
from holdall.build.progress import BASE, STEP, Step, event
from holdall.build.side_by_side import side_by_side
from holdall.build.solver import Solver
from holdall.build.sources import Sources
from holdall.build.tails import Tails
from holdall.build.turns import Turns
from holdall.dockerfile import stages
from holdall.dockerfile.lines import MAX_SIZE
from holdall.errors import DockerfileError
from holdall.oci import timestamp
from holdall.oci.platform import Platform, host

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
    ) -> None:
        self.options = options
        self.hold = hold
        self.runner = runner
        self.stop = stop
        self._report = report
        self._reporting = threading.Lock()
        self.tails = Tails()
        self.epoch = options.epoch if options.epoch is not None else 0
        self.created = timestamp.render(self.epoch * 1_000_000_000)
        name, text = self._text()
        self.dockerfile = stages.read(text, name)
        self._steps = itertools.count(1)
        self.sources = Sources(options, store, name)
        self.turns = Turns(options.jobs or default_jobs(), store.content.paths.ingest, stop)
        self.layers = StepLayers(store, hold, self.report, stop, self.turns)
        self._images: dict[tuple[str, str], Image] = {}

    def __enter__(self) -> Build:  # noqa: PYI034
        return self

    def __exit__(self, *_error: object) -> None:
        self.layers.close()
        self.sources.close()

    def report(self, event: BuildEvent) -> None:
        """Tell of an event; reporters need not care which thread it is."""
        with self._reporting:
            self.tails(event)
            self._report(event)

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
                image = self._images[key] = self._ensured(name, platform)
                for layer in image.layers:
                    self.hold.keep_found(layer.descriptor.digest, layer.diff_id)
            return self._images[key]

    def known_image(self, name: str) -> Image | None:
        """A base image that this build has asked for already."""
        return next((image for (known, _), image in self._images.items() if known == name), None)

    def _ensured(self, name: str, platform: Platform) -> Image:
        step = self.step("", 0, 0, f"FROM {name}", str(platform), BASE)
        begun = False

        def tell(got: Event) -> None:
            nonlocal begun
            self.stop.check()
            if not begun:
                begun = True
                self.report(event(step, "started"))
            what = f"{got.subject} {got.message or got.action}".strip()
            self.report(event(step, "progress", size=got.current, total=got.total, subject=what))

        try:
            image = self.runner.image(name, str(platform), tell)
        except BaseException:
            if begun:
                self.report(event(step, "stopped" if self.stop.is_set else "failed"))
            raise
        self.report(event(step, "done" if begun else "cached"))
        return image

    def step(self, stage: str, number: int, total: int, line: str, platform: str, kind: str = STEP) -> Step:
        """A step with an id of its own."""
        return Step(next(self._steps), stage, number, total, line, platform, kind)


def default_jobs() -> int:
    """How many commands run at once when nobody says: as many as there are processors, at least two."""
    return max(2, len(os.sched_getaffinity(0)))
