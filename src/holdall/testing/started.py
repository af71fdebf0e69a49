"""A server process that lasts for a block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import subprocess
    from types import TracebackType


class Started:
    """A context manager: `start` before the block, `kill` after it."""

    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process, or the parent of its processes."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it serves."""
        raise NotImplementedError

    def kill(self) -> None:
        """End it at once; nothing when it has ended."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
