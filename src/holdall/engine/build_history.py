"""Builds looked at afterwards: their records, what their steps printed, and a program in a step's files."""

from __future__ import annotations

import os
from contextlib import contextmanager

from holdall.errors import Cancelled, HoldallError, NotFound
from holdall.record import record, replace
from holdall.store import build_records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.build.options import BuildOptions
    from holdall.build.recording import Recorder
    from holdall.engine.engine import Engine
    from holdall.engine.step_container import StepContainer
    from holdall.paths import Paths
    from holdall.store.build_records import BuildRecord, StepRecord

MIN_KEY = 4


@contextmanager
def recorded(paths: Paths, options: BuildOptions) -> Iterator[Recorder]:
    """The record of a build, for the time of it. Raises NoSpace, InvalidOption (the budget's setting)."""
    from holdall.build.recording import Recorder

    writer = build_records.RecordWriter(paths, {
        "dockerfile": options.dockerfile or ("-" if options.text is not None else "Dockerfile"),
        "context": options.context, "target": options.target, "platforms": options.platforms, "tags": options.tags,
    })  # fmt: skip
    recorder = Recorder(writer)
    try:
        yield recorder
        recorder.ended("done")
    except BaseException as err:
        given_up = isinstance(err, (Cancelled, KeyboardInterrupt))
        told = err.message if isinstance(err, HoldallError) else type(err).__name__
        recorder.ended("stopped" if given_up else "failed", "" if given_up else told)
        raise
    finally:
        writer.close()
        # weighing all records costs more than a build without changes: small ones are weighed now and then
        if build_records.is_large(writer.folder) or writer.id.endswith("0"):
            build_records.trim(paths)


@record
class Place:
    """A step of a build."""

    build: BuildRecord
    step: StepRecord


class BuildHistory:
    """`Engine.builds.history`: the builds of this store that are still recorded."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> tuple[BuildRecord, ...]:
        """All of them, the newest first."""
        return tuple(build_records.listed(self._engine.paths))

    def get(self, build: str = build_records.LATEST) -> BuildRecord:
        """The build whose ID begins so. Raises NotFound."""
        return build_records.find(self._engine.paths, build)

    def step(self, build: str, step: str) -> Place:
        """A step by its number in what a build told, or by the beginning of its key. Raises NotFound."""
        found = self.get(build)
        for one in found.steps:
            if step == str(one.id) or (len(step) >= MIN_KEY and one.key.startswith(step)):
                return Place(found, one)
        raise NotFound(
            f'build "{found.id}" has no step "{step}"', hint=f"holdall builder history {found.id} lists them"
        )

    def key(self, text: str) -> Place:
        """The step with a key that begins so, of any build, the latest first. Raises NotFound."""
        for build in build_records.listed(self._engine.paths):
            for one in build.steps:
                if len(text) >= MIN_KEY and one.key.startswith(text):
                    return Place(build, one)
        raise NotFound(f'no recorded build has a step with the key "{text}"', hint="holdall builder history lists them")

    def printed(self, place: Place) -> str | None:
        """The file with what a step printed: when it came from the cache, in the build that made it; None: nothing."""
        path = place.build.log_of(place.step)
        if os.path.exists(path) or place.step.status != "cached" or not place.step.key:
            return path if os.path.exists(path) else None
        for build in build_records.listed(self._engine.paths):
            for one in build.steps:
                if one.key == place.step.key and one.status == "done" and os.path.exists(build.log_of(one)):
                    return build.log_of(one)
        return None

    @contextmanager
    def entered(self, place: Place) -> Iterator[StepContainer]:
        """A container on the layers that a step came to, for `shell` and `terminal`; what is written there is lost.

        Raises NotFound when the layers are gone, or the step made none.
        """
        from holdall.build.options import BuildOptions
        from holdall.build.running import RunStep, RunWork
        from holdall.build.secrets import Vault
        from holdall.build.stop import Stop
        from holdall.engine.step_container import StepContainer
        from holdall.oci.digest import Digest

        step = place.step
        if not step.stack:
            raise NotFound(f'step {step.id} of build "{place.build.id}" has no files of its own')
        run = RunStep(
            args=step.shell or ("/bin/sh",), env=step.env, working_dir=step.working_dir or "/", user=step.user,
            network="default", mounts=(), what=step.line, shell=step.shell,
        )  # fmt: skip
        work = RunWork(run, step.stack, {}, 0, Vault({}), lambda _name: None)
        with self._engine.images.writing.hold() as hold:
            for diff_id in step.stack:
                hold.keep_layer(Digest.parse(diff_id))
                if not self._engine.containers.snapshots.has(diff_id):
                    raise NotFound(f'layers of step {step.id} of build "{place.build.id}" are gone', hint="build again")
            with StepContainer(self._engine, work, replace(BuildOptions(context=""), epoch=0), Stop()) as container:
                yield container
