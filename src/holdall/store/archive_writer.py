"""Writing archives: the same images give the same bytes (no times, no owners, sorted names).

"docker-archive" is what `docker save` writes today: an OCI image layout with a manifest.json beside, so that docker,
podman and skopeo read it as either. "oci-archive" is the layout alone, with OCI media types throughout.
"""

from __future__ import annotations

import json

from holdall.errors import InvalidOption, LimitExceeded
from holdall.image.mutate import with_media_types
from holdall.image.verify import VerifyingReader
from holdall.layer.compression import open_layer
from holdall.layer.entry import Entry, Kind
from holdall.layer.writer import TarWriter
from holdall.oci import mediatype
from holdall.oci.index import Index
from holdall.oci.reference import Reference
from holdall.record import record, replace
from holdall.store.layout import CONTAINERD_NAME, REF_NAME
from holdall.store.layout_index import LAYOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from holdall.image.blobs import BlobSource
    from holdall.image.image import Image, Layer
    from holdall.layer.feed import Readable
    from holdall.oci.descriptor import Descriptor

FORMATS = ("docker-archive", "oci-archive")
CHUNK = 1 << 20


def save(images: Sequence[tuple[Image, Sequence[str]]], out: BinaryIO, format: str = "docker-archive") -> None:  # noqa: A002
    """Write images, each with full names, to `out` as one tar; it is not closed.

    Raises InvalidOption (the format), BlobNotFound, IntegrityError (a blob is not what its digest says), OSError.
    """
    if format not in FORMATS:
        raise InvalidOption(f'invalid archive format "{format}"', hint=f"use {' or '.join(FORMATS)}")
    if format == "oci-archive":
        images = [(with_media_types(image, docker=False), names) for image, names in images]
    members: dict[str, _Member] = {}
    for image, _ in images:
        _add_blobs(members, image, plain=format == "docker-archive")
    _add(members, "oci-layout", LAYOUT)
    _add(members, "index.json", _index(images))
    if format == "docker-archive":
        _add(members, "manifest.json", _manifest_json(images))
    _write(members, out)


@record
class _Member:
    """A file of the archive: its bytes, or a blob, unpacked to its plain tar or as it is."""

    size: int
    data: bytes | None = None
    descriptor: Descriptor | None = None
    source: BlobSource | None = None
    unpacked: bool = False


def _add(members: dict[str, _Member], name: str, data: bytes) -> None:
    members[name] = _Member(len(data), data)


def _add_blobs(members: dict[str, _Member], image: Image, *, plain: bool) -> None:
    _add(members, blob_name(image.manifest.descriptor), image.manifest.raw)
    for descriptor in (image.manifest.config, *image.manifest.layers):
        members[blob_name(descriptor)] = _Member(descriptor.size, None, descriptor, image.source)
    for layer in image.layers:
        if plain and _needs_plain(layer) and _layer_name(layer) not in members:
            members[_layer_name(layer)] = _Member(_plain_size(layer), None, layer.descriptor, image.source, True)


def blob_name(descriptor: Descriptor) -> str:
    """A blob's place in an image layout."""
    return f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.encoded}"


def _needs_plain(layer: Layer) -> bool:
    """Docker before 23 reads gzip, but not zstd: such layers lie there as plain tars too."""
    return mediatype.compression_of(layer.descriptor.media_type) == "zstd"


def _layer_name(layer: Layer) -> str:
    """The member that manifest.json names for a layer."""
    if _needs_plain(layer):
        return f"blobs/{layer.diff_id.algorithm}/{layer.diff_id.encoded}"
    return blob_name(layer.descriptor)


def _plain_size(layer: Layer) -> int:
    size = 0
    with layer.open() as blob:
        plain = open_layer(blob, layer.descriptor.media_type)
        while data := plain.read(CHUNK):
            size += len(data)
    return size


def _index(images: Sequence[tuple[Image, Sequence[str]]]) -> bytes:
    entries = []
    for image, names in images:
        for name in names or [""]:
            notes = {CONTAINERD_NAME: name, REF_NAME: name} if name else None
            entries.append(replace(image.descriptor, annotations=notes))
    return Index.build(entries).raw


def _manifest_json(images: Sequence[tuple[Image, Sequence[str]]]) -> bytes:
    listed: dict[str, dict[str, object]] = {}
    for image, names in images:
        entry = listed.setdefault(
            str(image.id),
            {
                "Config": blob_name(image.manifest.config),
                "RepoTags": [],
                "Layers": [_layer_name(layer) for layer in image.layers],
            },
        )
        tags = entry["RepoTags"]
        assert isinstance(tags, list)
        tags += [Reference.parse(name).familiar() for name in names]
    return json.dumps(list(listed.values()), separators=(",", ":")).encode()


def _write(members: dict[str, _Member], out: BinaryIO) -> None:
    tar = TarWriter(out)
    for folder in sorted(
        {"/".join(name.split("/")[:depth]) for name in members for depth in range(1, name.count("/") + 1)}
    ):
        tar.add(Entry(folder.encode(), Kind.DIRECTORY, 0o755))
    for name, member in sorted(members.items()):
        entry = Entry(name.encode(), Kind.FILE, 0o644, size=member.size)
        if member.data is not None:
            tar.add(entry, member.data)
            continue
        assert member.descriptor is not None
        assert member.source is not None
        with member.source.open(member.descriptor) as blob, VerifyingReader(blob, member.descriptor) as verified:
            stream: Readable = open_layer(verified) if member.unpacked else verified
            tar.add(entry, stream)
            if stream.read(1):
                raise LimitExceeded(f'blob "{member.descriptor.digest}" grew while it was read')
    tar.close()
