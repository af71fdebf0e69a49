"""What is in each layer that is kept as a tar: layers/ALGORITHM/HEX/files, a list of its files by their digests.

For whoever looks for a file's bytes and does not mind which layer has them. Made when it is first asked for, or by
`system gc --contents`, never by a pull: it costs reading and hashing all of the tar. It can be made again at any time,
so it belongs to the cache (budget.py). The format: docs/formats.md.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zlib

from holdall.erofs.reader import Reader
from holdall.errors import BlobNotFound, InvalidArchive, LimitExceeded, StoreCorrupt
from holdall.events import Event, silent
from holdall.oci.digest import Digest
from holdall.record import record
from holdall.store import locks
from holdall.store.budget import LISTING
from holdall.store.ingest import failure
from holdall.store.snapshots.layers import INDEX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from holdall.events import Reporter
    from holdall.store.snapshots.layers import Layers

MAGIC = b"hdfiles1"
HEADER = struct.Struct("<8sQQII")
"""magic, number of records, bytes of names, crc32 of all that follows, zero."""
RECORD = struct.Struct("<32sQQQII")
"""sha256, size, offset in the tar, offset and length of the name, zero. In order of bytes."""
MAX_FILES = 4_000_000
PIECE = 1 << 20
REPORT_BYTES = 64 << 20


@record
class File:
    """One name of a regular file whose bytes lie in one piece in the layer's tar."""

    path: bytes
    size: int
    offset: int
    digest: Digest


@record
class Place:
    """Where bytes are: in the tar of a layer (the blob with the diff-id as digest), from `offset` on."""

    diff_id: str
    offset: int
    size: int


class Listing:
    """One layer's list, open. A context manager."""

    def __init__(self, path: str) -> None:
        """Open and verify it. Raises FileNotFoundError, StoreCorrupt."""
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size < HEADER.size:
                raise _damaged(path)
            self._map = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ)
            os.utime(stream.fileno())
        magic, self._count, names, check, _ = HEADER.unpack_from(self._map)
        self._names = HEADER.size + self._count * RECORD.size
        if magic != MAGIC or self._count > MAX_FILES or size != self._names + names or self._sum() != check:
            self.close()
            raise _damaged(path)

    def _sum(self) -> int:
        with memoryview(self._map) as whole, whole[HEADER.size :] as rest:
            return zlib.crc32(rest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._count)

    def __iter__(self) -> Iterator[File]:
        return map(self._file, range(self._count))

    def close(self) -> None:
        """Let it go. Idempotent."""
        self._map.close()

    def find(self, digest: Digest) -> File | None:
        """A file with this sha256."""
        if digest.algorithm != "sha256":
            return None
        wanted, low, high = bytes.fromhex(digest.encoded), 0, self._count
        while low < high:
            middle = (low + high) // 2
            at = HEADER.size + middle * RECORD.size
            if self._map[at : at + 32] < wanted:
                low = middle + 1
            else:
                high = middle
        if low == self._count:
            return None
        found = self._file(low)
        return found if found.digest == digest else None

    def _file(self, number: int) -> File:
        raw, size, offset, name, length, _ = RECORD.unpack_from(self._map, HEADER.size + number * RECORD.size)
        start = self._names + name
        return File(self._map[start : start + length], size, offset, Digest("sha256", raw.hex()))


def find(layers: Layers, digest: Digest, *, make: bool = False) -> Place | None:
    """Where a file's bytes are in this store, by their sha256; with `make` layers not listed yet are, one by one.

    Raises what `listing` raises. The layer may go at any time unless it is held.
    """
    missing = []
    for diff_id in sorted(layers.diff_ids()):
        if not has_tar(layers, diff_id):
            continue
        try:
            with Listing(path_of(layers, diff_id)) as there:
                found = there.find(digest)
        except (FileNotFoundError, StoreCorrupt):
            missing.append(diff_id)
            continue
        if found is not None:
            return Place(diff_id, found.offset, found.size)
    for diff_id in missing if make else ():
        with listing(layers, diff_id) as there:
            found = there.find(digest)
        if found is not None:
            return Place(diff_id, found.offset, found.size)
    return None


