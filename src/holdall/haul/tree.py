"""What belongs to an image: the documents from index to manifests, and the manifests whose blobs go along."""

from __future__ import annotations

from holdall.errors import InvalidManifest, LimitExceeded
from holdall.image.memory import MemoryBlobs
from holdall.image.resolve import resolution
from holdall.oci import mediatype
from holdall.oci.index import Index, detect
from holdall.oci.manifest import Manifest
from holdall.record import record, replace
from holdall.registry.pull import unique

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from holdall.oci.descriptor import Descriptor
    from holdall.oci.digest import Digest
    from holdall.oci.platform import Platform

    Read = Callable[[Descriptor], Awaitable[bytes]]

MAX_DEPTH = 4
MAX_DOCUMENTS = 1_000


@record
class Tree:
    """`documents` are manifests and indexes with their bytes, members before what names them; `top` is the last."""

    top: Descriptor
    documents: tuple[tuple[Descriptor, bytes], ...]
    manifests: tuple[Manifest, ...]

    @property
    def raw(self) -> bytes:
        """The bytes of `top`."""
        return self.documents[-1][1]

    @property
    def index(self) -> Index | None:
        """`top`, if it is an index."""
        return Index.parse(self.raw, self.top.media_type) if mediatype.is_index(self.top.media_type) else None

    @property
    def memory(self) -> MemoryBlobs:
        """The documents as a source."""
        found = MemoryBlobs()
        for descriptor, raw in self.documents:
            found.blobs[descriptor.digest] = raw
        return found

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """All that the manifests point to, each once, but for layers that must not be distributed."""
        found = unique([one for manifest in self.manifests for one in (manifest.config, *manifest.layers)])
        return tuple([one for one in found if not (mediatype.is_foreign(one.media_type) and one.urls)])


async def whole(top: Descriptor, read: Read) -> Tree:
    """All platforms and whatever else an index names. Raises InvalidManifest, LimitExceeded and what `read` raises."""
    found: dict[Digest, tuple[Descriptor, bytes]] = {}
    manifests: list[Manifest] = []

    async def descend(descriptor: Descriptor, depth: int) -> Descriptor:
        if depth > MAX_DEPTH or len(found) >= MAX_DOCUMENTS:
            raise LimitExceeded(
                f"indexes are nested deeper than {MAX_DEPTH} levels, or have more than {MAX_DOCUMENTS} members"
            )
        raw = await read(descriptor)
        kind = detect(raw, descriptor.media_type)
        if mediatype.is_index(kind):
            for one in unique(Index.parse(raw, kind).manifests):
                if one.digest == top.digest:
                    raise InvalidManifest(f'index "{top.digest}" contains itself')
                if one.digest not in found:
                    await descend(one, depth + 1)
        elif descriptor.digest not in found:
            manifests.append(Manifest.parse(raw, kind))
        described = replace(descriptor, media_type=kind)
        found[descriptor.digest] = (described, raw)
        return described

    described = await descend(top, 0)
    return Tree(described, tuple(found.values()), tuple(manifests))


async def one_platform(top: Descriptor, read: Read, platform: Platform) -> Tree:
    """The manifest for a platform alone. Raises ImageNotFound and as `whole`."""
    steps = resolution(top, platform)
    try:
        needed = next(steps)
        while True:
            needed = steps.send(await read(needed))
    except StopIteration as stop:
        manifest: Manifest = stop.value
    return Tree(manifest.descriptor, ((manifest.descriptor, manifest.raw),), (manifest,))
