"""`exec`: one more process in a running container."""

from __future__ import annotations

import os

from holdall.engine.attachment import Attachment
from holdall.engine.resolve import merge_env
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.engine.container import Container
    from holdall.supervisor.client import Connection


@record
class ExecOptions:
    """What to run: `user` and `working_dir` "" mean the container's own; `size` is (rows, columns) of the terminal."""

    command: tuple[str, ...]
    user: str = ""
    env: tuple[str, ...] = ()
    working_dir: str = ""
    tty: bool = False
    stdin: bool = False
    detach: bool = False
    privileged: bool = False
    size: tuple[int, int] | None = None


def execute(connection: Connection, container: Container, options: ExecOptions) -> Attachment:
    """Start the process and return its streams. Raises StartError and its kin, ContainerStateConflict."""
    process = process_of(container, options)
    user = options.user or container.config.resolved.user
    if options.tty or options.detach:
        try:
            started = connection.execute(container.id, process, user=user, detach=options.detach)
        except BaseException:
            connection.close()
            raise
        terminal = started.terminal
        return Attachment(connection, stdout=terminal, stderr=None, stdin=None, terminal=terminal)
    return _with_pipes(connection, container.id, process, user, stdin=options.stdin)


def _with_pipes(
    connection: Connection, container_id: str, process: dict[str, object], user: str, *, stdin: bool
) -> Attachment:
    """Three pipes: never the caller's own descriptors, which a container could reopen with other rights."""
    ends: list[int] = []
    try:
        for _ in range(3):
            ends += os.pipe2(os.O_CLOEXEC)
        in_read, in_write, out_read, out_write, err_read, err_write = ends
        if not stdin:
            ends[0] = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            os.close(in_read)
            in_read = ends[0]
        connection.execute(container_id, process, user=user, stdio=(in_read, out_write, err_write))
    except BaseException:
        for fd in ends:
            os.close(fd)
        connection.close()
        raise
    for fd in (in_read, out_write, err_write):
        os.close(fd)
    if not stdin:
        os.close(in_write)
    return Attachment(connection, stdout=out_read, stderr=err_read, stdin=in_write if stdin else None, terminal=None)


def process_of(container: Container, options: ExecOptions) -> dict[str, object]:
    """The container's own process with another command, as the runtime specification's `process`."""
    from holdall.oci.runtime_spec_json import process_json
    from holdall.runtime.bundle import exec_process
    from holdall.supervisor.bundles import read_spec

    base = read_spec(container.folder).process
    env = merge_env(base.env, options.env)
    if options.tty and not any(item.startswith("TERM=") for item in env):
        env = (*env, "TERM=xterm")
    made = exec_process(
        base, options.command, cwd=options.working_dir, terminal=options.tty, privileged=options.privileged
    )
    return process_json(replace(made, env=env, console_size=options.size))
