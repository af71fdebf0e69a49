"""Several builds at once, as bake describes them: side by side, each after those whose results it needs."""

from __future__ import annotations

import itertools
import threading
from functools import partial

from holdall.bake.definition import LINK
from holdall.build.build import default_jobs
from holdall.build.outputs import uses_stream
from holdall.build.progress import STEP
from holdall.build.side_by_side import Once, side_by_side
from holdall.build.stop import Stop
from holdall.build.turns import Turns
from holdall.engine import build_outputs
from holdall.errors import InvalidOption
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    from holdall.build.options import BuildOptions
    from holdall.build.progress import BuildEvent, BuildReporter
    from holdall.engine.build_outputs import Built
    from holdall.engine.engine import Engine

IMAGE = "docker-image://"


class Bake:
    """Builds targets, given by name; contexts `target:NAME` are what the other target comes to."""

    def __init__(
        self,
        engine: Engine,
        targets: Mapping[str, BuildOptions],
        report: BuildReporter,
        *,
        jobs: int = 0,
        stop: Stop | None = None,
        stream: BinaryIO | None = None,
    ) -> None:
        self._engine = engine
        self._targets = targets
        self._stop = stop or Stop()
        self._stream = stream
        self._results = {name: Once() for name in targets}
        self._turns = Turns(jobs or default_jobs(), engine.paths.ingest, self._stop)
        self._told = _Told(report)

    def run(self) -> dict[str, Built]:
        """All of them, by name. The first failure ends the others. Raises what a build raises."""
        self._check()
        side_by_side([partial(self._built, name) for name in self._targets], self._stop)
        return {name: self._built(name) for name in self._targets}

    def _check(self) -> None:
        streams = [name for name, one in self._targets.items() if uses_stream(one.outputs)]
        if len(streams) > 1:
            raise InvalidOption(f'only one output can go to standard output, not those of "{streams[0]}" and others')
        for one in self._targets.values():
            build_outputs.check(one)

    def _built(self, name: str) -> Built:
        found: Built = self._results[name].get(lambda: self._build(name))
        return found

    def _build(self, name: str) -> Built:
        options = self._targets[name]
        contexts = {}
        for key, value in options.contexts.items():
            if value.startswith(LINK):
                value = IMAGE + str(self._built(value.removeprefix(LINK)).descriptor.digest)
            contexts[key] = value
        return self._engine.builds.build(
            replace(options, contexts=contexts),
            self._told.of(name),
            stop=self._stop,
            stream=self._stream,
            turns=self._turns,
        )


class _Told:
    """Events of several builds as those of one: steps get ids of their own, and the target's name."""

    def __init__(self, report: BuildReporter) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._known: dict[tuple[str, int], int] = {}

    def of(self, name: str) -> BuildReporter:
        """The reporter of one of the builds."""

        def report(event: BuildEvent) -> None:
            with self._lock:
                key = (name, event.step.id)
                if key not in self._known:
                    self._known[key] = next(self._ids)
                step = replace(event.step, id=self._known[key], stage=f"{name} {event.step.stage}".strip())
                if step.kind != STEP:
                    step = replace(step, line=f"[{name}] {step.line}")
                self._report(replace(event, step=step))

        return report
