"""Image configurations (image-spec config.md) with Docker's additions; parsed once, exact bytes kept."""

from __future__ import annotations

from holdall.errors import InvalidManifest
from holdall.oci.container_config import ContainerConfig
from holdall.oci.digest import Digest
from holdall.oci.history import History, checked_time
from holdall.oci.jsonval import JsonObject, dumps_words, load_object
from holdall.oci.manifest import MAX_LAYERS
from holdall.oci.platform import MAX_FEATURES, Platform
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_HISTORY = 10_000

_KNOWN = frozenset(
    ("created", "author", "architecture", "variant", "os", "os.version", "os.features", "config", "rootfs", "history")
)


@record
class ImageConfig:
    """What an image's processes start with, and its layers' diff IDs, lowest first."""

    raw: bytes
    platform: Platform
    config: ContainerConfig
    diff_ids: tuple[Digest, ...]
    history: tuple[History, ...] = ()
    created: str = ""
    author: str = ""

    @classmethod
    def parse(cls, raw: bytes) -> ImageConfig:
        """Parse a configuration. Raises InvalidManifest, LimitExceeded (4 MiB, 1,000 layers, 10,000 steps)."""
        obj = load_object(raw, "image config")
        rootfs = obj.need_child("rootfs")
        if rootfs.string("type") != "layers":
            raise InvalidManifest(f'{rootfs.path("type")} must be "layers"')
        inner = obj.child("config")
        return cls(
            raw,
            _platform(obj),
            ContainerConfig() if inner is None else ContainerConfig.from_json(inner),
            rootfs.digests("diff_ids", MAX_LAYERS),
            tuple([History.from_json(one) for one in obj.children("history", MAX_HISTORY)]),
            checked_time(obj, "created"),
            obj.string("author"),
        )

    @classmethod
    def build(
        cls,
        platform: Platform,
        diff_ids: Sequence[Digest],
        config: ContainerConfig | None = None,
        *,
        history: Sequence[History] = (),
        created: str = "",
        author: str = "",
        base: ImageConfig | None = None,
    ) -> ImageConfig:
        """Make a configuration; equal input gives equal bytes. Fields of `base` that we do not model are kept."""
        outer, inner = _unknown(base)
        tree: dict[str, object] = {"created": created, "author": author, **platform.to_json()}
        tree = {key: value for key, value in tree.items() if value}
        tree["config"] = {**(config or ContainerConfig()).to_json(), **inner}
        tree["rootfs"] = {"type": "layers", "diff_ids": [str(one) for one in diff_ids]}
        if history:
            tree["history"] = [one.to_json() for one in history]
        return cls.parse(dumps_words({**tree, **outer}))

    @property
    def digest(self) -> Digest:
        """The image ID: sha256 of the exact bytes."""
        return Digest.of(self.raw)

    def __hash__(self) -> int:
        return hash(self.raw)


def _platform(obj: JsonObject) -> Platform:
    return Platform(
        obj.need_string("os"),
        obj.need_string("architecture"),
        obj.string("variant"),
        obj.string("os.version"),
        obj.strings("os.features", MAX_FEATURES),
    )


def _unknown(base: ImageConfig | None) -> tuple[dict[str, object], dict[str, object]]:
    """Members of `base`, and of its "config", that our types do not model."""
    if base is None:
        return {}, {}
    obj = load_object(base.raw, "image config")
    inner = obj.child("config")
    outer = {key: value for key, value in sorted(obj.values.items()) if key not in _KNOWN}
    return outer, {} if inner is None else ContainerConfig.unknown(inner)
