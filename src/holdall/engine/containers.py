"""The collection of containers: create, run, list, get, prune."""

from __future__ import annotations

from holdall.engine.container import Container
from holdall.events import silent
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdall.engine.engine import Engine
    from holdall.engine.options import CreateOptions
    from holdall.events import Reporter
    from holdall.store.containers import Containers as ContainerStore
    from holdall.store.snapshots.layers import Layers


@record
class Completed:
    """A container that ran to its end: `exit_code` None when nobody can know it; the output as bytes."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes


@record
class Pruned:
    """What a prune removed (IDs or names) and how many bytes on disk that freed."""

    removed: tuple[str, ...]
    reclaimed: int


class Containers:
    """The containers of one store."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def store(self) -> ContainerStore:
        """The rows (internal)."""
        from holdall.store.containers import Containers as ContainerStore

        return ContainerStore(self.engine.database())

    @property
    def snapshots(self) -> Layers:
        """Layers and root file systems (internal)."""
        return self.engine.snapshots

    def discard(self, container_id: str) -> None:
        """Delete a container's folder (internal); idempotent, and garbage for `gc` when it is cut short."""
        from holdall.store.trees import set_aside

        aside = set_aside(self.engine.paths.container(container_id))
        if aside is not None:
            aside.remove()

    def create(self, options: CreateOptions, *, reporter: Reporter = silent) -> Container:
        """Make a container without starting it, pulling its image if `options.pull` allows.

        Raises ImageNotFound, NameInUse, InvalidOption, Unsupported, RegistryError.
        """
        from holdall.engine.create import create

        row, config = create(self.engine, options, reporter)
        return Container(self.engine, row, config)

    def run(self, options: CreateOptions, *, stdin: bytes | None = None, reporter: Reporter = silent) -> Completed:
        """Make a container, run it to its end, and return what it printed. With `options.auto_remove` it is removed.

        Raises what `create` and `Container.start` raise; a failing command is no error but an exit code.
        """
        from holdall.record import replace

        options = replace(options, tty=False, open_stdin=stdin is not None, stdin_once=stdin is not None)
        container = self.create(options, reporter=reporter)
        try:
            attachment = container.open(start=True, stdin=stdin is not None)
            stdout, stderr = attachment.communicate(stdin)
            return Completed(attachment.wait(), stdout, stderr)
        finally:
            if options.auto_remove:
                container.remove(force=True, volumes=True)

    def get(self, name: str) -> Container:
        """The container with this name, ID or unique prefix of an ID. Raises ContainerNotFound."""
        return Container(self.engine, self.store.get(name))

    def list(
        self,
        *,
        all: bool = False,
        filters: Mapping[str, Sequence[str]] | None = None,
        limit: int = 0,
    ) -> list[Container]:
        """Containers, newest first; the running ones unless `all` (or a status filter, or `limit` > 0) is given.

        `filters` are Docker's: id, name, label, status, exited, ancestor, before, since, volume, network, publish,
        expose, is-task is refused. Raises InvalidOption for an unknown one.
        """
        from holdall.engine.filters import ContainerFilter

        chosen = ContainerFilter(self, filters or {})
        everything = all or limit > 0 or chosen.wants_stopped
        found = []
        for row in self.store.list():
            container = Container(self.engine, row)
            if (everything or container.state.alive or container.state.status == "restarting") and chosen.keeps(
                container
            ):
                found.append(container)
        return found[:limit] if limit > 0 else found

    def prune(self, filters: Mapping[str, Sequence[str]] | None = None) -> Pruned:
        """Remove every container that does not run and passes the filters (label, until). Raises InvalidOption.

        Those of builds under way stay: their layers are being written, or they are about to start.
        """
        from holdall.engine import step_owner
        from holdall.engine.filters import PruneFilter
        from holdall.errors import ContainerNotFound, ContainerStateConflict
        from holdall.store.trees import disk_usage

        keep = PruneFilter(filters or {})
        removed, freed = [], 0
        for row in self.store.list():
            container = Container(self.engine, row)
            if container.state.alive or container.state.status == "restarting":
                continue
            if not keep.removes(row.created, row.labels) or (not row.image and step_owner.owned(self.engine, row.id)):
                continue
            size = disk_usage(self.engine.paths.container(row.id))
            try:
                container.remove()
            except (ContainerNotFound, ContainerStateConflict):
                continue
            removed.append(row.id)
            freed += size
        return Pruned(tuple(removed), freed)
