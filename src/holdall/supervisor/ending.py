"""The end of a container's first process, whoever its parent is: drain, record, undo, tell, and perhaps start again."""

from __future__ import annotations

import os
import time

from holdall.errors import HoldallError
from holdall.supervisor import reaping, restarting
from holdall.supervisor.launch import launch_path
from holdall.supervisor.ownlog import log, log_failure
from holdall.supervisor.runfolder import remove_run_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.supervisor.container import Container
    from holdall.supervisor.state import HostPort
    from holdall.supervisor.supervisor import Supervisor

FOREIGN_TRIES = 3000
CGROUP_TRIES = 200
STRAGGLER_TRIES = 2
PAUSE = 0.005


def ended(supervisor: Supervisor, container: Container, tries: int = 0) -> None:
    """The pidfd is readable: reap the process, or ask the kernel if somebody else does that."""
    if container.pidfd < 0:
        return
    code: int | None = None
    try:
        over, code = reaping.reap(container.pidfd)
        if not over:
            return
    except ChildProcessError:
        try:
            code = reaping.foreign(container.pidfd)
        except OSError:
            tries = FOREIGN_TRIES
        if code is None and tries < FOREIGN_TRIES:
            supervisor.loop.remove(container.pidfd)
            supervisor.loop.later(PAUSE, lambda: ended(supervisor, container, tries + 1))
            return
    end(supervisor, container, code)


def end(supervisor: Supervisor, container: Container, code: int | None) -> None:
    """The process is gone (or never was): settle everything and tell everybody."""
    for output in container.outputs:
        output.drain()
    oom_killed = supervisor.surroundings.oom_killed(container.launch)
    failure = container.failure
    ports = container.state.ports
    container.release(supervisor.loop)
    if failure is None:
        again = restarting.wanted(
            container.launch.restart, code, container.state.restart_count, manual=container.manual
        )
        supervisor.save(
            container, status="restarting" if again else "exited", pid=0, start_ticks=0, exit_code=code,
            oom_killed=oom_killed, finished_at=time.time_ns(), ports=(), address="", stopped_by_user=container.manual,
        )  # fmt: skip
    else:
        _record_failure(supervisor, container, failure)
    supervisor.keeper.drop(container.id, at_once=bool(ports))
    _tell(container, failure)
    undo(supervisor, container, ports, dying=True)
    restarting.consider(supervisor, container)


def _record_failure(supervisor: Supervisor, container: Container, failure: BaseException) -> None:
    exit_code = failure.exit_code if isinstance(failure, HoldallError) else 125
    status = "exited" if container.state.started_at else "created"
    supervisor.save(
        container, status=status, pid=0, start_ticks=0, ports=(), address="",
        exit_code=max(exit_code, 125), error=str(failure), stopped_by_user=container.manual,
    )  # fmt: skip


def _tell(container: Container, failure: BaseException | None) -> None:
    done, container.starting = container.starting, None
    if done is not None and failure is not None:
        done(failure)
    watchers, container.watchers = container.watchers, []
    for watcher in watchers:
        watcher.finish(container.exit_event())
    calls, container.on_exit = container.on_exit, []
    for call in calls:
        call()


def undo(supervisor: Supervisor, container: Container, ports: tuple[HostPort, ...], *, dying: bool) -> None:
    """Give back network, cgroup and run folder; the folder last, since a successor takes it as the sign of work."""
    try:
        supervisor.surroundings.detach_network(container.launch, ports, dying=dying)
    except (HoldallError, OSError) as err:
        log_failure(err)
    _remove_cgroup(supervisor, container, 0)


def _remove_cgroup(supervisor: Supervisor, container: Container, tries: int) -> None:
    """Remove the cgroup, again and again while the kernel still holds dying processes in it."""
    current = supervisor.containers.get(container.id)
    if tries and current is not None and current.alive:
        _undone(supervisor, container.id)
        return
    try:
        gone = supervisor.surroundings.remove_cgroup(container.launch)
    except OSError as err:
        log(f"{container.id}: cannot remove the cgroup: {os.strerror(err.errno or 0)}")
        gone = tries > 0
    if gone or tries >= CGROUP_TRIES:
        if not _needs_us(supervisor, container):
            remove_run_folder(supervisor.paths.container_run(container.id))
        _undone(supervisor, container.id)
    else:
        supervisor.undoing.setdefault(container.id, [])
        if tries == STRAGGLER_TRIES:
            supervisor.surroundings.kill_cgroup(container.launch)
        supervisor.loop.later(PAUSE, lambda: _remove_cgroup(supervisor, container, tries + 1))


def _undone(supervisor: Supervisor, key: str) -> None:
    for call in supervisor.undoing.pop(key, ()):
        call()


def _needs_us(supervisor: Supervisor, container: Container) -> bool:
    """Whether a successor must still find the container: for its next start, or for its removal."""
    if container.launch.auto_remove and container.state.started_at:
        return os.path.exists(launch_path(supervisor.paths, container.id))
    return container.state.status == "restarting"
