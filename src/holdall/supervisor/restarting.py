"""Restart policies: whether and when a container that ended is started again."""

from __future__ import annotations

import time

from holdall.errors import ContainerNotFound
from holdall.supervisor.launch import read_launch
from holdall.supervisor.ownlog import log
from holdall.supervisor.runfolder import remove_run_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.supervisor.container import Container
    from holdall.supervisor.launch import RestartPolicy
    from holdall.supervisor.supervisor import Supervisor

FIRST_DELAY = 0.1
LONGEST_DELAY = 60.0
HEALTHY_SECONDS = 10.0


def wanted(policy: RestartPolicy, exit_code: int | None, count: int, *, manual: bool) -> bool:
    """Whether the policy starts the container again. An exit code nobody knows counts as a failure."""
    if manual or policy.name == "no":
        return False
    if policy.name == "on-failure":
        return exit_code != 0 and (policy.maximum == 0 or count < policy.maximum)
    return True


def next_delay(delay: float, ran: float) -> float:
    """Seconds to wait: 100 ms, doubled up to a minute, from the beginning after ten good seconds."""
    if ran >= HEALTHY_SECONDS or delay == 0:
        return FIRST_DELAY
    return min(delay * 2, LONGEST_DELAY)


def consider(supervisor: Supervisor, container: Container) -> None:
    """After an end whose state says what follows: schedule the next start, or let go of the container."""
    if container.state.status != "restarting":
        let_go(supervisor, container)
        return
    container.restart_delay = next_delay(container.restart_delay, time.monotonic() - container.begun)
    container.restart_timer = supervisor.loop.later(container.restart_delay, lambda: start_again(supervisor, container))


def forestall(container: Container) -> None:
    """Somebody starts the container before its time comes."""
    if container.restart_timer is not None:
        container.restart_timer.cancel()
        container.restart_timer = None


def cancel(supervisor: Supervisor, container: Container) -> None:
    """Stop a container that waits for its next start."""
    forestall(container)
    supervisor.save(container, status="exited", stopped_by_user=True)
    remove_run_folder(supervisor.paths.container_run(container.id))
    let_go(supervisor, container)


def start_again(supervisor: Supervisor, container: Container) -> None:
    """The delay is over."""
    container.restart_timer = None
    try:
        container.launch = read_launch(supervisor.paths, container.id)
    except ContainerNotFound:
        let_go(supervisor, container)
        return
    container.set(restart_count=container.state.restart_count + 1)

    def done(err: BaseException | None) -> None:
        if err is not None:
            log(f"{container.id}: cannot start again: {err}")

    supervisor.begin(supervisor, container, done)


def let_go(supervisor: Supervisor, container: Container) -> None:
    """The container stays as it is: forget it, and remove it if nobody else does."""
    supervisor.containers.pop(container.id, None)
    if container.launch.auto_remove and container.state.started_at:
        supervisor.remover.ended(container)
    supervisor.rested()
