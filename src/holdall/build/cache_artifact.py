"""A build cache on its way: an OCI manifest whose configuration says which step made which layer (docs/formats.md).

What comes from outside is read strictly and believed little: a key is only a hint that a layer may be the one wanted,
and the layer counts when its bytes have the digest and the diff-id that are said here.
"""

from __future__ import annotations

import re

from holdall.errors import InvalidManifest, LimitExceeded, Unsupported
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.jsonval import dumps, load_object
from holdall.oci.manifest import MAX_LAYERS, Manifest
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdall.image.image import Image
    from holdall.oci.jsonval import JsonObject

ARTIFACT = "application/vnd.holdall.build.cache.v1"
CONFIG = "application/vnd.holdall.build.cache.config.v1+json"
INLINE = "io.holdall.build.cache"
"""The annotation by which an image's manifest tells the keys of its layers."""
VERSION = 1
MAX_CONFIG = 4 << 20
MAX_STEPS, MAX_MOUNTS = 10_000, 200
MAX_KEYS = 16
"""Keys that one layer of an image may have."""
MAX_TEXT = 500
MAX_SIZE = 1 << 50
_KEY = re.compile(r"[0-9a-f]{64}\Z")
_NAME = re.compile(r"[0-9a-f]{32}\Z")


@record
class CachedStep:
    """The step with this key came to this layer; `size` is that of its tar, `what` the instruction."""

    key: str
    layer: Descriptor
    diff_id: Digest
    size: int
    what: str


@record
class CachedMount:
    """A cache mount: its folder's name (store/cache_mounts.py), its id for people, its content as a layer."""

    name: str
    id: str
    layer: Descriptor
    diff_id: Digest
    size: int


@record
class Cache:
    """What one place has."""

    steps: tuple[CachedStep, ...] = ()
    mounts: tuple[CachedMount, ...] = ()

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """Every blob once."""
        found = [*[one.layer for one in self.steps], *[one.layer for one in self.mounts]]
        return tuple({one.digest: one for one in found}.values())


def write(cache: Cache) -> tuple[Manifest, bytes]:
    """The manifest and its configuration; equal caches give equal bytes. Raises LimitExceeded for too many layers."""
    if len(cache.layers) > MAX_LAYERS:
        raise LimitExceeded(f"a build cache may have {MAX_LAYERS} layers, not {len(cache.layers)}")
    steps = sorted(cache.steps, key=lambda one: one.key)
    mounts = sorted(cache.mounts, key=lambda one: one.name)
    tree = {
        "version": VERSION,
        "steps": [{"key": one.key, **_layer(one), "what": one.what[:MAX_TEXT]} for one in steps],
        "mounts": [{"name": one.name, "id": one.id[:MAX_TEXT], **_layer(one)} for one in mounts],
    }
    raw = dumps(tree)
    if len(raw) > MAX_CONFIG:
        raise LimitExceeded(f"the description of a build cache has {len(raw)} bytes, more than {MAX_CONFIG}")
    config = Descriptor(CONFIG, Digest.of(raw), len(raw))
    layers = Cache(tuple(steps), tuple(mounts)).layers
    return Manifest.build(config, layers, artifact_type=ARTIFACT), raw


def _layer(one: CachedStep | CachedMount) -> dict[str, object]:
    return {"layer": str(one.layer.digest), "diffId": str(one.diff_id), "size": one.size}


def is_cache(manifest: Manifest) -> bool:
    """Whether it is such a cache, and no image."""
    return manifest.config.media_type == CONFIG


def read(manifest: Manifest, config: bytes) -> Cache:
    """The cache that a manifest and its configuration describe. Raises InvalidManifest, LimitExceeded, Unsupported."""
    blobs = _blobs(manifest.layers)
    tree = load_object(config, "build cache", limit=MAX_CONFIG)
    version = tree.integer("version")
    if version != VERSION:
        raise Unsupported(f"the build cache has version {version}, this Holdall knows {VERSION}")
    steps = [_step(one, blobs) for one in tree.children("steps", MAX_STEPS)]
    mounts = [_mount(one, blobs) for one in tree.children("mounts", MAX_MOUNTS)]
    return Cache(tuple(steps), tuple(mounts))


def _blobs(layers: Sequence[Descriptor]) -> Mapping[Digest, Descriptor]:
    found = {}
    for one in layers:
        if not mediatype.is_layer(one.media_type) or mediatype.is_foreign(one.media_type) or one.size > MAX_SIZE:
            raise InvalidManifest(f'the build cache has a blob of type "{ascii(one.media_type[:100])[1:-1]}"')
        found[one.digest] = Descriptor(one.media_type, one.digest, one.size)
    return found


def _place(tree: JsonObject, blobs: Mapping[Digest, Descriptor]) -> tuple[Descriptor, Digest, int]:
    digest = tree.digest("layer")
    blob = blobs.get(digest)
    if blob is None:
        raise InvalidManifest(f'{tree.path("layer")}: the manifest has no blob "{digest}"')
    size = tree.integer("size")
    if not 0 <= size <= MAX_SIZE:
        raise InvalidManifest(f"{tree.path('size')} is out of range")
    return blob, tree.digest("diffId"), size


def _step(tree: JsonObject, blobs: Mapping[Digest, Descriptor]) -> CachedStep:
    key = tree.need_string("key")
    if not _KEY.match(key):
        raise InvalidManifest(f"{tree.path('key')} is no key of a step")
    return CachedStep(key, *_place(tree, blobs), _line(tree.string("what")))


def _mount(tree: JsonObject, blobs: Mapping[Digest, Descriptor]) -> CachedMount:
    name = tree.need_string("name")
    if not _NAME.match(name):
        raise InvalidManifest(f"{tree.path('name')} is no name of a cache mount")
    return CachedMount(name, _line(tree.string("id")), *_place(tree, blobs))


def _line(text: str) -> str:
    return "".join(sign if sign.isprintable() else "�" for sign in text[:MAX_TEXT])


def inline(steps: Sequence[CachedStep], diff_ids: Sequence[Digest]) -> str:
    """The annotation for an image with these layers; "" when no step is known for any."""
    keys: dict[str, list[str]] = {}
    for step in sorted(steps, key=lambda one: one.key):
        if step.diff_id in diff_ids:
            keys.setdefault(str(step.diff_id), []).append(step.key)
    trimmed = {diff_id: found[:MAX_KEYS] for diff_id, found in sorted(keys.items())}
    return dumps({"version": VERSION, "keys": trimmed}).decode() if trimmed else ""


def of_image(image: Image) -> Cache:
    """The cache inline in an image; an empty one when there is none. Raises InvalidManifest, LimitExceeded."""
    text = (image.manifest.annotations or {}).get(INLINE, "")
    if not text:
        return Cache()
    tree = load_object(text.encode(), "build cache", limit=MAX_CONFIG)
    if tree.integer("version") != VERSION:
        return Cache()
    keys = tree.child("keys")
    steps = []
    for layer in image.layers:
        for key in keys.strings(str(layer.diff_id), MAX_KEYS) if keys is not None else ():
            if not _KEY.match(key):
                raise InvalidManifest("the image's build cache has what is no key of a step")
            kind = layer.descriptor
            plain = mediatype.layer_type(mediatype.compression_of(kind.media_type))
            steps.append(CachedStep(key, Descriptor(plain, kind.digest, kind.size), layer.diff_id, 0, ""))
    return Cache(tuple(steps))
