"""Image archives: `load` reads what docker, podman, buildah, skopeo and buildkit write; `save` and `import_tree` make.

docker-archive   manifest.json, configurations, layers (docker save); newer ones are an OCI layout as well
oci-archive      a tar of an OCI image layout (skopeo, podman save --format oci-archive, buildx -o type=oci)
oci layout       the same as a folder
"""

from __future__ import annotations

import os

from holdall.errors import InvalidArchive, Unsupported
from holdall.oci.digest import Digest
from holdall.oci.platform import host
from holdall.store.archive_writer import save
from holdall.store.docker_archive import config_of, entries, is_docker_archive, load_docker_archive, names_of
from holdall.store.files import FolderFiles, TarFiles
from holdall.store.layout import is_layout, load_layout
from holdall.store.spool import seekable
from holdall.store.tree_import import import_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import BinaryIO, Self

    from holdall.image.image import Image
    from holdall.oci.platform import Platform
    from holdall.paths import Paths
    from holdall.store.files import Files

    Images = list[tuple[Image, tuple[str, ...]]]

__all__ = ["Loaded", "import_tree", "load", "save"]


class Loaded:
    """The images of an archive, each with its names in full. A context manager: blobs can be read until it is left."""

    def __init__(self, images: Images, stream: BinaryIO | None, *, docker: bool = False) -> None:
        self.images = tuple(images)
        self.docker = docker
        """Whether it is of `docker save`: layers are plain there, however they were at a registry."""
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the archive. Idempotent."""
        if self._stream is not None:
            self._stream.close()


def load(source: str | BinaryIO, paths: Paths, *, platform: Platform | None = None) -> Loaded:
    """Open an archive (path or stream, plain, gzip or zstd) or a layout's folder; `platform` defaults to this host's.

    Layers are verified when they are read to be stored, all else here. Raises PathNotFound, InvalidArchive,
    InvalidManifest, IntegrityError, LimitExceeded, Unsupported, BlobNotFound, ImageNotFound, NoSpace.
    """
    wanted = platform or host()
    if isinstance(source, str) and os.path.isdir(source):
        return Loaded(_images(FolderFiles(source), wanted), None)
    stream = seekable(source, paths)
    try:
        files = TarFiles(stream)
        return Loaded(_images(files, wanted), stream, docker=is_docker_archive(files))
    except BaseException:
        stream.close()
        raise


def _images(files: Files, wanted: Platform) -> Images:
    if is_layout(files):
        found = load_layout(files, wanted)
        return _with_docker_names(files, found) if is_docker_archive(files) else found
    if is_docker_archive(files):
        return load_docker_archive(files)
    if files.size("repositories") is not None:
        raise Unsupported("the archive is of docker before 1.10", hint="load and save it with a newer docker")
    raise InvalidArchive(
        "the archive has neither manifest.json nor index.json",
        hint="use holdall import for the tar of a root file system",
    )


def _with_docker_names(files: Files, found: Images) -> Images:
    """Names that only manifest.json has, given to the images with that configuration."""
    extra: dict[Digest, tuple[str, ...]] = {}
    for entry in entries(files):
        digest = Digest.of(config_of(files, entry))
        extra[digest] = extra.get(digest, ()) + names_of(entry)
    return [(image, tuple(dict.fromkeys((*names, *extra.get(image.id, ()))))) for image, names in found]
