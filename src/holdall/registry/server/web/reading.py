"""What pages need of manifests and configurations; synchronous, for threads. Nothing an image says can break a page."""

from __future__ import annotations

from functools import lru_cache

from holdall.errors import HoldallError
from holdall.oci import mediatype
from holdall.oci.config import ImageConfig
from holdall.oci.digest import Digest
from holdall.oci.index import Index, detect
from holdall.oci.manifest import Manifest
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.registry.server.catalog_values import Found
    from holdall.registry.server.shelf import Shelf

MAX_CONFIG = 4 << 20
MAX_KNOWN = 10_000
MAX_PLATFORMS = 100


@record
class Brief:
    """A line about an image: its platforms, and the bytes a pull of one of them moves (0: there are several)."""

    platforms: tuple[str, ...]
    octets: int


class Reader:
    """Reads documents of one registry; what was said of a digest is remembered, as it does not change."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._brief = lru_cache(maxsize=MAX_KNOWN)(self._read_brief)

    def brief(self, repository: str, digest: str) -> Brief:
        """What the list of tags shows of a manifest."""
        try:
            return self._brief(repository, digest)
        except (HoldallError, OSError):
            return Brief((), 0)

    def _read_brief(self, repository: str, digest: str) -> Brief:
        found = self._shelf.catalog.manifest(repository, digest, content=True)
        if found is None:
            raise FileNotFoundError(digest)
        document = parse(found)
        if isinstance(document, Index):
            platforms = [
                str(one.platform) for one in document.manifests if one.platform and one.platform.os != "unknown"
            ]
            return Brief(tuple(dict.fromkeys(platforms[:MAX_PLATFORMS])), 0)
        config = self.config(repository, document)
        platforms = [] if config is None else [str(config.platform)]
        return Brief(tuple(platforms), weight(document))

    def config(self, repository: str, manifest: Manifest) -> ImageConfig | None:
        """An image's configuration, None when there is none that can be read."""
        one = manifest.config
        if not manifest.is_image or one.size > MAX_CONFIG:
            return None
        if self._shelf.catalog.blob_size(repository, str(one.digest)) is None:
            return None
        try:
            with self._shelf.blobs.open(one.digest) as file:
                raw = file.read(one.size + 1)
            return ImageConfig.parse(raw) if Digest.of(raw, one.digest.algorithm) == one.digest else None
        except (HoldallError, OSError):
            return None


def parse(found: Found) -> Manifest | Index:
    """A stored manifest or index. Raises HoldallError."""
    kind = detect(found.raw, found.media_type)
    return Index.parse(found.raw, kind) if mediatype.is_index(kind) else Manifest.parse(found.raw, kind)


def weight(manifest: Manifest) -> int:
    """The bytes of an image as it is transferred."""
    return len(manifest.raw) + manifest.config.size + sum(one.size for one in manifest.layers)
