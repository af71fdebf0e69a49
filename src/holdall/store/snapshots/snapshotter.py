"""What the store and the engine ask of a snapshot driver: `erofs`, `overlay` or `copy` (see `choose.py`)."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Protocol, Self

    from holdall.events import Reporter
    from holdall.image.image import Layer
    from holdall.oci.digest import Digest
    from holdall.runtime.launch import Directory, LayerMount, Overlay
    from holdall.store.content import ContentStore
    from holdall.store.trees import Aside


@record
class LayerInfo:
    """One layer: its diff-id as text, the bytes of its files, the number of its entries, and the bytes of its tar,
    which is the blob with the diff-id as digest; 0 when the layer was unpacked and no tar is kept."""

    diff_id: str
    size: int
    entries: int
    tar_size: int = 0


if TYPE_CHECKING:

    class LayerWriter(Protocol):
        """Takes the uncompressed tar of one layer, in order. A context manager; left without `commit` nothing remains.

        Not for several threads at once. Work is done in threads of its own, so `write` returns before the bytes are
        on disk; what goes wrong there is raised by a later `write` or by `commit`.
        """

        complete: bool
        """Nothing needs to be written: the layer is there, or its tar was and has been indexed. `commit` says what it
        is; bytes written all the same are ignored."""
        found: bool
        """The layer was there already: somebody else was faster."""

        def write(self, data: bytes | memoryview, /) -> int:
            """Take the next bytes, all of them; how many. A memoryview may be used again after the call.

            Waits when the disk is slower: memory stays bounded. Raises InvalidArchive, LimitExceeded, NoSpace.
            """

        def commit(self, expected: Digest | None = None) -> LayerInfo:
            """Verify the diff-id (that of `begin`, or `expected`) or learn it; make the layer durable and visible.

            Idempotent when the layer is there. Raises IntegrityError, InvalidArchive, LimitExceeded, NoSpace.
            """

        def __enter__(self) -> Self: ...

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
        ) -> None: ...

    class Snapshotter(Protocol):
        """Layers by diff-id, each made once and never changed; and a writable root for each container.

        A store may hold layers that different drivers made: the driver says how new ones are made and how a new
        container gets its root; everything else takes what is there.
        """

        name: str
        keeps_tar: bool
        """Whether a layer made by it leaves its tar in blobs/, from which compressed forms can be made again."""

        def has(self, diff_id: str) -> bool:
            """Whether the layer is there whole."""

        def info(self, diff_id: str) -> LayerInfo:
            """What was noted when the layer was made; zeros when the note is unreadable."""

        def begin(self, diff_id: Digest | None = None, blobs: ContentStore | None = None) -> LayerWriter:
            """Begin to make a layer from its tar. `blobs` (a HeldContent) is where a tar is kept and announced.

            With a diff-id the caller waits while another process makes the same layer. Raises NoSpace, NotPermitted.
            """

        def ensure(self, layer: Layer, progress: Reporter) -> LayerInfo:
            """Make the layer from its blob unless it is there; durable when it returns.

            Several processes may ask for one layer: one does the work. Raises IntegrityError (nothing is left),
            InvalidArchive, LimitExceeded, NoSpace.
            """

        def mounts(self, diff_ids: Sequence[str]) -> tuple[LayerMount, ...]:
            """What has to be mounted on the host before `lowers` can be used, each layer once. Pure: mounts nothing."""

        def lowers(self, diff_ids: Sequence[str]) -> tuple[str, ...]:
            """Folders to mount, uppermost first, of layers given base first. Raises StoreCorrupt."""

        def view(self, diff_ids: Sequence[str]) -> AbstractContextManager[tuple[str, ...]]:
            """The same for this process alone, and without anything in the host's mount table. Raises OSError."""

        def missing(self, diff_id: str) -> tuple[tuple[int, int], ...]:
            """Ranges (offset, length) of the layer's tar that are not there yet; () when the layer is whole."""

        def prepare(self, container_id: str, diff_ids: Sequence[str] = ()) -> None:
            """Make the folders (or the copy) that will be the container's root, if missing."""

        def rootfs(self, container_id: str, diff_ids: Sequence[str]) -> Overlay | Directory:
            """The container's root, as `prepare` made it, for the supervisor. Raises StoreCorrupt."""

        def usage(self, diff_id: str) -> int:
            """Bytes on disk of one layer's own folder; its tar is a blob and counted there."""

        def upper_usage(self, container_id: str) -> int:
            """Bytes on disk of what a container has written (of its whole root when that is a copy)."""

        def set_aside(self, diff_id: str) -> Aside | None:
            """Make the layer vanish at once; the caller deletes what is given back. None when it is not there."""

        def diff_ids(self) -> Iterator[str]:
            """All layers there are."""

        def leftovers(self, *, claim: bool) -> list[Aside]:
            """What crashes left behind, owned by nobody; renamed out of reach when the caller is to delete it."""
