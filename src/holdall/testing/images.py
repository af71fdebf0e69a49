"""Random but repeatable images in memory: the same seed gives the same digests."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import tarfile
from typing import TYPE_CHECKING

from holdall.image.image import Image, Layer
from holdall.image.index import ImageIndex
from holdall.image.memory import MemoryBlobs, StackedSource
from holdall.image.mutate import from_layers
from holdall.oci import mediatype
from holdall.oci.container_config import ContainerConfig
from holdall.oci.digest import Digest
from holdall.oci.history import History
from holdall.oci.index import Index
from holdall.oci.platform import Platform, host

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EPOCH = 1_700_000_000


def tar_of(files: Mapping[str, bytes | None], links: Mapping[str, str] | None = None) -> bytes:
    """A plain tar: names to contents (None for a folder), then symlinks to their targets."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.mtime = EPOCH
            member.mode = 0o755 if data is None else 0o644
            member.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            member.size = len(data or b"")
            tar.addfile(member, io.BytesIO(data or b""))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.mtime = EPOCH
            member.mode = 0o777
            member.type = tarfile.SYMTYPE
            member.linkname = target
            tar.addfile(member)
    return out.getvalue()


def layer_of(tar: bytes, *, compression: str = "gzip", docker: bool = False) -> Layer:
    """A layer in memory from an uncompressed tar; `compression` is "none", "gzip" or "zstd"."""
    data = tar
    if compression == "gzip":
        data = gzip.compress(tar, 6, mtime=0)
    elif compression == "zstd":
        import zstandard

        data = zstandard.ZstdCompressor(level=3).compress(tar)
    blobs = MemoryBlobs()
    descriptor = blobs.add(mediatype.layer_type(compression, docker=docker), data)
    return Layer(descriptor, Digest.of(tar), blobs)


def image_of_files(
    layers: Sequence[Mapping[str, bytes | None]],
    config: ContainerConfig | None = None,
    *,
    platform: Platform | None = None,
    compression: str = "gzip",
    docker: bool = False,
) -> Image:
    """An image with one layer per mapping (see `tar_of`)."""
    made = [layer_of(tar_of(files), compression=compression, docker=docker) for files in layers]
    return from_layers(
        platform or host(),
        made,
        config or ContainerConfig(env=("PATH=/usr/bin:/bin",), cmd=("/bin/true",)),
        created="2023-11-14T22:13:20Z",
        history=[History(created_by=f"layer {number}") for number in range(len(made))],
        media_type=mediatype.DOCKER_MANIFEST if docker else mediatype.OCI_MANIFEST,
    )


def random_image(
    seed: int = 0,
    layers: int = 2,
    files: int = 5,
    *,
    size: int = 2_000,
    platform: Platform | None = None,
    compression: str = "gzip",
    docker: bool = False,
) -> Image:
    """An image of `layers` layers with `files` files of about `size` random bytes each."""
    source = random.Random(seed)  # not for secrets: repeatable on purpose
    contents = [_random_files(source, files, size) for _ in range(layers)]
    config = ContainerConfig(env=("PATH=/usr/bin:/bin",), cmd=("/bin/true",), labels={"seed": str(seed)})
    return image_of_files(contents, config, platform=platform, compression=compression, docker=docker)


def _random_files(source: random.Random, files: int, size: int) -> dict[str, bytes | None]:
    folder = f"d{source.randrange(100):02d}"
    made: dict[str, bytes | None] = {folder: None}
    for number in range(files):
        made[f"{folder}/f{number}-{source.randrange(1 << 32):08x}"] = source.randbytes(source.randint(0, 2 * size))
    return made


def random_index(
    seed: int = 0, platforms: Iterable[str] = ("linux/amd64", "linux/arm64"), layers: int = 1
) -> ImageIndex:
    """An index with a random image for each platform."""
    images = [random_image(seed + n, layers, platform=Platform.parse(name)) for n, name in enumerate(platforms)]
    return index_of(images)


def index_of(images: Sequence[Image], media_type: str = mediatype.OCI_INDEX) -> ImageIndex:
    """An index of these images whose source holds the manifests and the index as well."""
    blobs = MemoryBlobs()
    for image in images:
        blobs.add(image.manifest.media_type, image.manifest.raw)
    index = Index.build([image.descriptor for image in images], media_type=media_type)
    blobs.add(index.media_type, index.raw)
    return ImageIndex(index, StackedSource(blobs, *[image.source for image in images]))


def blobs_of(image: Image) -> dict[Digest, bytes]:
    """Every blob of an image by digest: layers, configuration and manifest."""
    found = {image.manifest.digest: image.manifest.raw}
    for descriptor in (image.manifest.config, *image.manifest.layers):
        with image.source.open(descriptor) as stream:
            found[descriptor.digest] = stream.read()
    return found


def write_layout(path: str, image: Image) -> None:
    """An OCI image layout with the image as "1", made by hand: a peer's view of it owes nothing to our own store."""
    blobs = os.path.join(path, "blobs/sha256")
    os.makedirs(blobs)
    entry = {**image.manifest.descriptor.to_json(), "annotations": {"org.opencontainers.image.ref.name": "1"}}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    files = {os.path.join(blobs, digest.encoded): data for digest, data in blobs_of(image).items()}
    files |= {f"{path}/oci-layout": b'{"imageLayoutVersion": "1.0.0"}', f"{path}/index.json": index}
    for name, data in files.items():
        with open(name, "wb") as file:
            file.write(data)
