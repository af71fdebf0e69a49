"""The asynchronous twins of a container's and an attachment's handles; see aio.py."""

from __future__ import annotations

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from typing import Any, BinaryIO

    from holdall.engine.attachment import Attachment
    from holdall.engine.container import Container
    from holdall.engine.containers import Completed
    from holdall.engine.execute import ExecOptions
    from holdall.engine.image import Image
    from holdall.engine.logs import LogLine
    from holdall.engine.options import Resources, RestartPolicy
    from holdall.engine.statistics import Sample

to_thread = asyncio.to_thread


class AsyncContainer:
    """See `Container`; `sync` is that object, whose facts (id, name, image, labels …) need no waiting."""

    def __init__(self, container: Container) -> None:
        self.sync = container

    async def start(self) -> None:
        """See `Container.start`."""
        await to_thread(self.sync.start)

    async def open(
        self, *, start: bool = False, stdin: bool = False, stdout: bool = True, stderr: bool = True
    ) -> AsyncAttachment:
        """See `Container.open`."""
        return AsyncAttachment(await to_thread(self.sync.open, start=start, stdin=stdin, stdout=stdout, stderr=stderr))

    async def stop(self, *, timeout: int | None = None, signal: str | None = None) -> int | None:
        """See `Container.stop`."""
        return await to_thread(self.sync.stop, timeout=timeout, signal=signal)

    async def restart(self, *, timeout: int | None = None, signal: str | None = None) -> None:
        """See `Container.restart`."""
        await to_thread(self.sync.restart, timeout=timeout, signal=signal)

    async def kill(self, signal: str = "KILL") -> None:
        """See `Container.kill`."""
        await to_thread(self.sync.kill, signal)

    async def pause(self) -> None:
        """See `Container.pause`."""
        await to_thread(self.sync.pause)

    async def unpause(self) -> None:
        """See `Container.unpause`."""
        await to_thread(self.sync.unpause)

    async def wait(self) -> int | None:
        """See `Container.wait`."""
        return await to_thread(self.sync.wait)

    async def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """See `Container.remove`."""
        await to_thread(self.sync.remove, force=force, volumes=volumes)

    async def rename(self, name: str) -> None:
        """See `Container.rename`."""
        await to_thread(self.sync.rename, name)

    async def update(self, resources: Resources, restart: RestartPolicy | None = None) -> None:
        """See `Container.update`."""
        await to_thread(self.sync.update, resources, restart)

    async def refresh(self) -> None:
        """See `Container.refresh`."""
        await to_thread(self.sync.refresh)

    async def logs(
        self, *, follow: bool = False, since: int | None = None, until: int | None = None, tail: int | None = None
    ) -> AsyncIterator[LogLine]:
        """See `Container.logs`."""
        lines = self.sync.logs(follow=follow, since=since, until=until, tail=tail)
        while (line := await to_thread(_next, lines)) is not None:
            yield line

    async def execute(self, options: ExecOptions) -> AsyncAttachment:
        """See `Container.execute`."""
        return AsyncAttachment(await to_thread(self.sync.execute, options))

    async def exec(self, *command: str, user: str = "", env: Sequence[str] = (), working_dir: str = "") -> Completed:
        """See `Container.exec`."""
        return await to_thread(self.sync.exec, *command, user=user, env=env, working_dir=working_dir)

    async def inspect(self, *, size: bool = False) -> dict[str, Any]:
        """See `Container.inspect`."""
        return await to_thread(self.sync.inspect, size=size)

    async def top(self, *arguments: str) -> list[list[str]]:
        """See `Container.top`."""
        return await to_thread(self.sync.top, *arguments)

    async def stats(self) -> Sample:
        """See `Container.stats`."""
        return await to_thread(self.sync.stats)

    async def written(self) -> int:
        """See `Container.written`."""
        return await to_thread(self.sync.written)

    async def diff(self) -> list[tuple[str, str]]:
        """See `Container.diff`."""
        return await to_thread(self.sync.diff)

    async def export(self, out: BinaryIO) -> None:
        """See `Container.export`."""
        await to_thread(self.sync.export, out)

    async def copy_out(self, path: str, out: BinaryIO, *, follow: bool = False) -> None:
        """See `Container.copy_out`."""
        await to_thread(self.sync.copy_out, path, out, follow=follow)

    async def copy_in(self, path: str, archive: BinaryIO, *, keep_owner: bool = False) -> None:
        """See `Container.copy_in`."""
        await to_thread(self.sync.copy_in, path, archive, keep_owner=keep_owner)

    async def commit(
        self,
        name: str | None = None,
        *,
        author: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        pause: bool = True,
    ) -> Image:
        """See `Container.commit`."""
        return await to_thread(self.sync.commit, name, author=author, message=message, changes=changes, pause=pause)


class AsyncAttachment:
    """See `Attachment`; `sync` is that object."""

    def __init__(self, attachment: Attachment) -> None:
        self.sync = attachment

    async def communicate(self, data: bytes | None = None) -> tuple[bytes, bytes]:
        """See `Attachment.communicate`."""
        return await to_thread(self.sync.communicate, data)

    async def wait(self) -> int | None:
        """See `Attachment.wait`."""
        return await to_thread(self.sync.wait)

    async def close(self) -> None:
        """See `Attachment.close`."""
        await to_thread(self.sync.close)


def _next(lines: Iterator[LogLine]) -> LogLine | None:
    return next(lines, None)
