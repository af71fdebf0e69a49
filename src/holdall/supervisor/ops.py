"""What clients may ask: one function per operation, `(supervisor, session, request)`; they answer now or later."""

from __future__ import annotations

import os

from holdall.errors import ContainerNotFound, ContainerStateConflict, InvalidInput
from holdall.record import replace
from holdall.supervisor import binding, execs, restarting, starting, stopping
from holdall.supervisor.attaching import attach
from holdall.supervisor.container import Container, Watcher, end_of
from holdall.supervisor.launch import read_launch
from holdall.supervisor.runfolder import remove_run_folder
from holdall.supervisor.state import stored_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from holdall.supervisor.session import Session
    from holdall.supervisor.supervisor import Supervisor

    Request = dict[str, Any]
    Operation = Callable[[Supervisor, Session, Request], None]

MAX_ID = 64


def handle(supervisor: Supervisor, session: Session, request: Request) -> None:
    """Do what a request asks. Raises HoldallError, OSError, and KeyError or TypeError for a malformed one."""
    operation = OPERATIONS.get(request["op"])
    if operation is None:
        raise InvalidInput(f"unknown request {request['op']!r}")
    operation(supervisor, session, request)


def container_id(request: Request) -> str:
    """The container a request names. Raises InvalidInput: it becomes a path."""
    found = request["id"]
    if type(found) is not str or not found.isalnum() or len(found) > MAX_ID:
        raise InvalidInput(f"invalid container id {found!r}")
    return found


def find(supervisor: Supervisor, request: Request) -> Container:
    """The container, which must be under care. Raises ContainerStateConflict, ContainerNotFound."""
    found = supervisor.containers.get(container_id(request))
    if found is None:
        launch = read_launch(supervisor.paths, container_id(request))
        raise ContainerStateConflict(f'container "{launch.name}" is not running')
    return found


def start(supervisor: Supervisor, session: Session, request: Request) -> None:
    """Start a container; the answer comes when its program runs."""
    found = supervisor.containers.get(container_id(request))
    if found is not None and found.restart_timer is None:
        _start_again(supervisor, session, request, found)
        return
    if request["id"] in supervisor.removing:
        raise ContainerStateConflict(f'container "{request["id"]}" is being removed')
    launch = read_launch(supervisor.paths, request["id"])
    if found is not None:
        restarting.forestall(found)
    container = Container(launch, replace(stored_state(supervisor.paths, launch.id), restart_count=0))
    supervisor.containers[launch.id] = container
    binding.bind(supervisor, container, session)
    _begin(supervisor, session, request, container)


def _begin(supervisor: Supervisor, session: Session, request: Request, container: Container) -> None:
    fds = session.take()

    def done(err: BaseException | None) -> None:
        if err is None:
            attach(supervisor, session, container, request, fds)
        else:
            for fd in fds:
                os.close(fd)
            session.fail(err)

    starting.begin(supervisor, container, done)


def _start_again(supervisor: Supervisor, session: Session, request: Request, container: Container) -> None:
    """A second start: a conflict, unless it repeats one whose answer was lost with an earlier supervisor."""
    if not request.get("again"):
        word = "starting" if container.state.status == "starting" else "running"
        raise ContainerStateConflict(f'container "{container.launch.name}" is already {word}')
    binding.bind(supervisor, container, session)
    attach(supervisor, session, container, request, session.take())


def attach_op(supervisor: Supervisor, session: Session, request: Request) -> None:
    """Attach to a running container, or learn at once that the run meant is over."""
    found = supervisor.containers.get(container_id(request))
    if _is_over(found, request):
        _tell_last(supervisor, session, request)
        return
    container = find(supervisor, request)
    container.need_running()
    if container.launch.bound and (container.starter is None or not container.starter.connected):
        # its client, back after our predecessor's death
        binding.bind(supervisor, container, session)
    attach(supervisor, session, container, request, session.take())


def wait(supervisor: Supervisor, session: Session, request: Request) -> None:
    """Tell the exit when it comes, or at once when the container does not run (any more)."""
    found = supervisor.containers.get(container_id(request))
    if found is None or _is_over(found, request):
        _tell_last(supervisor, session, request)
        return
    found.watchers.append(Watcher(session, request.get("tag"), [], lambda watcher: _left(found, watcher)))
    session.reply(run=found.state.started_at if found.state.status in ("running", "paused") else 0)


def _is_over(container: Container | None, request: Request) -> bool:
    run = request.get("run")
    return bool(run) and (container is None or container.state.started_at != run or not container.alive)


def _tell_last(supervisor: Supervisor, session: Session, request: Request) -> None:
    read_launch(supervisor.paths, container_id(request))
    state = stored_state(supervisor.paths, request["id"])
    session.reply(run=state.started_at, pid=0, stdin=False, terminal=False)
    session.event("exit", tag=request.get("tag"), **end_of(state))


