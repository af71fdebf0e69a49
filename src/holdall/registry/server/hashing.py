"""Hashes of uploads under way, so that the end of an upload need not read it again. Only a help: may be lost."""

from __future__ import annotations

from collections import OrderedDict

from holdall.oci.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

    from holdall.registry.server.storage import Writing

MAX_KEPT = 4_096
STEP = 1 << 20


class Rolling:
    """A hash of an upload's first `offset` bytes."""

    def __init__(self, algorithm: str) -> None:
        self.hasher: _Hash = Digest(algorithm, "").hasher()
        self.offset = 0

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
        return Digest.from_hasher(self.hasher)


class Hashes:
    """Rolling hashes by upload; the ones unused longest are dropped."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Rolling] = OrderedDict()

    def take(self, upload: str, algorithm: str, offset: int) -> Rolling:
        """The hash of an upload, a new one when none is kept or it does not fit."""
        kept = self._kept.pop(upload, None)
        if kept is not None and kept.offset <= offset and kept.hasher.name == algorithm:
            return kept
        return Rolling(algorithm)

    def keep(self, upload: str, rolling: Rolling) -> None:
        """Keep the hash for the upload's next part."""
        self._kept[upload] = rolling
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def drop(self, upload: str) -> None:
        """Forget an upload."""
        self._kept.pop(upload, None)
