"""What the store and the engine ask of a snapshot driver."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    from holdall.events import Reporter
    from holdall.image.image import Layer
    from holdall.store.trees import Aside


@record
class LayerInfo:
    """One unpacked layer: its diff-id as text, the bytes of its files, the number of its entries."""

    diff_id: str
    size: int
    entries: int


if TYPE_CHECKING:

    class Snapshotter(Protocol):
        """Layers by diff-id, each made once and never changed; and a writable folder for each container."""

        name: str

        def has(self, diff_id: str) -> bool:
            """Whether the layer is there whole."""

        def ensure(self, layer: Layer, progress: Reporter) -> LayerInfo:
            """Make the layer from its blob unless it is there; durable when it returns.

            Several processes may ask for one layer: one does the work. Raises IntegrityError (nothing is left),
            InvalidArchive, LimitExceeded, NoSpace.
            """

        def lowers(self, diff_ids: Sequence[str]) -> tuple[str, ...]:
            """Folders to mount, uppermost first, of layers given base first. Raises StoreCorrupt."""

        def prepare(self, container_id: str, diff_ids: Sequence[str] = ()) -> tuple[str, str]:
            """The container's upper and work folders, made if missing."""

        def usage(self, diff_id: str) -> int:
            """Bytes on disk of one layer."""

        def upper_usage(self, container_id: str) -> int:
            """Bytes on disk of what a container has written."""

        def set_aside(self, diff_id: str) -> Aside | None:
            """Make the layer vanish at once; the caller deletes what is given back. None when it is not there."""

        def diff_ids(self) -> Iterator[str]:
            """All layers there are."""

        def leftovers(self, *, claim: bool) -> list[Aside]:
            """What crashes left behind, owned by nobody; renamed out of reach when the caller is to delete it."""
