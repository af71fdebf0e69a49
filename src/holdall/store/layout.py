"""OCI image layouts (image-spec image-layout.md) as a source: a folder, or the members of an oci-archive tar."""

from __future__ import annotations

import re

from holdall.errors import IntegrityError, InvalidArchive, InvalidInput, InvalidReference, Unsupported
from holdall.image.resolve import load_image
from holdall.oci import mediatype
from holdall.oci.index import Index
from holdall.oci.jsonval import load_object
from holdall.oci.platform import choose
from holdall.oci.reference import Reference
from holdall.store.files import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.image.image import Image
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.platform import Platform
    from holdall.store.files import Files

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
REFERENCE_TYPE = "vnd.docker.reference.type"
BARE_TAG = re.compile(r"latest|v?[0-9][A-Za-z0-9_.-]*")
MAX_IMAGES = 1000


class LayoutSource:
    """A BlobSource over blobs/ALGORITHM/HEX; bytes are verified by whoever takes them."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of the blob. Raises BlobNotFound, IntegrityError (another size than promised)."""
        name = f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.encoded}"
        size = self.files.size(name)
        if size is not None and size != descriptor.size:
            raise IntegrityError(f'blob "{descriptor.digest}" has {size} bytes, not {descriptor.size}')
        return self.files.open(name)


def is_layout(files: Files) -> bool:
    """Whether there is an index.json: the oci-layout file is often left out."""
    return files.size("index.json") is not None


def load_layout(files: Files, wanted: Platform) -> list[tuple[Image, tuple[str, ...]]]:
    """Every image of the layout with its names in full; of an image for several platforms the `wanted` one.

    Artifacts that are no images are passed over if there are images beside them. Raises InvalidManifest,
    InvalidArchive, BlobNotFound, IntegrityError, Unsupported, ImageNotFound.
    """
    _check_version(files)
    raw = read(files, "index.json")
    if raw is None:
        raise InvalidArchive("the image layout has no index.json")
    index = Index.parse(raw, mediatype.OCI_INDEX)
    source = LayoutSource(files)
    found: dict[str, tuple[Image, list[str]]] = {}
    refused: Unsupported | None = None
    for name, members in _by_name(index).items():
        chosen = choose(members, wanted) if len(members) > 1 else members[0]
        try:
            image = load_image(source, chosen, wanted)
        except Unsupported as error:
            refused = refused or error
            continue
        names = found.setdefault(str(image.digest), (image, []))[1]
        names += [name] if name and not name.startswith("@") else []
    if not found and refused is not None:
        raise refused
    if not found:
        raise InvalidArchive("the image layout has no images")
    return [(image, tuple(names)) for image, names in found.values()]


def _check_version(files: Files) -> None:
    raw = read(files, "oci-layout")
    if raw is None:
        return
    version = load_object(raw, "oci-layout").string("imageLayoutVersion")
    if not version.startswith("1."):
        raise Unsupported(f'the image layout has version "{ascii(version[:40])[1:-1]}", not 1.0.0')


def _by_name(index: Index) -> dict[str, list[Descriptor]]:
    """Members by name; one without name stands alone under "@" and its digest."""
    found: dict[str, list[Descriptor]] = {}
    for one in index.manifests:
        notes = one.annotations or {}
        if REFERENCE_TYPE in notes or (one.platform is not None and one.platform.os == "unknown"):
            continue
        if not (mediatype.is_manifest(one.media_type) or mediatype.is_index(one.media_type)):
            continue
        found.setdefault(_name(notes) or f"@{one.digest}", []).append(one)
    if len(found) > MAX_IMAGES:
        raise InvalidInput(f"the image layout has {len(found)} images, more than the {MAX_IMAGES} allowed")
    return found


def _name(notes: dict[str, str] | object) -> str:
    """The full reference an entry's annotations give, "" for none: a bare tag says nothing of the repository."""
    assert hasattr(notes, "get")
    for key in (CONTAINERD_NAME, REF_NAME):
        text = notes.get(key, "")
        if not text or (key == REF_NAME and BARE_TAG.fullmatch(text)):
            continue
        try:
            reference = Reference.parse(text)
        except InvalidReference:
            continue
        if reference.digest is None:
            return str(reference)
    return ""
