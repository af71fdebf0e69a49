"""A plan becomes a layer: one deterministic tar in one file, compressed on the way, never held in memory."""

from __future__ import annotations

import os

from holdall.errors import BlobNotFound, InvalidInput, NoSpace, NotPermitted
from holdall.events import Event
from holdall.image.image import Layer
from holdall.layer.compression import compressor
from holdall.layer.entry import Entry
from holdall.layer.entry import Kind as TarKind
from holdall.layer.hashing import HashingWriter
from holdall.layer.writer import TarWriter
from holdall.oci.descriptor import Descriptor
from holdall.oci.mediatype import layer_type
from holdall.pack.plan import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO, Self

    from holdall.events import Reporter
    from holdall.oci.digest import Digest
    from holdall.pack.plan import Item

_TAR_KINDS = {
    Kind.FILE: TarKind.FILE,
    Kind.DATA: TarKind.FILE,
    Kind.DIRECTORY: TarKind.DIRECTORY,
    Kind.SYMLINK: TarKind.SYMLINK,
}


class FileBlobs:
    """A BlobSource over files: each blob is a file somebody else owns and removes."""

    def __init__(self) -> None:
        self._files: dict[Digest, str] = {}

    def add(self, descriptor: Descriptor, path: str) -> None:
        """Say where a blob is."""
        self._files[descriptor.digest] = path

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The blob's file. Raises BlobNotFound."""
        try:
            return open(self._files[descriptor.digest], "rb")
        except (KeyError, FileNotFoundError):
            raise BlobNotFound(f'no blob "{descriptor.digest}"') from None


def write_layer(items: Iterable[Item], path: str, compression: str, epoch: int, report: Reporter) -> Layer:
    """Write the items, in their order, to the new file `path`.

    Raises NoSpace, NotPermitted (a file that may not be read), InvalidInput (one that changed meanwhile).
    """
    blobs = FileBlobs()
    try:
        with open(path, "xb") as file:
            blob = HashingWriter(file)
            with compressor(compression, blob) as compressed:
                plain = HashingWriter(compressed)
                tar = TarWriter(plain)
                for number, item in enumerate(items):
                    _add(tar, item, epoch)
                    if number % 256 == 0:
                        report(Event("layer", "packing", plain.size))
                tar.close()
    except OSError as err:
        if err.errno in (28, 122):
            raise NoSpace(f'cannot write "{path}": {(err.strerror or "no space").lower()}') from err
        raise
    descriptor = Descriptor(layer_type(compression), blob.digest, blob.size)
    blobs.add(descriptor, path)
    report(Event("layer", "packed", plain.size, plain.size, done=True))
    return Layer(descriptor, plain.digest, blobs)


def _add(tar: TarWriter, item: Item, epoch: int) -> None:
    entry = Entry(
        os.fsencode(item.path.lstrip("/")),
        _TAR_KINDS[item.kind],
        item.mode,
        size=len(item.data),
        mtime_ns=epoch * 1_000_000_000,
        link=os.fsencode(item.target),
    )
    if item.kind is Kind.FILE:
        _add_file(tar, item, entry)
    else:
        tar.add(entry, item.data)


def _add_file(tar: TarWriter, item: Item, entry: Entry) -> None:
    from holdall.record import replace

    try:
        with _Counting(item.source) as stream:
            tar.add(replace(entry, size=stream.size), stream)
            if stream.read(1) or stream.count != stream.size:
                raise InvalidInput(f'"{item.source}" changed while it was packed', hint="pack again")
    except PermissionError as err:
        raise NotPermitted(f'cannot read "{item.source}": permission denied') from err
    except FileNotFoundError as err:
        raise InvalidInput(f'"{item.source}" vanished while it was packed', hint="pack again") from err


class _Counting:
    """A file that knows how much of it was read."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb", buffering=0)
        self.size = os.fstat(self._file.fileno()).st_size
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._file.close()
