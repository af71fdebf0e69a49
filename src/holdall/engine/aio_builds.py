"""`AsyncEngine.builds`."""

from __future__ import annotations

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Self

    from holdall.build.checks import Checked, Outline, Target
    from holdall.build.options import BuildOptions
    from holdall.build.progress import BuildEvent, BuildReporter
    from holdall.engine.build_outputs import Built
    from holdall.engine.engine import Engine
    from holdall.engine.running_build import RunningBuild
    from holdall.store.build_usage import Item, Keep

to_thread = asyncio.to_thread


class AsyncRunningBuild:
    """See `RunningBuild`: `async for` gives its events; left as a context manager it is cancelled."""

    def __init__(self, build: RunningBuild) -> None:
        self._build = build

    async def __aiter__(self) -> AsyncIterator[BuildEvent]:
        while events := await to_thread(self._build.take):
            for event in events:
                yield event

    async def image(self) -> Built:
        """See `RunningBuild.image`."""
        return await to_thread(self._build.image)

    def cancel(self) -> None:
        """See `RunningBuild.cancel`."""
        self._build.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        # told at once: the thread that ends it may have to wait for one that reads its events
        self._build.cancel()
        await to_thread(self._build.__exit__, *error)


class AsyncBuilds:
    """See `Builds`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def build(self, options: BuildOptions, report: BuildReporter | None = None) -> Built:
        """See `Builds.build`; cancelled, the build ends. `report` is called in the event loop's thread."""
        async with self.start(options) as running:
            async for event in running:
                if report is not None:
                    report(event)
            return await running.image()

    def start(self, options: BuildOptions) -> AsyncRunningBuild:
        """See `Builds.start`. No coroutine."""
        return AsyncRunningBuild(self._engine.builds.start(options))

    async def check(self, options: BuildOptions) -> Checked:
        """See `Builds.check`."""
        return await to_thread(self._engine.builds.check, options)

    async def targets(self, options: BuildOptions) -> tuple[Target, ...]:
        """See `Builds.targets`."""
        return await to_thread(self._engine.builds.targets, options)

    async def outline(self, options: BuildOptions) -> Outline:
        """See `Builds.outline`."""
        return await to_thread(self._engine.builds.outline, options)

    async def cached(self) -> tuple[Item, ...]:
        """See `Builds.cached`."""
        return await to_thread(self._engine.builds.cached)

    async def prune(
        self,
        *,
        everything: bool = False,
        before: int | None = None,
        wanted: Callable[[Item], bool] | None = None,
        keep: Keep | None = None,
    ) -> tuple[tuple[Item, ...], int]:
        """See `Builds.prune`."""
        return await to_thread(
            lambda: self._engine.builds.prune(everything=everything, before=before, wanted=wanted, keep=keep)
        )
