"""Run one more process in a running container."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.runtime.launch import Join, Stdio
    from holdall.runtime.process import Process


def spawn_exec(join: Join, stdio: Stdio | None) -> Process:
    """Fork a process into the namespaces of `join.pidfd` and return at once; protocol as in `create.spawn`.

    Raises ContainerStateConflict when the target is gone, OSError when the kernel refuses.
    """
    raise NotImplementedError
