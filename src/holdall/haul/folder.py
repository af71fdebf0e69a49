"""An OCI image layout's folder to copy into: blobs resumed where an earlier copy was killed, names in index.json.

Blobs on their way lie in ingest/ beside blobs/, as in a store; the folder goes when it is empty.
"""

from __future__ import annotations

import os

from holdall.errors import InvalidOption
from holdall.layer.entry import Entry, Kind
from holdall.layer.writer import TarWriter
from holdall.oci.index import Index
from holdall.paths import Paths
from holdall.record import replace
from holdall.store import durable, locks
from holdall.store.content import ContentStore
from holdall.store.layout import CONTAINERD_NAME, REF_NAME
from holdall.store.layout_index import LAYOUT
from holdall.store.layout_writer import LOCK, read_index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest


class Folder:
    """The layout at `path`, made if it is missing. `sink` takes blobs."""

    def __init__(self, path: str) -> None:
        """Raises InvalidOption for something that is no folder, OSError."""
        self.path = os.path.abspath(path)
        paths = Paths(self.path, self.path)
        try:
            os.makedirs(paths.ingest, 0o755, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as err:
            raise InvalidOption(f'"{path}" is no folder') from err
        os.makedirs(paths.blobs, 0o755, exist_ok=True)
        self.sink = _Shared(paths)

    def name(self, top: Descriptor, name: str) -> None:
        """List an image under a name, which moves; without one, once. Raises InvalidManifest, OSError."""
        notes = {REF_NAME: name} if name else {}
        kept = {key: text for key, text in (top.annotations or {}).items() if key not in (REF_NAME, CONTAINERD_NAME)}
        entry = replace(top, annotations={**kept, **notes} or None, data=None)
        with locks.acquire(f"{self.path}/{LOCK}") as lock:
            old = read_index(self.path)
            others = [one for one in (old.manifests if old else ()) if not _same(one, top.digest, name)]
            durable.write_file(f"{self.path}/oci-layout", LAYOUT, mode=0o644)
            durable.write_file(f"{self.path}/index.json", Index.build([*others, entry]).raw, mode=0o644)
            lock.remove()

    def finish(self) -> None:
        """Let everybody read the blobs, and take away what was for the copying alone."""
        for algorithm in os.listdir(f"{self.path}/blobs"):
            folder = f"{self.path}/blobs/{algorithm}"
            os.chmod(folder, 0o755)
            for entry in os.scandir(folder):
                if entry.stat(follow_symlinks=False).st_mode & 0o777 == 0o600:
                    os.chmod(entry.path, 0o644)
        try:
            os.rmdir(self.sink.paths.ingest)
        except OSError:  # another copy is under way
            return


class _Shared(ContentStore):
    """A sink whose ingest/ goes when another copy into the same layout ends."""

    def announce(self, digest: Digest) -> None:  # noqa: ARG002
        """See `ContentStore`."""
        os.makedirs(self.paths.ingest, 0o755, exist_ok=True)


def _same(one: Descriptor, digest: Digest, name: str) -> bool:
    notes = one.annotations or {}
    named = notes.get(REF_NAME) or notes.get(CONTAINERD_NAME)
    return named == name if name else (not named and one.digest == digest)


def write_tar(folder: str, digests: Iterable[Digest], out: BinaryIO) -> None:
    """Write a layout's folder with these blobs as a tar, which is not closed; equal images give equal bytes."""
    tar = TarWriter(out)
    names = ["index.json", "oci-layout", *[f"blobs/{one.algorithm}/{one.encoded}" for one in set(digests)]]
    for parent in sorted({"blobs", *(os.path.dirname(name) for name in names if "/" in name)}):
        tar.add(Entry(parent.encode(), Kind.DIRECTORY, 0o755))
    for name in sorted(names):
        with open(f"{folder}/{name}", "rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            tar.add(Entry(name.encode(), Kind.FILE, 0o644, size=size), stream)
    tar.close()
