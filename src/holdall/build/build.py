"""A whole build: a Dockerfile and a context become an image for each platform.

Text → `dockerfile.stages.read` → `solver.Solver.solve` per platform, stages side by side → `walking.Walker.step` per
instruction → a layer from the cache (`layers.StepLayers.layer`), from files (`copying.py`) or from a command (the
`Runner` that the engine gives) → `export`.
"""

from __future__ import annotations

import itertools
import os

from holdall.build.layers import StepLayers
from holdall.build.progress import Step
from holdall.build.solver import Solver
from holdall.build.sources import Sources
from holdall.dockerfile import stages
from holdall.dockerfile.lines import MAX_SIZE
from holdall.errors import DockerfileError
from holdall.oci import timestamp
from holdall.oci.platform import Platform, host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from holdall.build.options import BuildOptions
    from holdall.build.progress import BuildReporter
    from holdall.build.running import RunWork
    from holdall.image.image import Image
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


class Build:
    """One build under way; a context manager that owns descriptors and mounted views. Usable from several threads."""

    def __init__(
        self, options: BuildOptions, store: ImageStore, hold: HeldContent, runner: Runner, report: BuildReporter
    ) -> None:
        self.options = options
        self.hold = hold
        self.runner = runner
        self.report = report
        self.epoch = options.epoch if options.epoch is not None else 0
        self.created = timestamp.render(self.epoch * 1_000_000_000)
        name, text = self._text()
        self.dockerfile = stages.read(text, name)
        self._steps = itertools.count(1)
        self.sources = Sources(options, store, name)
        self.layers = StepLayers(store, hold, report)

    def __enter__(self) -> Build:  # noqa: PYI034
        return self

    def __exit__(self, *_error: object) -> None:
        self.sources.close()

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

    def solve(self) -> Image:
        """Build the target; the image, its blobs in the held store. Raises DockerfileError, StepFailed, …"""
        platform = Platform.parse(self.options.platform) if self.options.platform else host()
        image = Solver(self, platform).solve()
        self.sources.digests.save()
        return image

    def image(self, name: str, platform: Platform) -> Image:
        """A base image, which stays until the build is over. Raises ImageNotFound, RegistryError."""
        image = self.runner.image(name, str(platform))
        for layer in image.layers:
            self.hold.announce(layer.descriptor.digest)
            self.hold.keep_layer(layer.diff_id)
        return image

    def step(self, stage: str, number: int, total: int, line: str, platform: str) -> Step:
        """A step with an id of its own."""
        return Step(next(self._steps), stage, number, total, line, platform)
