"""Builds: a Dockerfile and a context become an image. RUN steps are containers like any other, but for their image."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress

from holdall.errors import DockerfileError, ImageNotFound, InvalidOption, NoSpace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from holdall.build.build import Build
    from holdall.build.checks import Checked, Outline, Target
    from holdall.build.compare import Difference
    from holdall.build.export import Result
    from holdall.build.options import BuildOptions
    from holdall.build.progress import BuildReporter
    from holdall.build.recording import Recorder
    from holdall.build.stop import Stop
    from holdall.build.turns import Turns
    from holdall.engine.build_history import BuildHistory
    from holdall.engine.build_outputs import Built
    from holdall.engine.build_steps import OnFail
    from holdall.engine.engine import Engine
    from holdall.engine.image import Image
    from holdall.engine.running_build import RunningBuild
    from holdall.oci.config import ImageConfig
    from holdall.store.build_usage import Item, Keep


class Builds:
    """`Engine.builds`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def build(
        self,
        options: BuildOptions,
        report: BuildReporter | None = None,
        *,
        stop: Stop | None = None,
        stream: BinaryIO | None = None,
        on_fail: OnFail | None = None,
        turns: Turns | None = None,
    ) -> Built:
        """Build and name an image, and make the outputs asked for; `stop` (internal) ends it early. An output to "-"
        goes to `stream` (default standard output). `on_fail` is called with a failed RUN's container, whose files are
        still there, and the failure, in the thread of that step; the build fails when it returns. `turns` (internal)
        are those of several builds together.

        Raises DockerfileError, StepFailed, ImageNotFound, InvalidOption, Cancelled, and what a step or output raises.
        """
        from holdall.build import notices
        from holdall.engine import build_outputs
        from holdall.engine.build_history import recorded

        build_outputs.check(options)
        if options.ssh:
            from holdall.engine import ssh_forward

            ssh_forward.check(options.ssh)
        with (
            recorded(self._engine.paths, options) as recorder,
            self._opened(options, report, stop, recorder, on_fail, turns) as build,
        ):
            notices.heed(build)
            try:
                results = build.solve()
            finally:
                notices.at_end(build)
            if options.cache_to:
                made = self._exported(build, results, stream)
            else:
                made = build_outputs.Outputs(self._engine, build, results, ("",) * len(results), stream).run()
            recorder.images.append(made.id)
        self._keep_budget()
        return made

    def _exported(self, build: Build, results: tuple[Result, ...], stream: BinaryIO | None) -> Built:
        """The outputs, and the caches elsewhere."""
        from holdall.build.cache_export import Export
        from holdall.engine import build_outputs

        wanted = build.options.cache_to
        export = Export(build, self._engine.images.writing, results)
        made = build_outputs.Outputs(self._engine, build, results, export.inline(wanted, results), stream).run()
        export.send_all(wanted)
        return made

    def start(self, options: BuildOptions) -> RunningBuild:
        """Begin a build in a thread of its own: iterate the result for its events, ask it for the image, or cancel."""
        from holdall.engine.running_build import RunningBuild

        return RunningBuild(lambda report, stop: self.build(options, report, stop=stop))

    def check(self, options: BuildOptions) -> Checked:
        """The Dockerfile's warnings, without building; base images that are not in the store are not asked.

        Raises DockerfileError.
        """
        from holdall.build import notices

        def config(name: str) -> ImageConfig | None:
            images = self._engine.images.store
            try:
                record = images.find(name)
            except ImageNotFound:
                record = None
            return None if record is None else images.config(record)

        with self._opened(options) as build:
            return notices.run(build, config)

    def targets(self, options: BuildOptions) -> tuple[Target, ...]:
        """The stages of the Dockerfile. Raises DockerfileError."""
        from holdall.build import checks

        with self._opened(options) as build:
            return checks.targets(build.dockerfile)

    def outline(self, options: BuildOptions) -> Outline:
        """The arguments, secrets, SSH agents and caches that the target takes. Raises DockerfileError."""
        from holdall.build import checks

        with self._opened(options) as build:
            return checks.outline(build.dockerfile, build.options)

    @contextmanager
    def _opened(
        self,
        options: BuildOptions,
        report: BuildReporter | None = None,
        stop: Stop | None = None,
        recorder: Recorder | None = None,
        on_fail: OnFail | None = None,
        turns: Turns | None = None,
    ) -> Iterator[Build]:
        from holdall.build.build import Build
        from holdall.build.progress import silent as untold
        from holdall.build.stop import Stop
        from holdall.engine.build_steps import StepRunner
        from holdall.record import replace

        if options.epoch is None:
            options = replace(options, epoch=source_date_epoch(options), committed=committed(options))
        ended = stop or Stop()
        store = self._engine.images.writing
        runner = StepRunner(self._engine, options, ended, on_fail)
        with (
            store.hold() as hold,
            Build(options, store, hold, runner, report or untold, ended, recorder, turns) as build,
        ):
            yield build

    def difference(self, image: Image, options: BuildOptions, report: BuildReporter | None = None) -> Difference | None:
        """Build once more, without the cache, and say where the result differs first from `image`; None: nowhere.

        The second image is not named and does not stay. Raises as `build`.
        """
        from holdall.build.compare import difference
        from holdall.record import replace

        again = self.build(replace(options, no_cache=True, tags=(), outputs=(), cache_to=()), report)
        store = self._engine.images.store
        try:
            return difference(store.image(image.record), store.image(again.record))
        finally:
            if again.digest != image.digest:
                self._engine.images.remove(again.id, force=True)

    @property
    def history(self) -> BuildHistory:
        """The builds that are recorded."""
        from holdall.engine.build_history import BuildHistory

        return BuildHistory(self._engine)

    def cached(self) -> tuple[Item, ...]:
        """What builds keep between them (layers, cache mounts, clones), the thing used last first."""
        from holdall.store import build_usage

        return build_usage.items(self._engine.images.store)

    def prune(
        self,
        *,
        everything: bool = False,
        before: int | None = None,
        wanted: Callable[[Item], bool] | None = None,
        keep: Keep | None = None,
    ) -> tuple[tuple[Item, ...], int]:
        """Let go of what was last used before that time (ns; None: whenever), as far as `keep` does not spare it: what
        went, and the bytes that came free. With `everything` also of what takes no space: rows of layers that images
        have too, and what is remembered of files; and, but with `wanted`, of records of builds that began before then.
        """
        from holdall.store import build_records, build_usage

        store = self._engine.images.writing
        gone, freed = build_usage.prune(store, everything=everything, before=before, wanted=wanted, keep=keep)
        if everything and wanted is None:
            freed += build_records.prune(self._engine.paths, before=before)
        return gone, freed

    def _keep_budget(self) -> None:
        from holdall.store import build_usage

        # the image is there, whatever the setting or the disk says: `system df` and `builder prune` tell of it
        with suppress(InvalidOption, NoSpace):
            build_usage.keep_budget(self._engine.images.writing)


def source_date_epoch(options: BuildOptions) -> int | None:
    """SOURCE_DATE_EPOCH, of the build's arguments or the environment. Raises DockerfileError when it is no number."""
    text = options.build_args.get("SOURCE_DATE_EPOCH") or os.environ.get("SOURCE_DATE_EPOCH", "")
    if text:
        if not text.isdigit() or len(text) > 12:
            raise DockerfileError(f'SOURCE_DATE_EPOCH "{text}" is no number of seconds')
        return int(text)
    return None


def committed(options: BuildOptions) -> int | None:
    """When the commit was made that the context's folder is at."""
    from holdall.engine.gitinfo import commit_time

    return commit_time(options.context) if os.path.isdir(options.context) else None
