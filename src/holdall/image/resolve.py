"""From a descriptor of anything (manifest, index, index of indexes) to one image for one platform.

`resolution` does no I/O: it yields the descriptor whose document it needs and is sent the bytes, so that the
asynchronous registry client and the synchronous store drive the same code.
"""

from __future__ import annotations

from holdall.errors import ImageNotFound, InvalidManifest, LimitExceeded
from holdall.image import verify
from holdall.image.image import Image
from holdall.image.validate import check_image, check_manifest
from holdall.oci import mediatype
from holdall.oci.config import ImageConfig
from holdall.oci.index import Index, detect
from holdall.oci.manifest import Manifest
from holdall.oci.platform import candidates, no_match

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from holdall.image.blobs import BlobSource
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.oci.platform import Platform

MAX_INDEX_DEPTH = 4
MAX_DOCUMENTS = 64
"""Documents read while one image is looked for."""

if TYPE_CHECKING:
    Resolution = Generator[Descriptor, bytes, Manifest]


def resolution(descriptor: Descriptor, wanted: Platform) -> Resolution:
    """Find the manifest for `wanted` below `descriptor`; see the module's docstring for the protocol.

    A manifest given directly is taken whatever its platform. Raises ImageNotFound (with the platforms there
    are), InvalidManifest (a cycle), IntegrityError, LimitExceeded (4 levels, 64 documents).
    """
    return (yield from _Search(wanted).descend(descriptor, ()))


class _Search:
    def __init__(self, wanted: Platform) -> None:
        self._wanted = wanted
        self._documents = 0

    def descend(self, descriptor: Descriptor, above: tuple[Digest, ...]) -> Resolution:
        raw = yield from self._fetch(descriptor, above)
        kind = detect(raw, descriptor.media_type)
        if mediatype.is_manifest(kind):
            return Manifest.parse(raw, kind)
        index = Index.parse(raw, kind)
        refused: ImageNotFound | None = None
        for one in candidates(index.manifests, self._wanted):
            try:
                return (yield from self.descend(one, (*above, descriptor.digest)))
            except ImageNotFound as err:
                refused = refused or err
        raise refused or no_match(index.manifests, self._wanted)

    def _fetch(self, descriptor: Descriptor, above: tuple[Digest, ...]) -> Generator[Descriptor, bytes, bytes]:
        if descriptor.digest in above:
            raise InvalidManifest(f'index "{descriptor.digest}" contains itself')
        if len(above) > MAX_INDEX_DEPTH:
            raise LimitExceeded(f"indexes are nested deeper than {MAX_INDEX_DEPTH} levels")
        self._documents += 1
        if self._documents > MAX_DOCUMENTS:
            raise LimitExceeded(f"more than {MAX_DOCUMENTS} documents read to find one image")
        if descriptor.data is not None:
            return verify.check(descriptor.data, descriptor)
        if descriptor.size > verify.MAX_DOCUMENT:
            raise LimitExceeded(
                f'manifest "{descriptor.digest}" has {descriptor.size} bytes, {verify.MAX_DOCUMENT} are allowed'
            )
        return verify.check((yield descriptor), descriptor)


def find_manifest(source: BlobSource, descriptor: Descriptor, wanted: Platform) -> Manifest:
    """Drive `resolution` over a synchronous source."""
    steps = resolution(descriptor, wanted)
    try:
        needed = next(steps)
        while True:
            needed = steps.send(verify.read_blob(source, needed))
    except StopIteration as stop:
        found: Manifest = stop.value
        return found


def load_image(source: BlobSource, descriptor: Descriptor, wanted: Platform) -> Image:
    """The image for `wanted` below `descriptor`, validated. Raises as `resolution`, BlobNotFound, Unsupported."""
    manifest = find_manifest(source, descriptor, wanted)
    return image_of(source, manifest)


def image_of(source: BlobSource, manifest: Manifest) -> Image:
    """The image of a manifest whose configuration is in `source`, validated."""
    check_manifest(manifest)
    config = ImageConfig.parse(verify.read_blob(source, manifest.config))
    image = Image(manifest, config, source)
    check_image(image)
    return image