def listing(layers: Layers, diff_id: str, reporter: Reporter = silent) -> Listing:
    """A layer's list, made now unless it is there. Raises BlobNotFound (no tar is kept), StoreCorrupt, NoSpace."""
    path = path_of(layers, diff_id)
    try:
        return Listing(path)
    except (FileNotFoundError, StoreCorrupt):
        _make(layers, diff_id, path, reporter)
        return Listing(path)


def has_tar(layers: Layers, diff_id: str) -> bool:
    """Whether the layer is one that can be listed."""
    return INDEX in layers.content(diff_id) and os.path.isfile(layers.tar(diff_id))


def path_of(layers: Layers, diff_id: str) -> str:
    """Where a layer's list is, or would be."""
    return f"{layers.folder(diff_id)}/{LISTING}"


def _make(layers: Layers, diff_id: str, path: str, reporter: Reporter) -> None:
    try:
        index = os.open(f"{layers.folder(diff_id)}/{INDEX}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as err:
        raise BlobNotFound(f'layer "{diff_id}" is not kept as a tar') from err
    try:
        try:
            tar = os.open(layers.tar(diff_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as err:
            raise BlobNotFound(f'the tar of layer "{diff_id}" is missing') from err
        try:
            _write(layers, path, _hash(_files(index, diff_id), tar, diff_id, reporter))
        finally:
            os.close(tar)
    except OSError as error:
        raise failure(error, f'cannot list the files of layer "{diff_id}"') from error
    finally:
        os.close(index)


def _files(index: int, diff_id: str) -> list[tuple[int, int, bytes]]:
    """Offset, size and path of every name, in order of offsets: so the tar is read from front to back."""
    found = []
    try:
        reader = Reader(index)
        for path, inode in reader.walk():
            if inode.mode >> 12 != 0o10 or not inode.size:
                continue
            pieces = list(reader.extents(inode))
            if len(pieces) == 1 and pieces[0][:3] == (0, inode.size, 1):
                found.append((pieces[0][3], inode.size, path))
                if len(found) > MAX_FILES:
                    raise LimitExceeded(f'layer "{diff_id}" has more than {MAX_FILES} files')
    except InvalidArchive as err:
        raise StoreCorrupt(
            f'the index of layer "{diff_id}" is damaged: {err.message}',
            hint="mend it with holdall system fsck --repair",
        ) from err
    found.sort()
    return found


def _hash(
    files: list[tuple[int, int, bytes]], tar: int, diff_id: str, reporter: Reporter
) -> list[tuple[bytes, int, int, bytes]]:
    subject, total = diff_id.partition(":")[2][:12], sum(size for _, size, _ in files)
    found = []
    done = told = 0
    last, digest = -1, b""
    for offset, size, path in files:
        if offset != last:
            hasher = hashlib.sha256()
            at, left = offset, size
            while left:
                data = os.pread(tar, min(left, PIECE), at)
                if not data:
                    raise StoreCorrupt(f'the tar of layer "{diff_id}" is cut off')
                hasher.update(data)
                at, left = at + len(data), left - len(data)
            last, digest = offset, hasher.digest()
        found.append((digest, size, offset, path))
        done += size
        if done - told >= REPORT_BYTES:
            told = done
            reporter(Event(subject, "listing", done, total))
    reporter(Event(subject, "listed", total, total, done=True))
    found.sort()
    return found


def _write(layers: Layers, path: str, rows: list[tuple[bytes, int, int, bytes]]) -> None:
    """Not durable: one that a power cut has damaged is made again."""
    records = bytearray()
    names = []
    at = 0
    for digest, size, offset, name in rows:
        records += RECORD.pack(digest, size, offset, at, len(name), 0)
        names.append(name)
        at += len(name)
    body = bytes(records) + b"".join(names)
    lock = locks.acquire(f"{layers.paths.ingest}/new-{os.urandom(8).hex()}")
    try:
        view = memoryview(HEADER.pack(MAGIC, len(rows), at, zlib.crc32(body), 0) + body)
        while view:
            view = view[os.write(lock.fd, view) :]
        os.rename(lock.path, path)
        lock.release()
    finally:
        lock.remove()


def _damaged(path: str) -> StoreCorrupt:
    return StoreCorrupt(f'"{path}" is damaged', hint="delete it: it is made again when it is needed")
