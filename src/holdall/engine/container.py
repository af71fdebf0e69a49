"""One container: its facts and everything one can do with it."""

from __future__ import annotations

from holdall.engine.config import StoredConfig
from holdall.engine.names import check_name, short
from holdall.engine.signals import parse_signal
from holdall.errors import ContainerNotFound, ContainerStateConflict
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, BinaryIO

    from holdall.engine.attachment import Attachment
    from holdall.engine.engine import Engine
    from holdall.engine.execute import ExecOptions
    from holdall.engine.image import Image
    from holdall.engine.logs import LogLine
    from holdall.engine.options import Resources, RestartPolicy
    from holdall.engine.statistics import Sample
    from holdall.store.containers import ContainerRow
    from holdall.supervisor.client import Connection
    from holdall.supervisor.state import State


class Container:
    """A handle on one container of a store; facts that change (`state`, `name`) are read when asked for."""

    def __init__(self, engine: Engine, row: ContainerRow, config: StoredConfig | None = None) -> None:
        self._engine = engine
        self._row = row
        self._config = config

    def __repr__(self) -> str:
        return f"<Container {self.short_id} {self.name!r}>"

    @property
    def id(self) -> str:
        """64 hex digits."""
        return self._row.id

    @property
    def short_id(self) -> str:
        """The first 12 digits."""
        return short(self._row.id)

    @property
    def name(self) -> str:
        """The container's name, without slash."""
        return self._row.name

    @property
    def image(self) -> str:
        """The image as the caller named it."""
        return self._row.reference

    @property
    def image_id(self) -> str:
        """The image's ID, "sha256:…"."""
        return self._row.image

    @property
    def created(self) -> int:
        """Nanoseconds since the epoch."""
        return self._row.created

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of the image and the caller."""
        return self._row.labels

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """Layers of the image the container stands on, base first."""
        return self._row.layers

    @property
    def config(self) -> StoredConfig:
        """Options and what they were resolved to. Raises StoreCorrupt."""
        if self._config is None:
            self._config = StoredConfig.load(self._row.config)
        return self._config

    @property
    def folder(self) -> str:
        """The container's folder in the store."""
        return self._engine.paths.container(self.id)

    @property
    def state(self) -> State:
        """What the container is doing now."""
        from holdall.supervisor.state import read_state

        return read_state(self._engine.paths, self.id)

    @property
    def running(self) -> bool:
        """Whether a process of it exists (paused counts)."""
        return self.state.alive

    def refresh(self) -> None:
        """Read name and configuration again. Raises ContainerNotFound when it was removed."""
        self._row = self._engine.containers.store.get(self.id)
        self._config = None

    def start(self) -> None:
        """Start it detached; no error when it runs already.

        Raises StartError and its kin, PortInUse, and ContainerStateConflict when it is paused.
        """
        from holdall.engine.start import prepare

        state = self.state
        if state.status == "paused":
            raise ContainerStateConflict(
                f'cannot start container "{self.name}": it is paused', hint=f"thaw it with holdall unpause {self.name}"
            )
        if state.alive:
            return
        prepare(self._engine, self._row, self.config)
        with self.connect() as connection:
            connection.start(self.id)

    def open(self, *, start: bool = False, stdin: bool = False, stdout: bool = True, stderr: bool = True) -> Attachment:
        """Attach to its streams, starting it first if asked. Raises ContainerStateConflict when it does not run."""
        from holdall.engine.attachment import Attachment
        from holdall.engine.start import prepare

        if start:
            prepare(self._engine, self._row, self.config)
        return Attachment.open(
            self.connect(), self.id, start=start, stdin=stdin, stdout=stdout, stderr=stderr,
            terminal=self.config.options.tty,
        )  # fmt: skip

    def stop(self, *, timeout: int | None = None, signal: str | None = None) -> int | None:
        """Stop it: the stop signal, `timeout` seconds (-1: for ever), then SIGKILL; return the exit code."""
        connection = self._running_connection()
        if connection is None:
            return self.state.exit_code
        with connection:
            number = parse_signal(signal) if signal else None
            return connection.stop(self.id, signal=number, timeout=timeout).code

    def restart(self, *, timeout: int | None = None, signal: str | None = None) -> None:
        """Stop it if it runs, and start it."""
        self.stop(timeout=timeout, signal=signal)
        self.start()

    def kill(self, signal: str = "KILL") -> None:
        """Send a signal to its first process. Raises ContainerStateConflict when it does not run."""
        number = parse_signal(signal)
        with self._need_running("cannot kill") as connection:
            connection.signal(self.id, number)

    def pause(self) -> None:
        """Freeze all its processes. Raises ContainerStateConflict."""
        with self._need_running("cannot pause") as connection:
            connection.pause(self.id)

    def unpause(self) -> None:
        """Thaw it. Raises ContainerStateConflict."""
        with self._need_running("cannot unpause") as connection:
            connection.unpause(self.id)

    def wait(self) -> int | None:
        """Wait for its end and return the exit code, None when nobody can know it; at once when it does not run."""
        connection = self._running_connection()
        if connection is None:
            return self.state.exit_code
        with connection:
            return connection.wait(self.id).code

    def deliver(self, number: int) -> None:
        """Send a signal by number; a container that has just ended is no error."""
        try:
            self.kill(str(number))
        except (ContainerStateConflict, ContainerNotFound):
            pass

    def remove(self, *, force: bool = False, volumes: bool = False, connection: Connection | None = None) -> None:
        """Remove it (killing it first with `force`), and its anonymous volumes if asked.

        `connection` is one that has seen its end (internal: it saves `run --rm` another one). Raises
        ContainerStateConflict when it runs and `force` is not given.
        """
        from holdall.engine.remove import forget, remove

        if connection is not None:
            forget(self._engine, self, connection, volumes=volumes)
        else:
            remove(self._engine, self, force=force, volumes=volumes)

    def rename(self, name: str) -> None:
        """Give it another name. Raises NameInUse, InvalidOption."""
        new = check_name(name)
        self._engine.containers.store.rename(self.id, new)
        self._row = replace(self._row, name=new)
        connection = self._running_connection()
        if connection is not None:
            from holdall.engine.start import rewrite

            with connection:
                rewrite(self._engine, self._row, self.config)
                connection.rename(self.id, new)

    def update(self, resources: Resources, restart: RestartPolicy | None = None) -> None:
        """Change limits (those given; None leaves one as it is) and the restart policy, also while it runs."""
        from holdall.engine.update import update

        self._row, self._config = update(self._engine, self._row, self.config, resources, restart)

    def logs(
        self,
        *,
        follow: bool = False,
        since: int | None = None,
        until: int | None = None,
        tail: int | None = None,
    ) -> Iterator[LogLine]:
        """What it printed: `since` and `until` in nanoseconds since the epoch, `tail` lines from the end.

        With `follow` the iterator goes on until the container ends.
        """
        from holdall.engine.logs import read

        def alive() -> bool:
            state = self.state
            return state.alive or state.status == "restarting"

        return read(self.folder + "/logs", alive, follow=follow, since=since, until=until, tail=tail)

    def execute(self, options: ExecOptions) -> Attachment:
        """Run one more process in it. Raises ContainerStateConflict, CommandNotFound, CommandNotExecutable."""
        from holdall.engine.execute import execute

        return execute(self._need_running("cannot exec in"), self, options)

    def exec(self, *command: str, user: str = "", env: Sequence[str] = (), working_dir: str = "") -> Any:
        """Run a command in it to its end: a `Completed` with exit code and output. Raises as `execute`."""
        from holdall.engine.containers import Completed
        from holdall.engine.execute import ExecOptions

        attachment = self.execute(ExecOptions(command, user=user, env=tuple(env), working_dir=working_dir))
        stdout, stderr = attachment.communicate(None)
        return Completed(attachment.wait(), stdout, stderr)

    def inspect(self, *, size: bool = False) -> dict[str, Any]:
        """Everything about it, in the shape of `docker inspect`."""
        from holdall.engine.inspect import container_json

        return container_json(self._engine, self, size=size)

    def top(self, *arguments: str) -> list[list[str]]:
        """Its processes as rows of cells, the first row being the titles; `arguments` are those of ps(1)."""
        from holdall.engine.top import top

        return top(self._engine, self, arguments)

    def stats(self) -> Sample:
        """What it uses now, read from its cgroup. Raises ContainerStateConflict when it does not run."""
        from holdall.engine.statistics import sample

        return sample(self._engine, self)

    def written(self) -> int:
        """Bytes on disk of what it has written."""
        return self._engine.containers.snapshots.upper_usage(self.id)

    def diff(self) -> list[tuple[str, str]]:
        """What it changed in its file system: pairs of "A", "C" or "D" and a path."""
        from holdall.engine.rootfs import diff

        return diff(self._engine, self)

    def export(self, out: BinaryIO) -> None:
        """Write its whole file system as a tar."""
        from holdall.engine.rootfs import export

        export(self._engine, self, out)

    def copy_out(self, path: str, out: BinaryIO, *, follow: bool = False) -> None:
        """Write a file or folder of it as a tar, named by its base name. Raises PathNotFound."""
        from holdall.engine.copy import copy_out

        copy_out(self._engine, self, path, out, follow=follow)

    def copy_in(self, path: str, archive: BinaryIO, *, keep_owner: bool = False) -> None:
        """Unpack a tar into a folder of it. Raises PathNotFound, InvalidArchive."""
        from holdall.engine.copy import copy_in

        copy_in(self._engine, self, path, archive, keep_owner=keep_owner)

    def commit(
        self,
        name: str | None = None,
        *,
        author: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        pause: bool = True,
    ) -> Image:
        """Make an image of it: its image's layers and one more with its changes. Returns the new image."""
        from holdall.engine.commit import commit

        return commit(self._engine, self, name, author=author, message=message, changes=changes, pause=pause)

    def connect(self) -> Connection:
        """A connection to the store's supervisor, which is brought up for it (internal)."""
        return self._engine.connect()

    def _running_connection(self) -> Connection | None:
        """A connection when there is anything to talk about; a crashed supervisor is brought back for it."""
        state = self.state
        return self.connect() if state.alive or state.status == "restarting" else None

    def _need_running(self, doing: str) -> Connection:
        connection = self._running_connection()
        if connection is None:
            raise ContainerStateConflict(
                f'{doing} container "{self.name}": it is not running', hint=f"start it with holdall start {self.name}"
            )
        return connection
