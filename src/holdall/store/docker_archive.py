"""What `docker save` writes, as a source: manifest.json lists images, each a configuration, layers and names.

Layers are plain tars as a rule, named by older engines ID/layer.tar (perhaps a symlink to another) and by newer ones
blobs/sha256/HEX; some tools compress them. Nothing in the archive vouches for the layers but the configuration's
diff-ids, and for the configuration only its own name: both are checked.
"""

from __future__ import annotations

import json
import re

from holdall.errors import BlobNotFound, IntegrityError, InvalidArchive, InvalidReference, LimitExceeded, Unsupported
from holdall.image.image import Layer
from holdall.image.mutate import new_image
from holdall.image.validate import check_image
from holdall.oci import mediatype
from holdall.oci.config import ImageConfig
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.jsonval import JsonObject
from holdall.oci.manifest import MAX_LAYERS
from holdall.oci.reference import Reference
from holdall.store.files import clean, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.image.image import Image
    from holdall.store.files import Files

MAX_IMAGES = 1000
MAX_NAMES = 1000
CHUNK = 1 << 20
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
HEX_NAME = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")


class MemberSource:
    """A BlobSource over members found by digest."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._names: dict[Digest, str] = {}

    def add(self, digest: Digest, name: str) -> None:
        """Say which member a blob is."""
        self._names[digest] = name

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """A stream of the blob. Raises BlobNotFound."""
        name = self._names.get(descriptor.digest)
        if name is None:
            raise BlobNotFound(f'the archive has no blob "{descriptor.digest}"')
        return self._files.open(name)


def is_docker_archive(files: Files) -> bool:
    """Whether there is a manifest.json."""
    return files.size("manifest.json") is not None


def entries(files: Files) -> list[JsonObject]:
    """The images manifest.json lists. Raises InvalidArchive, LimitExceeded."""
    raw = read(files, "manifest.json") or b""
    try:
        tree = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidArchive(f"manifest.json is not JSON: {error}") from error
    if not isinstance(tree, list) or not tree:
        raise InvalidArchive("manifest.json lists no images")
    if len(tree) > MAX_IMAGES:
        raise LimitExceeded(f"manifest.json lists {len(tree)} images, more than the {MAX_IMAGES} allowed")
    return [JsonObject.of(one, "manifest.json", error=InvalidArchive) for one in tree]


def load_docker_archive(files: Files) -> list[tuple[Image, tuple[str, ...]]]:
    """Every image with its names in full. Raises InvalidArchive, InvalidManifest, IntegrityError, LimitExceeded."""
    return [(_image(files, entry), names_of(entry)) for entry in entries(files)]


def names_of(entry: JsonObject) -> tuple[str, ...]:
    """RepoTags in full. Raises InvalidArchive."""
    try:
        return tuple(str(Reference.parse(text)) for text in entry.strings("RepoTags", MAX_NAMES))
    except InvalidReference as error:
        raise InvalidArchive(f"manifest.json: {error.message}") from error


def config_of(files: Files, entry: JsonObject) -> bytes:
    """The configuration's bytes; a name made of its digest must be right. Raises InvalidArchive, IntegrityError."""
    name = _member(entry.need_string("Config"))
    raw = read(files, name)
    if raw is None:
        raise InvalidArchive(f'the archive has no configuration "{_short(name)}"')
    named = HEX_NAME.fullmatch(name)
    if named is not None and Digest.of(raw).encoded != named[1]:
        raise IntegrityError(f'configuration "{_short(name)}" has digest "{Digest.of(raw)}"')
    return raw


def _image(files: Files, entry: JsonObject) -> Image:
    config = ImageConfig.parse(config_of(files, entry))
    names = [_member(name) for name in entry.strings("Layers", MAX_LAYERS)]
    if len(names) != len(config.diff_ids):
        raise InvalidArchive(
            f"manifest.json lists {len(names)} layers, but the configuration has {len(config.diff_ids)} diff-ids"
        )
    source = MemberSource(files)
    layers = [_layer(files, source, name, diff_id) for name, diff_id in zip(names, config.diff_ids, strict=True)]
    image = new_image(config, layers)
    check_image(image)
    return image


def _layer(files: Files, source: MemberSource, name: str, diff_id: Digest) -> Layer:
    size = files.size(name)
    if size is None:
        raise InvalidArchive(f'the archive has no layer "{_short(name)}"')
    compression = _compression(files, name)
    # A plain layer's digest is its diff-id, which is verified when it is stored: no need to read it now.
    digest = diff_id if compression == "none" else _hash(files, name)
    source.add(digest, name)
    return Layer(Descriptor(mediatype.layer_type(compression), digest, size), diff_id, source)


def _compression(files: Files, name: str) -> str:
    with files.open(name) as stream:
        head = stream.read(4)
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    if head.startswith((b"BZh", b"\xfd7zX")):
        raise Unsupported(f'layer "{_short(name)}" is compressed by bzip2 or xz', hint="save it again as a plain tar")
    return "none"


def _hash(files: Files, name: str) -> Digest:
    hasher = Digest("sha256", "").hasher()
    with files.open(name) as stream:
        while data := stream.read(CHUNK):
            hasher.update(data)
    return Digest.from_hasher(hasher)


def _member(name: str) -> str:
    return clean(name.encode("utf-8", "surrogatepass"))


def _short(name: str) -> str:
    return ascii(name[:160])[1:-1]
