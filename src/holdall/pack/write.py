"""A plan becomes a layer: one deterministic tar, handed on as it is made, never held in memory."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile

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
    from collections.abc import Callable, Iterable
    from typing import BinaryIO, Protocol, Self

    from holdall.events import Reporter
    from holdall.oci.digest import Digest
    from holdall.pack.plan import Item

    class TarSink(Protocol):
        """Takes a tar; `size` is how much of it by now."""

        size: int

        def write(self, data: bytes, /) -> object:
            """Take all of `data`."""

    MakeLayer = Callable[[Callable[[TarSink], None]], Layer]
    """Makes a layer: calls what it is given with something to write the tar to."""

PROGRESS = 256
"""Entries from one event to the next."""

_TAR_KINDS = {
    Kind.FILE: TarKind.FILE,
    Kind.DATA: TarKind.FILE,
    Kind.DIRECTORY: TarKind.DIRECTORY,
    Kind.SYMLINK: TarKind.SYMLINK,
}


class FileBlob:
    """A BlobSource of one blob in a nameless file, which is gone when the last who uses it is."""

    def __init__(self, digest: Digest, file: BinaryIO) -> None:
        self._digest = digest
        self._file = file

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """The blob from its start. Raises BlobNotFound."""
        if descriptor.digest != self._digest:
            raise BlobNotFound(f'no blob "{descriptor.digest}"')
        return open(f"/proc/self/fd/{self._file.fileno()}", "rb")

    def __del__(self) -> None:
        self._file.close()


class FileLayers:
    """A MakeLayer that compresses into nameless files below `directory`. Raises NoSpace."""

    def __init__(self, directory: str, compression: str) -> None:
        self._directory = directory
        self._compression = compression

    def __call__(self, write: Callable[[TarSink], None]) -> Layer:
        """Make one layer."""
        file: BinaryIO = tempfile.TemporaryFile(dir=self._directory)
        try:
            blob = HashingWriter(file)
            with compressor(self._compression, blob) as compressed:
                plain = HashingWriter(compressed)
                write(plain)
            file.flush()
        except BaseException as err:
            with contextlib.suppress(OSError):
                file.close()
            if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(f'no space left in "{self._directory}" for the layer') from err
            raise
        descriptor = Descriptor(layer_type(self._compression), blob.digest, blob.size)
        return Layer(descriptor, plain.digest, FileBlob(descriptor.digest, file))


def write_layer(name: str, items: Iterable[Item], make: MakeLayer, epoch: int, report: Reporter) -> Layer:
    """Write the items, in their order, into a layer; `name` is the subject of events.

    Raises NoSpace, NotPermitted (a file that may not be read), InvalidInput (one that changed meanwhile).
    """

    def write(out: TarSink) -> None:
        _write_tar(name, items, out, epoch, report)
        report(Event(name, "packed", out.size, out.size, done=True))

    return make(write)


def _write_tar(name: str, items: Iterable[Item], out: TarSink, epoch: int, report: Reporter) -> None:
    tar = TarWriter(out)
    for number, item in enumerate(items):
        _add(tar, item, epoch)
        if number % PROGRESS == 0:
            report(Event(name, "packing", out.size))
    tar.close()


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
        with _Piece(item) as stream:
            tar.add(replace(entry, size=stream.size), stream)
            if not stream.is_unchanged():
                raise InvalidInput(f'"{item.source}" changed while it was packed', hint="pack again")
    except PermissionError as err:
        raise NotPermitted(f'cannot read "{item.source}": permission denied') from err
    except FileNotFoundError as err:
        raise InvalidInput(f'"{item.source}" vanished while it was packed', hint="pack again") from err


class _Piece:
    """A file, or the part of one, that knows how much of it was read."""

    def __init__(self, item: Item) -> None:
        self._file = open(item.source, "rb", buffering=0)
        whole = os.fstat(self._file.fileno()).st_size
        self.size = whole if item.size is None else item.size
        self._is_whole = item.size is None
        self._file.seek(item.offset)
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data

    def is_unchanged(self) -> bool:
        """Whether all of it was read, and there is no more."""
        return self.count == self.size and not (self._is_whole and self.read(1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._file.close()
