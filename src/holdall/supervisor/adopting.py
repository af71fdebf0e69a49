"""After a crash: take over the containers that run, settle those that ended, undo what was half done.

A container's run folder is the sign that something of it may exist. Once per boot (the run folder's parent is empty
then) every container is looked at, for those that were running when the machine went down.
"""

from __future__ import annotations

import os
import socket
import time

from holdall.errors import ContainerNotFound, HoldallError, StartError
from holdall.supervisor import binding, ending, fifos, keeper, kept, restarting, stopping
from holdall.supervisor.container import Container
from holdall.supervisor.launch import read_launch
from holdall.supervisor.loop import IN, close
from holdall.supervisor.output import Output
from holdall.supervisor.ownlog import log, log_failure
from holdall.supervisor.recorder import recorder
from holdall.supervisor.runfolder import remove_run_folder, run_folders
from holdall.supervisor.state import process_is, stored_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.supervisor.journal import Unfinished
    from holdall.supervisor.state import State
    from holdall.supervisor.supervisor import Supervisor

    Held = list[tuple[str, int]]

KILL_MILLISECONDS = 3000
REUNION = 0.3


def adopt_all(supervisor: Supervisor) -> None:
    """Adopt, settle and undo; before any client is served. What fails for one container is logged."""
    held = supervisor.keeper.take()
    unfinished = supervisor.journal.unfinished()
    for key in _candidates(supervisor):
        try:
            _adopt(supervisor, key, held.pop(key, []), unfinished)
        except (HoldallError, OSError) as err:
            log_failure(err)
    supervisor.journal.finish()
    for key, pairs in held.items():
        for _, fd in pairs:
            os.close(fd)
        supervisor.keeper.drop(key)


def _candidates(supervisor: Supervisor) -> tuple[str, ...]:
    marker = supervisor.paths.run_root + "/booted"
    if os.path.exists(marker):
        return run_folders(supervisor.paths.run_root)
    found = set(run_folders(supervisor.paths.run_root))
    try:
        found.update(os.listdir(supervisor.paths.containers))
    except FileNotFoundError:
        pass
    os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return tuple(found)


def _adopt(supervisor: Supervisor, key: str, held: Held, unfinished: Unfinished | None) -> None:
    try:
        launch = read_launch(supervisor.paths, key)
    except ContainerNotFound:
        _close_all(held)
        supervisor.keeper.drop(key)
        remove_run_folder(supervisor.paths.container_run(key))
        return
    state = stored_state(supervisor.paths, key)
    container = Container(launch, state)
    container.begun = time.monotonic()
    container.manual = state.stopped_by_user
    mine = unfinished if unfinished is not None and unfinished.container == key else None
    if state.status in ("running", "paused"):
        _take_over(supervisor, container, dict(held), mine)
        return
    _close_all(held)
    supervisor.keeper.drop(key)
    if state.status == "starting":
        _kill(state)
        container.failure = StartError("the supervisor died during the start")
        ending.end(supervisor, container, None)
    elif os.path.exists(supervisor.paths.container_run(key)) or state.status == "restarting":
        ending.undo(supervisor, container, container.state.ports, dying=False)
        supervisor.containers[key] = container
        restarting.consider(supervisor, container)


def _take_over(supervisor: Supervisor, container: Container, held: dict[str, int], mine: Unfinished | None) -> None:
    """A container that ran when the supervisor died; it may have ended since."""
    state = container.state
    alive = process_is(state.pid, state.start_ticks, state.boot_id)
    supervisor.containers[container.id] = container
    container.pidfd = held.pop(keeper.PID, -1)
    if container.pidfd < 0:
        container.pidfd = _open_pid(state)
    run = supervisor.paths.container_run(container.id)
    if os.path.isdir(run):
        _resume_output(supervisor, container, held, mine)
    container.stdin_writer = held.pop("stdin", -1)
    for name in [name for name in held if name.startswith(kept.PORT)]:
        container.reservations.append(socket.socket(fileno=held.pop(name)))
    _close_all(list(held.items()))
    if container.pidfd < 0:
        ending.end(supervisor, container, None)
        return
    if alive and not container.reservations:
        _reserve_again(supervisor, container)
    supervisor.loop.later(REUNION, lambda: _go_on(supervisor, container))
    if alive:
        try:
            stopping.thaw_adopted(supervisor, container)
        except OSError as err:
            log(f"{container.id}: cannot thaw it: {err}")
        supervisor.keeper.keep(container)
        binding.adopted(supervisor, container)
        log(f"{container.id}: adopted")


def _go_on(supervisor: Supervisor, container: Container) -> None:
    """Read its output and see its end: by now the clients that were attached are attached again."""
    for output in container.outputs:
        output.go_on()
    supervisor.loop.add(container.pidfd, IN, lambda _mask: ending.ended(supervisor, container))


def _resume_output(supervisor: Supervisor, container: Container, held: dict[str, int], mine: Unfinished | None) -> None:
    folder = supervisor.paths.container(container.id)
    run = supervisor.paths.container_run(container.id)
    reading = recorder(container.id, folder, container.launch.log, run, supervisor.journal)
    container.recorder = reading
    reading.resume(fifos.STREAMS, mine)
    for name in fifos.STREAMS:
        fd = held.pop(name, -1)
        if fd < 0 and not container.launch.terminal:
            try:
                fd = fifos.open_reader(run, name)
            except FileNotFoundError:
                continue
        if fd >= 0:
            container.outputs.append(Output(supervisor.loop, fd, name, reading, held=True))


def _reserve_again(supervisor: Supervisor, container: Container) -> None:
    """Ports nobody kept for us: take them again, the very numbers that were bound."""
    try:
        container.reservations = supervisor.surroundings.reserve_again(container.state.ports)
    except (HoldallError, OSError) as err:
        log(f"{container.id}: cannot reserve its ports again: {err}")


def _open_pid(state: State) -> int:
    """A pidfd for exactly that process, or -1 when it is gone; a zombie's still brings its exit code."""
    if not process_is(state.pid, state.start_ticks, state.boot_id, ended=True):
        return -1
    try:
        pidfd = os.pidfd_open(state.pid)
    except ProcessLookupError:
        return -1
    if process_is(state.pid, state.start_ticks, state.boot_id, ended=True):
        return pidfd
    os.close(pidfd)
    return -1


def _kill(state: State) -> None:
    """Kill a container that was starting, and wait for it: without its maker it is about to end anyway."""
    import select
    import signal

    pidfd = _open_pid(state)
    if pidfd < 0:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        poller.poll(KILL_MILLISECONDS)
    except ProcessLookupError:
        pass
    finally:
        close(pidfd)


def _close_all(held: Held) -> None:
    for _, fd in held:
        os.close(fd)
