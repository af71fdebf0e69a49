"""Start a container: everything it needs, one fork, and the wait for its program to be executed.

The child mounts its root file system while we see to ports and network; nothing here waits for it. Whatever fails
on the way is kept as the container's `failure`, the child is killed, and its end undoes all of it (see ending.py).
"""

from __future__ import annotations

import os
import time

from holdall.errors import HoldallError
from holdall.runtime import create, status
from holdall.runtime.launch import Launch as RuntimeLaunch
from holdall.runtime.launch import Overlay, Stdio
from holdall.supervisor import ending, fifos
from holdall.supervisor.bundles import read_filter, read_spec
from holdall.supervisor.loop import IN
from holdall.supervisor.output import Output
from holdall.supervisor.ownlog import log, log_failure
from holdall.supervisor.recorder import recorder
from holdall.supervisor.runfolder import make_run_folder
from holdall.supervisor.state import start_ticks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.runtime.process import Process
    from holdall.supervisor.container import Container
    from holdall.supervisor.recorder import Recorder, Unrecorded
    from holdall.supervisor.supervisor import Supervisor

    Done = Callable[[BaseException | None], None]


def begin(supervisor: Supervisor, container: Container, done: Done) -> None:
    """Start the container; `done` is called with None when its program runs, or with what went wrong."""
    container.starting = done
    container.failure = None
    container.manual = False
    container.begun = time.monotonic()
    container.set(status="starting", pid=0, start_ticks=0, error="", oom_killed=False, ports=(), address="")
    try:
        _spawn(supervisor, container)
    except (HoldallError, OSError) as err:
        abort(supervisor, container, err)
    except Exception as err:  # noqa: BLE001  (a bug of ours must not leave a container half started)
        log_failure(err)
        abort(supervisor, container, err)


def abort(supervisor: Supervisor, container: Container, err: BaseException) -> None:
    """Give up a start: kill the child, whose end then cleans up; or clean up at once when there is none yet."""
    if container.failure is None:
        container.failure = err
    if container.process is None:
        ending.end(supervisor, container, None)
    else:
        container.process.abort()


def _spawn(supervisor: Supervisor, container: Container) -> None:
    launch = container.launch
    folder = supervisor.paths.container(container.id)
    run = supervisor.paths.container_run(container.id)
    spec = read_spec(folder)
    for root in (launch.rootfs, *[one.root for one in launch.asides]):
        if isinstance(root, Overlay) and root.mounts:
            from holdall.runtime import layers

            layers.ensure(root.mounts)
    seccomp = read_filter(launch.seccomp)
    make_run_folder(run)
    container.recorder = recorder(container.id, folder, launch.log, run, supervisor.journal)
    procs = supervisor.surroundings.make_cgroup(launch)
    order = RuntimeLaunch(
        bundle=folder,
        spec=spec,
        rootfs=launch.rootfs,
        user=launch.user or None,
        groups=launch.groups,
        seccomp_bpf=seccomp,
        cgroup_procs=procs,
        init=launch.init,
        container_id=container.id,
        asides=launch.asides,
        secret_env=launch.secret_env,
    )
    if launch.terminal:
        process = create.spawn(order, None)
    else:
        process = _spawn_with_pipes(supervisor, container, order, run)
    container.process = process
    container.pidfd = process.pidfd
    supervisor.loop.add(process.pidfd, IN, lambda _mask: _ended(supervisor, container))
    supervisor.loop.add(process.status.fileno(), IN, lambda _mask: _told(supervisor, container))
    supervisor.save(container, pid=process.pid, start_ticks=start_ticks(process.pid), boot_id=supervisor.boot_id)
    _connect(supervisor, container)
    process.proceed()
    supervisor.keeper.ready()


def _spawn_with_pipes(supervisor: Supervisor, container: Container, order: RuntimeLaunch, run: str) -> Process:
    launch = container.launch
    fifos.create(run, stdin=launch.open_stdin)
    inside: list[int] = []
    try:
        inside.append(_open_stdin(container, run))
        for name in fifos.STREAMS:
            inside.append(fifos.open_inside(run, name))
            output = Output(supervisor.loop, fifos.open_reader(run, name), name, _recorder(container))
            container.outputs.append(output)
        return create.spawn(order, Stdio(*inside))
    finally:
        for fd in inside:
            os.close(fd)


def _open_stdin(container: Container, run: str) -> int:
    """The container's standard input: nothing, a pipe that never ends, or one that ends with its client."""
    launch = container.launch
    if not launch.open_stdin:
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    if not launch.stdin_once:
        return fifos.open_inside(run, fifos.STDIN)
    inside, container.stdin_writer = fifos.open_inside_once(run)
    return inside


def _recorder(container: Container) -> Recorder | Unrecorded:
    assert container.recorder is not None
    return container.recorder


def _connect(supervisor: Supervisor, container: Container) -> None:
    """Ports and network, while the child mounts."""
    process = container.process
    assert process is not None
    surroundings = supervisor.surroundings
    container.reservations, ports = surroundings.reserve_ports(container.launch)
    address = surroundings.attach_network(container.launch, ports, process.netns_fd)
    if surroundings.remade:
        surroundings.remade = False
        for other in supervisor.containers.values():
            if other is not container and other.state.alive:
                surroundings.publish_again(other.launch, other.state.ports)
    process.close_netns()
    container.set(ports=ports, address=address)


def _told(supervisor: Supervisor, container: Container) -> None:
    """The child said something on the status socket."""
    process = container.process
    if process is None or process.status.fileno() < 0:
        return
    for message in status.read(process):
        if isinstance(message, status.Terminal):
            _take_terminal(supervisor, container, message.fd)
        elif isinstance(message, status.Warned):
            log(f"{container.id}: {message.text}")
        else:
            supervisor.loop.remove(process.status.fileno())
            process.close_status()
            if isinstance(message, status.Failed):
                abort(supervisor, container, message.error)
            elif container.failure is None:
                _running(supervisor, container)


def _ended(supervisor: Supervisor, container: Container) -> None:
    """The process is gone: first hear whether it had executed the program."""
    if container.starting is not None or container.state.status == "starting":
        _told(supervisor, container)
    ending.ended(supervisor, container)


def _take_terminal(supervisor: Supervisor, container: Container, master: int) -> None:
    os.set_blocking(master, False)
    container.outputs.append(Output(supervisor.loop, master, "stdout", _recorder(container)))


def _running(supervisor: Supervisor, container: Container) -> None:
    # held first: a container that counts as running is one whose exit code survives us
    supervisor.keeper.keep(container)
    supervisor.save(container, status="running", started_at=time.time_ns(), finished_at=0, exit_code=None)
    done, container.starting = container.starting, None
    if done is not None:
        done(None)
