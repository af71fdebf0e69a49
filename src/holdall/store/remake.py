"""Compressed blobs that are not kept, made again from their tars as they are read (table `compressed`, `recipes.py`).

Like a blob's file the stream is not verified here: whoever takes it does. Only when the compressor is not the one the
recipe was noted with, everything is made once and compared first, so that no reader gets half of a wrong blob.
"""

from __future__ import annotations

import io
import os
from contextlib import closing

from holdall.errors import BlobNotFound
from holdall.store import compressed
from holdall.store.database import open_database
from holdall.store.recipes import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from _typeshed import WriteableBuffer

    from holdall.image.image import Layer
    from holdall.layer.compression import Encoder
    from holdall.oci.descriptor import Descriptor
    from holdall.store.content import ContentStore
    from holdall.store.database import Database
    from holdall.store.recipes import Recipe

READ = 1 << 18
HINT = "pull or load the image again"


def open_blob(store: ContentStore, descriptor: Descriptor, *, keep: bool = False) -> BinaryIO:
    """A stream of a blob that has no file. With `keep` it becomes a file of the store first.

    Raises BlobNotFound: nothing is known of it, its tar is gone, or this machine's compressor makes other bytes.
    """
    recipe, tar = _known(store, descriptor)
    try:
        if not recipe.is_known_here() and not _is_same(recipe, tar, descriptor):
            raise BlobNotFound(
                f'blob "{descriptor.digest}" cannot be made again: it was compressed by {recipe.version or "another"}',
                hint=HINT,
            )
        stream = _stream(recipe, tar)
    except BaseException:
        tar.close()
        raise
    if not keep:
        return stream
    with stream, store.ingest(descriptor) as writer:
        skip = writer.offset
        while data := stream.read(READ):
            writer.write(memoryview(data)[skip:])
            skip = max(0, skip - len(data))
        writer.commit()
    return store.open(descriptor)


def can_remake(store: ContentStore, descriptor: Descriptor) -> bool:
    """Whether `open_blob` would give the blob, without the proof that another compressor needs."""
    try:
        _, tar = _known(store, descriptor)
    except BlobNotFound:
        return False
    tar.close()
    return True


def find_recipe(store: ContentStore, database: Database, layer: Layer, *, seconds: float) -> bool:
    """Look for the recipe of a blob that is here beside its tar, and note it; whether there is one by now.

    A recipe proves that the blob is this layer. Without one nothing is noted: a manifest's word is no proof.
    """
    descriptor, diff_id = layer.descriptor, layer.diff_id
    known = compressed.known(database, descriptor.digest)
    if known is not None and known.recipe is not None:
        return True
    if not (store.has(descriptor.digest) and store.has(diff_id)):
        return False
    with open(store.path(descriptor.digest), "rb") as blob, open(store.path(diff_id), "rb") as tar:
        recipe = find(blob, tar, os.fstat(tar.fileno()).st_size, seconds=seconds)
    if recipe is not None:
        compressed.note(database, descriptor, diff_id, recipe)
    return recipe is not None


def _known(store: ContentStore, descriptor: Descriptor) -> tuple[Recipe, BinaryIO]:
    """The recipe and the open tar. Raises BlobNotFound."""
    digest = descriptor.digest
    with closing(open_database(store.paths)) as database:
        row = compressed.known(database, digest)
    if row is None or row.recipe is None or row.descriptor.size != descriptor.size:
        raise BlobNotFound(f'no blob "{digest}" in the store', hint=HINT)
    try:
        return row.recipe, open(store.path(row.diff_id), "rb", buffering=0)
    except FileNotFoundError as error:
        raise BlobNotFound(f'blob "{digest}" cannot be made again: its layer is gone', hint=HINT) from error


def _stream(recipe: Recipe, tar: BinaryIO) -> BinaryIO:
    return io.BufferedReader(Remade(tar, recipe.encoder(os.fstat(tar.fileno()).st_size)), READ)


def _is_same(recipe: Recipe, tar: BinaryIO, descriptor: Descriptor) -> bool:
    hasher = descriptor.digest.hasher()
    encoder = recipe.encoder(os.fstat(tar.fileno()).st_size)
    while data := tar.read(READ):
        hasher.update(encoder.compress(data))
    hasher.update(encoder.flush())
    tar.seek(0)
    return hasher.hexdigest() == descriptor.digest.encoded


class Remade(io.RawIOBase):
    """What `encoder` makes of `tar`, from start to end. Closing it closes the tar."""

    def __init__(self, tar: BinaryIO, encoder: Encoder) -> None:
        self._tar = tar
        self._encoder = encoder
        self._rest = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into `buffer`; 0 only at the end."""
        while not self._rest and not self._ended:
            data = self._tar.read(READ)
            self._ended = not data
            self._rest = memoryview(self._encoder.compress(data) if data else self._encoder.flush())
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Close both."""
        if not self.closed:
            self._tar.close()
        super().close()