def _left(container: Container, watcher: Watcher) -> None:
    if watcher in container.watchers:
        container.watchers.remove(watcher)


def signal(supervisor: Supervisor, session: Session, request: Request) -> None:
    """Send a signal to the first process."""
    container = find(supervisor, request)
    container.need_running()
    stopping.send(supervisor, container, int(request["signal"]))
    session.reply()


def stop(supervisor: Supervisor, session: Session, request: Request) -> None:
    """Stop for good; the answer is the exit."""
    container = supervisor.containers.get(container_id(request))
    if container is not None and container.restart_timer is not None:
        restarting.cancel(supervisor, container)
        container = None
    if container is None:
        read_launch(supervisor.paths, request["id"])
        state = stored_state(supervisor.paths, request["id"])
        session.reply(**end_of(state))
        return
    stopped = container
    stopped.on_exit.append(lambda: session.reply(**stopped.exit_event()))
    stopping.stop(supervisor, stopped, request["signal"], request["timeout"])


def pause(supervisor: Supervisor, session: Session, request: Request) -> None:
    """Freeze; a pause that is `held` ends when the client leaves."""
    container = find(supervisor, request)
    if container.state.status != "running":
        raise ContainerStateConflict(f'container "{container.launch.name}" is {container.state.status}, not running')
    supervisor.surroundings.freeze(container.launch)
    if request.get("held"):
        stopping.hold_pause(supervisor, container, session)
    supervisor.save(container, status="paused")
    session.reply()


def unpause(supervisor: Supervisor, session: Session, request: Request) -> None:
    """Thaw."""
    container = find(supervisor, request)
    if container.state.status != "paused":
        raise ContainerStateConflict(f'container "{container.launch.name}" is not paused')
    stopping.thaw(supervisor, container)
    session.reply()


def update(supervisor: Supervisor, session: Session, request: Request) -> None:
    """New limits for a running container, and launch.json read again."""
    launch = read_launch(supervisor.paths, container_id(request))
    container = supervisor.containers.get(launch.id)
    if container is not None:
        if container.alive:
            supervisor.surroundings.limit(launch, request["resources"])
        container.launch = launch
        if container.recorder is not None:
            container.recorder.limit(launch.log)
    session.reply()


def rename(supervisor: Supervisor, session: Session, request: Request) -> None:
    """A new name for messages."""
    container = supervisor.containers.get(container_id(request))
    if container is not None:
        container.launch = replace(container.launch, name=str(request["name"]))
    session.reply()


def forget(supervisor: Supervisor, session: Session, request: Request) -> None:
    """The client removes the container: refused while it lives; nobody starts it until the client leaves."""
    key = container_id(request)
    container = supervisor.containers.get(key)
    if container is not None and container.restart_timer is not None:
        restarting.cancel(supervisor, container)
    elif container is not None:
        raise ContainerStateConflict(
            f'container "{container.launch.name}" is {container.state.status}', hint="stop it first, or use rm -f"
        )
    if supervisor.removing.get(key, session) is not session:
        raise ContainerStateConflict(f'container "{key}" is being removed already')
    supervisor.removing[key] = session
    session.leaving.append(lambda: _forgotten(supervisor, key))
    undoing = supervisor.undoing.get(key)
    if undoing is None:
        session.reply()
    else:
        # the folder that says what is to be undone goes only after all of it is: we may be killed meanwhile
        undoing.append(session.reply)


def _forgotten(supervisor: Supervisor, key: str) -> None:
    supervisor.removing.pop(key, None)
    try:
        launch = read_launch(supervisor.paths, key)
    except ContainerNotFound:
        remove_run_folder(supervisor.paths.container_run(key))
        return
    if launch.auto_remove:
        supervisor.remover.remove(launch)


def list_op(supervisor: Supervisor, session: Session, _request: Request) -> None:
    """Containers under care."""
    session.reply(
        containers=[
            {"id": one.id, "name": one.launch.name, "status": one.state.status, "pid": one.state.pid}
            for one in supervisor.containers.values()
        ]
    )


def status(supervisor: Supervisor, session: Session, _request: Request) -> None:
    """The supervisor's own figures."""
    from holdall import __version__

    session.reply(
        pid=os.getpid(),
        version=__version__,
        clients=len(supervisor.sessions),
        containers=len(supervisor.containers),
    )


def retire(supervisor: Supervisor, _session: Session, _request: Request) -> None:
    """A client of another release: go, and leave the containers to a supervisor of that release."""
    supervisor.loop.stop()


OPERATIONS: dict[str, Operation] = {
    "start": start,
    "attach": attach_op,
    "wait": wait,
    "signal": signal,
    "stop": stop,
    "pause": pause,
    "unpause": unpause,
    "update": update,
    "rename": rename,
    "forget": forget,
    "list": list_op,
    "status": status,
    "exec": execs.execute,
    "detach": execs.detach,
    "retire": retire,
}
