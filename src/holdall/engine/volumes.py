"""The collection of volumes."""

from __future__ import annotations

from holdall.errors import HoldallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from holdall.engine.containers import Pruned
    from holdall.engine.engine import Engine
    from holdall.store.volumes import Volume
    from holdall.store.volumes import Volumes as VolumeStore


class Volumes:
    """The named (and anonymous) volumes of one store."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def store(self) -> VolumeStore:
        """The rows and folders (internal)."""
        from holdall.store.volumes import Volumes as VolumeStore

        return VolumeStore(self._engine.paths, self._engine.database())

    def create(self, name: str = "", *, labels: Mapping[str, str] | None = None) -> Volume:
        """Make a volume, or return the one that has the name; without a name an anonymous one. Raises InvalidOption."""
        return self.store.create(name, label=labels)

    def get(self, name: str) -> Volume:
        """The volume `name`. Raises VolumeNotFound."""
        return self.store.get(name)

    def list(self, filters: Mapping[str, Sequence[str]] | None = None) -> list[Volume]:
        """Volumes by name that pass the filters name, label, dangling. Raises InvalidOption."""
        from holdall.engine.filters import volume_passes

        store = self.store
        return [volume for volume in store.list() if volume_passes(volume, store, filters or {})]

    def remove(self, name: str, *, force: bool = False) -> None:
        """Delete a volume and its data; with `force` a missing one is no error. Raises VolumeInUse, VolumeNotFound."""
        from holdall.errors import VolumeNotFound

        try:
            self.store.remove(name)
        except VolumeNotFound:
            if not force:
                raise

    def prune(
        self,
        *,
        all: bool = False,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> Pruned:
        """Delete volumes no container uses: anonymous ones, or all. Filters: label, label!. Raises InvalidOption."""
        from holdall.engine.containers import Pruned
        from holdall.engine.filters import check_names

        chosen = filters or {}
        check_names(chosen, ("label", "label!", "all"))
        everything = all or "true" in chosen.get("all", ())
        removed = self.store.prune(
            everything=everything, wanted=chosen.get("label", ()), unwanted=chosen.get("label!", ())
        )
        return Pruned(tuple([name for name, _ in removed]), sum(size for _, size in removed))

    def inspect(self, name: str) -> dict[str, Any]:
        """A volume in the shape of `docker volume inspect`. Raises VolumeNotFound."""
        from holdall.engine.times import rfc3339

        volume = self.get(name)
        return {
            "CreatedAt": rfc3339(volume.created // 10**9 * 10**9),
            "Driver": "local",
            "Labels": dict(volume.labels) or None,
            "Mountpoint": volume.path,
            "Name": volume.name,
            "Options": None,
            "Scope": "local",
        }


def drop_anonymous(store: VolumeStore, names: Sequence[str]) -> None:
    """Delete those of the volumes that are anonymous; one still in use stays."""
    for name in names:
        volume = store.find(name)
        if volume is None or not volume.anonymous:
            continue
        try:
            store.remove(name)
        except HoldallError:
            continue
