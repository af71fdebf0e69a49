"""One image: its facts."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from holdall.engine.engine import Engine
    from holdall.oci.config import ImageConfig
    from holdall.store.image_history import Step
    from holdall.store.layer_report import LayerReport
    from holdall.store.records import ImageRecord


@record
class ImageLayer:
    """One layer of an image: its blob's digest and size as the manifest has them, and the command that made it."""

    digest: str
    size: int
    created_by: str
    report: LayerReport


class Image:
    """A handle on one image of a store."""

    def __init__(self, engine: Engine, record: ImageRecord) -> None:
        self._engine = engine
        self.record = record
        self._config: ImageConfig | None = None

    def __repr__(self) -> str:
        return f"<Image {self.short_id} {' '.join(self.tags)}>"

    @property
    def id(self) -> str:
        """Digest of the image's configuration, "sha256:…"."""
        return self.record.id

    @property
    def short_id(self) -> str:
        """The first 12 hex digits of the ID."""
        return self.record.short_id

    @property
    def digest(self) -> str:
        """Digest of the image's manifest: what proves that two copies are one image."""
        return self.record.manifest

    @property
    def tags(self) -> tuple[str, ...]:
        """Names, short as Docker shows them."""
        return self.record.tags

    @property
    def created(self) -> int:
        """When it was made, by its own word: nanoseconds since the epoch, 0 when it does not say."""
        return self.record.created

    @property
    def size(self) -> int:
        """Bytes of all files in its layers."""
        return self.record.size

    @property
    def platform(self) -> str:
        """ "linux/amd64"."""
        return self.record.platform

    @property
    def labels(self) -> Mapping[str, str]:
        """The image's labels."""
        return self.record.labels

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """Digests of the uncompressed layers, base first."""
        return self.record.layers

    @property
    def config(self) -> ImageConfig:
        """The image's configuration as parsed from its blob. Raises StoreCorrupt."""
        if self._config is None:
            self._config = self._engine.images.store.config(self.record)
        return self._config

    def history(self) -> tuple[Step, ...]:
        """How it was made, newest step first."""
        return self._engine.images.store.history(self.record)

    def layers(self) -> tuple[ImageLayer, ...]:
        """Its layers, base first, with what each does to those below. Reads all names. Raises StoreCorrupt."""
        from holdall.store.layer_report import report

        engine, config = self._engine, self.config
        blobs = engine.images.store.image(self.record).manifest.layers
        steps = [step.created_by for step in config.history if not step.empty_layer]
        steps += [""] * (len(self.diff_ids) - len(steps))
        reports = report(engine.snapshots, self.diff_ids)
        return tuple(
            [ImageLayer(str(b.digest), b.size, step, r) for b, step, r in zip(blobs, steps, reports, strict=False)]
        )

    def inspect(self) -> dict[str, Any]:
        """Everything about it, in the shape of `docker image inspect`."""
        from holdall.engine.inspect_image import image_json

        return image_json(self._engine, self)
