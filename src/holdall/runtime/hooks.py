"""OCI hooks: programs run at points of the life cycle (runtime-spec config.md#posix-platform-hooks, runtime.md).

Each gets the container's state as JSON on standard input. The caller says where: prestart, createRuntime, poststart and
poststop in the host's namespaces, createContainer and startContainer in the container's.
"""

from __future__ import annotations

import json
import os
import select
import signal

from holdall.errors import StartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.runtime_spec import Hook, RuntimeSpec

MAX_WAIT = 3600.0


def state(spec: RuntimeSpec, container_id: str, status: str, pid: int, bundle: str) -> bytes:
    """The state of runtime.md#state as JSON."""
    fields: dict[str, object] = {"ociVersion": spec.version, "id": container_id, "status": status}
    if pid:
        fields["pid"] = pid
    fields["bundle"] = bundle
    if spec.annotations:
        fields["annotations"] = dict(spec.annotations)
    return json.dumps(fields).encode()


def run(hooks: tuple[Hook, ...], document: bytes) -> None:
    """Run the hooks one after the other. Raises StartError at the first that fails or takes too long."""
    for hook in hooks:
        code = _run_one(hook, document)
        if code is None:
            raise StartError(f'hook "{hook.path}" did not end within {hook.timeout} s')
        if code != 0:
            raise StartError(f'hook "{hook.path}" failed with status {code}')


def _run_one(hook: Hook, document: bytes) -> int | None:
    """The exit code (128+n for a signal), or None after killing it at its timeout."""
    reading, writing = os.pipe()
    environ = dict([entry.partition("=")[::2] for entry in hook.env])
    actions = [(os.POSIX_SPAWN_DUP2, reading, 0)]
    try:
        pid = os.posix_spawn(hook.path, hook.args or (hook.path,), environ, file_actions=actions, setsigmask=())
    except OSError as err:
        os.close(writing)
        raise StartError(f'cannot run hook "{hook.path}": {(err.strerror or "").lower()}') from err
    finally:
        os.close(reading)
    _feed(writing, document)
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        ended = poll.poll((hook.timeout or MAX_WAIT) * 1000)
        if not ended:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        _pid, code = os.waitpid(pid, 0)
    finally:
        os.close(pidfd)
    if not ended:
        return None
    return 128 + os.WTERMSIG(code) if os.WIFSIGNALED(code) else os.WEXITSTATUS(code)


def _feed(fd: int, document: bytes) -> None:
    """Write what fits the pipe (64 KiB) at once; a hook that does not read must not hold us."""
    os.set_blocking(fd, False)
    previous = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        os.write(fd, document)
    except (BrokenPipeError, BlockingIOError):
        pass
    finally:
        signal.signal(signal.SIGPIPE, previous)
        os.close(fd)
