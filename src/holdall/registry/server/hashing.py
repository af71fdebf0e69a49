"""Hashes of uploads under way, so that the end of an upload need not read it again. Only a help: may be lost.

For local files they are kept in memory. Bytes that several instances write to hold a note of the hash beside them.
"""

from __future__ import annotations

from collections import OrderedDict

from holdall.oci.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

    from holdall.registry.server.hashstate import Hasher
    from holdall.registry.server.storage import Writing

MAX_KEPT = 4_096
STEP = 1 << 20


class Rolling:
    """A hash of an upload's first `offset` bytes."""

    def __init__(self, algorithm: str, hasher: Hasher | None = None, offset: int = 0) -> None:
        self.hasher: _Hash | Hasher = Digest(algorithm, "").hasher() if hasher is None else hasher
        self.offset = offset

    def update(self, data: bytes) -> None:
        """Take more bytes in."""
        self.hasher.update(data)
        self.offset += len(data)

    def catch_up(self, writing: Writing) -> None:
        """Hash what was written while nobody hashed."""
        while self.offset < writing.offset:
            data = writing.read(self.offset, STEP)
            if not data:
                raise OSError(f"upload ends at {self.offset} bytes of {writing.offset}")
            self.update(data)

    @property
    def digest(self) -> Digest:
        """The digest of the bytes so far."""
        return Digest(self.hasher.name, self.hasher.hexdigest())


class Hashes:
    """Rolling hashes by upload; the ones unused longest are dropped."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Rolling] = OrderedDict()

    def take(self, upload: str, algorithm: str, writing: Writing) -> Rolling:
        """The hash of an upload, a new one when none is kept or it does not fit."""
        kept = self._kept.pop(upload, None)
        if kept is not None and kept.offset <= writing.offset and kept.hasher.name == algorithm:
            return kept
        return Rolling(algorithm)

    def keep(self, upload: str, rolling: Rolling, writing: Writing) -> None:  # noqa: ARG002
        """Keep the hash for the upload's next part."""
        self._kept[upload] = rolling
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def drop(self, upload: str) -> None:
        """Forget an upload."""
        self._kept.pop(upload, None)


class NotedHashes:
    """Rolling hashes in notes beside the bytes, for uploads that any instance may go on with; see `Writing.note`."""

    def take(self, upload: str, algorithm: str, writing: Writing) -> Rolling:  # noqa: ARG002
        """The hash of an upload, a new one when there is no note."""
        from holdall.registry.server import hashstate

        name, _, state = writing.note.partition(b" ")
        if writing.offset and name == algorithm.encode() and (found := hashstate.new(algorithm, state)) is not None:
            return Rolling(algorithm, found, writing.offset)
        return Rolling(algorithm, hashstate.new(algorithm))

    def keep(self, upload: str, rolling: Rolling, writing: Writing) -> None:  # noqa: ARG002
        """Note the hash for the upload's next part, wherever that goes to."""
        from holdall.registry.server.hashstate import Hasher

        if isinstance(rolling.hasher, Hasher) and rolling.offset == writing.offset:
            writing.note = rolling.hasher.name.encode() + b" " + rolling.hasher.state()

    def drop(self, upload: str) -> None:
        """Nothing is kept here."""
