"""The container of a RUN step: made of layers instead of an image, with the step's mounts, gone with the build.

It is bound to this process: the supervisor kills it when we are gone (supervisor/binding.py), and then removes it.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from functools import partial

from holdall.engine import step_owner, step_stubs
from holdall.engine.config import StoredConfig
from holdall.engine.create import check, lay_out
from holdall.engine.names import new_id, short
from holdall.engine.network_files import FILE_TARGETS
from holdall.engine.options import CreateOptions, Resources, Ulimit
from holdall.engine.remove import make_gone
from holdall.engine.resolve import resolve
from holdall.engine.step_mounts import StepMounts
from holdall.engine.step_times import StepTimes
from holdall.errors import CommandNotExecutable, CommandNotFound, StartError
from holdall.oci.container_config import ContainerConfig
from holdall.record import replace
from holdall.runtime.launch import Directory, Overlay
from holdall.store.cache_mounts import CacheMounts
from holdall.store.containers import ContainerRow
from holdall.supervisor.launch import LogLimits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from holdall.build.limits import Limits
    from holdall.build.options import BuildOptions
    from holdall.build.running import RunWork
    from holdall.build.stop import Stop
    from holdall.engine.attachment import Attachment
    from holdall.engine.container import Container
    from holdall.engine.engine import Engine
    from holdall.engine.resolve import Resolved
    from holdall.layer.hashing import Writable

LABEL = "holdall.build.step"
FALLBACK_SHELL = ("/bin/sh",)
KILLED = 9


class StepContainer:
    """A context manager: at its end the container is gone, and locks, secrets and sockets with it."""

    def __init__(self, engine: Engine, work: RunWork, options: BuildOptions, stop: Stop) -> None:
        self.work = work
        self._engine = engine
        self._options = options
        self._stop = stop
        self._stubs: tuple[str, ...] = ()
        self._removed = False
        self._starts = 0

    def __enter__(self) -> StepContainer:  # noqa: PYI034 (Self would import typing)
        with ExitStack() as stack:
            self.container = self._create(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _create(self, stack: ExitStack) -> Container:
        engine, work = self._engine, self.work
        container_id = new_id()
        self._mounts = mounts = StepMounts(engine, work, self._options, container_id, stack, self._stop.check)
        # whoever has the mount may be a container that a killed build has left at work
        mounts.claim(CacheMounts(engine.paths, self._stop.check, partial(make_gone, engine)))
        mounts.plan()
        options = self._create_options(container_id)
        check(options)
        # parents before what is mounted in them
        points = tuple(sorted(mounts.points, key=lambda point: point.target.split("/")))
        config = StoredConfig(options, resolved(options), points, "")
        step_owner.sweep(engine)
        lay_out(engine, container_id, work.diff_ids)
        step_owner.own(engine, container_id, stack)
        row = ContainerRow(
            container_id, f"build-{short(container_id)}", "", "build", time.time_ns(), config.dump(), options.labels,
            work.diff_ids,
        )  # fmt: skip
        try:
            engine.containers.store.insert_step(row)
        except BaseException:
            engine.containers.discard(container_id)
            raise
        container = engine.containers.get(container_id)
        stack.callback(self._remove, container)
        mounts.make()
        targets = [point.target for point in mounts.points]
        self._stubs = step_stubs.missing(engine, container_id, work.diff_ids, targets)
        self._times = StepTimes(engine, work.own, mounts.kept, self._stop.check)
        self._times.show(container)
        return container

    def _create_options(self, container_id: str) -> CreateOptions:
        step = self.work.step
        options = CreateOptions(
            image="build", command=step.args, entrypoint=(), env=(*step.env, *step.proxies),
            working_dir=step.working_dir, user=step.user,
            network="bridge" if step.network == "default" else step.network,
            hostname=step.hostname, labels={LABEL: short(container_id)}, auto_remove=True,
            privileged=step.security == "insecure", **limits_of(self._options.limits),
        )  # fmt: skip
        if not step.devices:
            return options
        from holdall.engine.cdi import with_devices

        options, points = with_devices(options, step.devices, self._options.allow)
        self._mounts.points += points
        return options

    def _remove(self, container: Container) -> None:
        if not self._removed:
            make_gone(self._engine, container.id)

    def remove(self, attachment: Attachment) -> None:
        """Remove the container, whose end this attachment has seen."""
        self.container.remove(volumes=True, connection=attachment.connection)
        self._removed = True

    def open(self) -> Attachment:
        """Start the command. While the attachment is open the supervisor leaves the removal to us.

        Raises StartError and its kin.
        """
        return self._open(self.container.config, stdin=False)

    def shell(self) -> Attachment:
        """Start an interactive shell where the command ran, once that has ended: the stage's SHELL, else /bin/sh.

        What the command left is there; tmpfs mounts are empty again. Raises StartError when there is no shell.
        """
        tried: list[str] = []
        for args in dict.fromkeys([interactive(self.work.step.shell), FALLBACK_SHELL]):
            try:
                return self.terminal(args)
            except (CommandNotFound, CommandNotExecutable):
                tried.append(args[0])
        raise StartError(f"there is no shell in these files: no {' and no '.join(tried)}")

    def command(self, args: tuple[str, ...]) -> Attachment:
        """Start a program in place of the command, without a terminal or input. Raises StartError and its kin."""
        config = self.container.config
        options = replace(config.options, command=args)
        return self._open(replace(config, options=options, resolved=resolved(options)), stdin=False)

    def terminal(self, args: tuple[str, ...]) -> Attachment:
        """Start a program with a terminal in place of the command. Raises StartError and its kin."""
        config = self.container.config
        options = replace(config.options, command=args, tty=True, open_stdin=True)
        return self._open(replace(config, options=options, resolved=resolved(options)), stdin=True)

    def _open(self, config: StoredConfig, *, stdin: bool) -> Attachment:
        from holdall.engine.attachment import Attachment
        from holdall.engine.start import prepare

        mounts = self._mounts
        row = self._engine.containers.store.get(self.container.id)
        more = {
            "bound": True,
            "log": LogLimits(max_files=0),
            "asides": tuple(mounts.asides),
            "secret_env": tuple(mounts.environ),
            "rootfs": self._root(),
        }
        prepare(self._engine, row, config, more)
        return Attachment.open(
            self.container.connect(), self.container.id, start=True, stdin=stdin, stdout=True, stderr=not stdin,
            terminal=stdin,
        )  # fmt: skip

    def _root(self) -> Overlay | Directory:
        """The files; what is written there is not synced: its layer will be, and nothing else of it stays."""
        root = self._engine.containers.snapshots.rootfs(self.container.id, self.work.diff_ids)
        if not isinstance(root, Overlay):
            return root
        # a work folder that was used so cannot be used again
        work = f"{self.container.folder}/step/work{self._starts}"
        self._starts += 1
        os.mkdir(work, 0o700)
        return replace(root, work=work, volatile=True)

    def kill(self) -> None:
        """End the command now."""
        self.container.deliver(KILLED)

    def write(self, out: Writable) -> None:
        """Write the tar of what the command, which has ended well, has changed. Raises OSError, Unsupported."""
        from holdall.layer.diff import write_layer

        step_stubs.remove(self._engine, self.container.id, self._stubs)
        skipped = (*FILE_TARGETS, *[point.target for point in self._mounts.points])
        with self._engine.containers.snapshots.written(self.container.id, self.work.diff_ids) as (upper, lowers):
            write_layer(upper, lowers, out, placeholders=skipped, latest=self.work.epoch, shown=self._times.shown)
        self._times.note()


def resolved(options: CreateOptions) -> Resolved:
    """As for any container, but that the machine's name is no variable, as it is none with BuildKit."""
    found = resolve(options, ContainerConfig(), "")
    return replace(found, env=tuple([entry for entry in found.env if entry != "HOSTNAME="]))


def limits_of(limits: Limits) -> dict[str, Any]:
    """As options of a container."""
    resources = Resources(
        memory=limits.memory, memory_swap=limits.memory_swap, cpu_shares=limits.cpu_shares,
        cpu_period=limits.cpu_period, cpu_quota=limits.cpu_quota, cpuset_cpus=limits.cpuset_cpus,
        cpuset_mems=limits.cpuset_mems,
    )  # fmt: skip
    ulimits = tuple([Ulimit(*one) for one in limits.ulimits])
    return {"resources": resources, "ulimits": ulimits, "shm_size": limits.shm_size, "add_hosts": limits.add_hosts}


def interactive(shell: tuple[str, ...]) -> tuple[str, ...]:
    """A SHELL without the flag that makes it read a command line: ["/bin/bash", "-ec"] is /bin/bash."""
    args = shell[:-1] if len(shell) > 1 and shell[-1].startswith(("-", "/")) else shell
    return args or FALLBACK_SHELL
