"""An OCI image layout as a place for artifacts under tags: what `--cache-to type=local` writes.

Writers take the folder's lock one after the other; blobs come first, then index.json by rename, then what that does
not name goes. A reader needs no lock: a blob that has gone meanwhile is one that it does not get.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from holdall.errors import BlobNotFound, HoldallError, IntegrityError, InvalidOption, PathNotFound
from holdall.image import verify
from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.oci.index import Index
from holdall.oci.manifest import Manifest
from holdall.record import replace
from holdall.store import durable, locks
from holdall.store.layout import REF_NAME
from holdall.store.layout_index import LAYOUT
from holdall.store.layout_writer import LOCK, put_blob, read_index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from holdall.image.blobs import BlobSource
    from holdall.oci.descriptor import Descriptor

MAX_DEPTH = 4
ALGORITHMS = ("sha256", "sha512")
_ENCODED = re.compile(r"[0-9a-f]{64}(?:[0-9a-f]{64})?\Z")


class ArtifactFolder:
    """The folder at `path`, be it there or not; a BlobSource over its blobs."""

    def __init__(self, path: str) -> None:
        self.path = path

    def find(self, tag: str, digest: str = "") -> tuple[Manifest, bytes]:
        """The manifest with this tag or digest, and its configuration.

        Raises PathNotFound, InvalidManifest, BlobNotFound, IntegrityError, LimitExceeded.
        """
        index = read_index(self.path)
        for one in index.manifests if index is not None else ():
            if digest == str(one.digest) or (not digest and (one.annotations or {}).get(REF_NAME) == tag):
                manifest = Manifest.parse(verify.read_blob(self, one), one.media_type)
                return manifest, verify.read_blob(self, manifest.config)
        raise PathNotFound(f'"{self.path}" has nothing under "{digest or tag}"')

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of a blob, not verified. Raises BlobNotFound, IntegrityError (another size)."""
        try:
            stream = open(self._blob(descriptor.digest), "rb", buffering=0)
        except FileNotFoundError as err:
            raise BlobNotFound(f'no blob "{descriptor.digest}" in "{self.path}"') from err
        size = os.fstat(stream.fileno()).st_size
        if size != descriptor.size:
            stream.close()
            raise IntegrityError(f'blob "{descriptor.digest}" has {size} bytes, not {descriptor.size}')
        return stream

    def has(self, descriptor: Descriptor) -> bool:
        """Whether a blob of this size is there."""
        with suppress(FileNotFoundError):
            return os.stat(self._blob(descriptor.digest), follow_symlinks=False).st_size == descriptor.size
        return False

    def put(
        self, tag: str, manifest: Manifest, config: bytes, source: BlobSource, tell: Callable[[Descriptor, bool], None]
    ) -> None:
        """Write an artifact under a tag, which moves, and drop what no tag needs any more; `tell` hears of each blob
        and whether it had to be written. Raises BlobNotFound, IntegrityError, InvalidOption, OSError.
        """
        try:
            os.makedirs(self.path, 0o755, exist_ok=True)
        except FileExistsError as err:
            raise InvalidOption(f'"{self.path}" is no folder') from err
        with locks.acquire(f"{self.path}/{LOCK}") as lock:
            old = read_index(self.path)
            for one in manifest.layers:
                tell(one, put_blob(self.path, one, source))
            put_blob(self.path, manifest.config, config)
            put_blob(self.path, manifest.descriptor, manifest.raw)
            kept = [one for one in (old.manifests if old else ()) if (one.annotations or {}).get(REF_NAME) != tag]
            named = replace(manifest.descriptor, annotations={REF_NAME: tag})
            index = Index.build([*kept, named])
            durable.write_file(f"{self.path}/oci-layout", LAYOUT, mode=0o644)
            durable.write_file(f"{self.path}/index.json", index.raw, mode=0o644)
            self._prune(index)
            lock.remove()

    def _prune(self, index: Index) -> None:
        needed: set[Digest] = set()
        try:
            self._collect(index, needed, 0)
        except (HoldallError, OSError):
            # somebody else's image that we cannot read through: nothing is known to be garbage
            return
        for algorithm in ALGORITHMS:
            folder = f"{self.path}/blobs/{algorithm}"
            with suppress(FileNotFoundError):
                for name in os.listdir(folder):
                    if not _ENCODED.match(name) or Digest(algorithm, name) not in needed:
                        with suppress(FileNotFoundError, IsADirectoryError, PermissionError):
                            os.unlink(f"{folder}/{name}")

    def _collect(self, index: Index, needed: set[Digest], depth: int) -> None:
        for one in index.manifests:
            needed.add(one.digest)
            raw = verify.read_blob(self, one)
            if mediatype.is_index(one.media_type) and depth < MAX_DEPTH:
                self._collect(Index.parse(raw, one.media_type), needed, depth + 1)
            else:
                manifest = Manifest.parse(raw, one.media_type)
                needed.update([manifest.config.digest, *[layer.digest for layer in manifest.layers]])

    def _blob(self, digest: Digest) -> str:
        return f"{self.path}/blobs/{digest.algorithm}/{digest.encoded}"
