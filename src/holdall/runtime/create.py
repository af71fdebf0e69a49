"""Make a container's first process: namespaces, one fork, and back."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.runtime.launch import Launch, Stdio
    from holdall.runtime.process import Process


def spawn(launch: Launch, stdio: Stdio | None) -> Process:
    """Fork the container's first process and return at once; it waits for `proceed` before it executes the command.

    `stdio` None asks for a pseudo-terminal (`spec.process.terminal`): its master comes as a `Terminal` message.
    Must be called from a single-threaded process. Raises OSError when namespaces or fork are refused.
    """
    raise NotImplementedError
