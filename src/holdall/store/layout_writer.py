"""Writing OCI image layouts, with an index over several platforms if there is one: as a tar, or into a folder.

A folder keeps what other images it has; the names given here move to the new image. Blobs come first, index.json last,
each by rename, so that a reader sees the old image or the new one.
"""

from __future__ import annotations

import os

from holdall.errors import InvalidArchive, InvalidOption, LimitExceeded
from holdall.image.verify import VerifyingReader
from holdall.layer.entry import Entry, Kind
from holdall.layer.writer import TarWriter
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.index import Index
from holdall.record import replace
from holdall.store import durable, locks
from holdall.store.layout import CONTAINERD_NAME, REF_NAME
from holdall.store.layout_index import LAYOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

    from holdall.image.blobs import BlobSource
    from holdall.image.image import Image
    from holdall.image.index import ImageIndex

    Blobs = Mapping[Digest, tuple[Descriptor, BlobSource | bytes]]

CHUNK = 1 << 20
MAX_INDEX = 4 << 20
LOCK = ".lock"


def write_archive(
    out: BinaryIO, images: Sequence[Image], top: Descriptor, names: Sequence[str], index: ImageIndex | None
) -> None:
    """Write a layout as a tar to `out`, which is not closed; equal images give equal bytes.

    Raises BlobNotFound, IntegrityError, OSError.
    """
    blobs = _blobs(images, index)
    listed = Index.build(_entries(top, names)).raw
    members: dict[str, tuple[Descriptor, BlobSource | bytes]] = {
        f"blobs/{digest.algorithm}/{digest.encoded}": blob for digest, blob in blobs.items()
    }
    for name, data in (("index.json", listed), ("oci-layout", LAYOUT)):
        members[name] = (Descriptor(mediatype.OCI_INDEX, Digest.of(data), len(data)), data)
    tar = TarWriter(out)
    for folder in sorted({"blobs", *(os.path.dirname(name) for name in members if "/" in name)}):
        tar.add(Entry(folder.encode(), Kind.DIRECTORY, 0o755))
    for name, (descriptor, source) in sorted(members.items()):
        entry = Entry(name.encode(), Kind.FILE, 0o644, size=descriptor.size)
        if isinstance(source, bytes):
            tar.add(entry, source)
            continue
        with source.open(descriptor) as blob, VerifyingReader(blob, descriptor) as verified:
            tar.add(entry, verified)
            if verified.read(1):
                raise LimitExceeded(f'blob "{descriptor.digest}" grew while it was read')
    tar.close()


def write_layout(
    folder: str, images: Sequence[Image], top: Descriptor, names: Sequence[str], index: ImageIndex | None
) -> None:
    """Write a layout into `folder`, made if it is missing. Raises as `write_archive`, and InvalidOption."""
    try:
        os.makedirs(folder, 0o755, exist_ok=True)
    except FileExistsError as err:
        raise InvalidOption(f'"{folder}" is no folder') from err
    with locks.acquire(f"{folder}/{LOCK}") as lock:
        old = read_index(folder)
        for descriptor, source in _blobs(images, index).values():
            put_blob(folder, descriptor, source)
        durable.write_file(f"{folder}/oci-layout", LAYOUT, mode=0o644)
        new = _entries(top, names)
        durable.write_file(f"{folder}/index.json", Index.build([*_others(old, new), *new]).raw, mode=0o644)
        lock.remove()


def read_index(folder: str) -> Index | None:
    """The folder's index.json, None when there is none. Raises InvalidManifest, LimitExceeded, InvalidArchive."""
    try:
        with open(f"{folder}/index.json", "rb") as file:
            raw = file.read(MAX_INDEX + 1)
    except FileNotFoundError:
        return None
    except (IsADirectoryError, NotADirectoryError) as err:
        raise InvalidArchive(f'"{folder}" is no image layout') from err
    if len(raw) > MAX_INDEX:
        raise LimitExceeded(f'index.json of "{folder}" has more than {MAX_INDEX} bytes')
    return Index.parse(raw, mediatype.OCI_INDEX)


def put_blob(folder: str, descriptor: Descriptor, source: BlobSource | bytes) -> bool:
    """Write a blob unless the folder has it; whether it was written. Raises BlobNotFound, IntegrityError, OSError."""
    digest = descriptor.digest
    place = f"{folder}/blobs/{digest.algorithm}"
    path = f"{place}/{digest.encoded}"
    try:
        if os.stat(path, follow_symlinks=False).st_size == descriptor.size:
            return False
    except FileNotFoundError:
        os.makedirs(place, 0o755, exist_ok=True)
    if isinstance(source, bytes):
        durable.write_file(path, source, mode=0o644)
        return True
    temporary = f"{place}/.tmp-{os.urandom(8).hex()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        with open(fd, "wb", buffering=0) as out, source.open(descriptor) as blob:
            with VerifyingReader(blob, descriptor) as verified:
                while data := verified.read(CHUNK):
                    view = memoryview(data)
                    while view:
                        view = view[out.write(view) :]
            os.fsync(out.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    durable.sync_folder(place)
    return True


def _blobs(images: Sequence[Image], index: ImageIndex | None) -> Blobs:
    found: dict[Digest, tuple[Descriptor, BlobSource | bytes]] = {}
    for image in images:
        for one in (*image.manifest.layers, image.manifest.config):
            found[one.digest] = (one, image.source)
        found[image.digest] = (image.manifest.descriptor, image.manifest.raw)
    if index is not None:
        found[index.digest] = (index.descriptor, index.index.raw)
    return found


def _entries(top: Descriptor, names: Sequence[str]) -> list[Descriptor]:
    """What index.json says of the image: once for each name, in full and, as reference name, the tag."""
    found = []
    for name in names or [""]:
        notes = {CONTAINERD_NAME: name, REF_NAME: name.rpartition(":")[2]} if name else {}
        found.append(replace(top, annotations={**(top.annotations or {}), **notes} or None))
    return found


def _others(old: Index | None, new: Sequence[Descriptor]) -> list[Descriptor]:
    """Entries that stay: other names, and other images without a name."""
    taken = {(one.annotations or {}).get(CONTAINERD_NAME) for one in new} - {None}
    same = {one.digest for one in new}
    return [
        one
        for one in (old.manifests if old is not None else ())
        if (one.annotations or {}).get(CONTAINERD_NAME) not in taken
        and not (one.digest in same and CONTAINERD_NAME not in (one.annotations or {}))
    ]
