"""Images from files of this machine: archives, root file systems, packed programs; and archives out of images."""

from __future__ import annotations

from holdall.errors import InvalidOption
from holdall.oci.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from holdall.engine.engine import Engine
    from holdall.events import Reporter
    from holdall.image.image import Image, Layer
    from holdall.oci.container_config import ContainerConfig
    from holdall.pack.options import PackOptions
    from holdall.pack.write import TarSink
    from holdall.store.records import ImageRecord


def load(engine: Engine, source: str | BinaryIO, reporter: Reporter) -> list[ImageRecord]:
    """Store every image of an archive under the names it has there."""
    from holdall.store import archive
    from holdall.store.anew import with_compressed_layers

    store = engine.images.writing
    records = []
    with archive.load(source, engine.paths) as loaded:
        for image, names in loaded.images:
            references = [Reference.parse(name) for name in names]
            with store.hold() as hold:
                if loaded.docker:
                    image = with_compressed_layers(image, store, hold, reporter)
                record = store.write(image, references[0] if references else None, progress=reporter)
                for reference in references[1:]:
                    # not as another tag: the first may have been removed by now
                    record = store.write(image, reference, progress=reporter)
            records.append(store.find(record.id) or record)
    return records


def save(engine: Engine, names: Sequence[str], out: BinaryIO, format: str) -> None:
    """Write images, each under the tags it was asked for by (all its tags when asked for by ID)."""
    from holdall.store import archive, compressed
    from holdall.store.keeping import keeping

    if format not in ("docker-archive", "oci-archive"):
        raise InvalidOption(f'invalid value "{format}" for --format', hint="use docker-archive or oci-archive")
    store = engine.images.store
    chosen: dict[str, tuple[ImageRecord, list[str]]] = {}
    for name in names:
        record = store.resolve(name)
        tags = [tag.text for tag in record.names if tag.tag and _asked(tag.text, name)]
        chosen.setdefault(record.id, (record, []))[1].extend(tags)
    with keeping(engine.images.writing, [record for record, _ in chosen.values()]):
        images = []
        for record, tags in chosen.values():
            image = store.image(record)
            compressed.touch(engine.database(), [one.digest for one in image.manifest.layers])
            images.append((_saved(engine, image, format), tuple(dict.fromkeys(tags))))
        archive.save(images, out, format=format)


def _saved(engine: Engine, image: Image, format: str) -> Image:
    """In a docker-archive layers are plain tars, if we have those; in an oci-archive what their manifest says, or,
    when that cannot be had, compressed anew.
    """
    from holdall.store import anew

    store = engine.images.writing
    if format == "docker-archive":
        return anew.with_plain_layers(image, store.content)
    missing = anew.unavailable(image, store.content)
    return anew.compressed_anew(image, store.content, store.database, missing) if missing else image


def _asked(tag: str, name: str) -> bool:
    from holdall.errors import InvalidReference

    try:
        return str(Reference.parse(name)) == tag
    except InvalidReference:
        return True


def import_tree(
    engine: Engine,
    archive: BinaryIO,
    name: str | None,
    *,
    config: ContainerConfig | None,
    changes: Sequence[str],
    message: str,
    platform: str | None,
    reporter: Reporter,
) -> ImageRecord:
    """Store the tar of a root file system as an image of one layer."""
    from holdall.engine.changes import apply_changes
    from holdall.oci.container_config import ContainerConfig
    from holdall.oci.platform import Platform, host
    from holdall.store import archive as archives

    reference = Reference.parse(name) if name else None
    chosen = apply_changes(config or ContainerConfig(), changes)
    store = engine.images.writing
    with store.hold() as blobs:
        image = archives.import_tree(
            archive,
            blobs,
            store.snapshots,
            config=chosen,
            platform=Platform.parse(platform) if platform else host(),
            comment=message,
        )
        return store.write(image, reference, progress=reporter)


def pack(
    engine: Engine, programs: Sequence[str], name: str | None, options: PackOptions, reporter: Reporter
) -> ImageRecord:
    """Store an image made from programs of this machine."""
    from holdall.pack.pack import build, plan_pack
    from holdall.store.layer_maker import LayerMaker

    reference = Reference.parse(name) if name else None
    store = engine.images.writing
    plan = plan_pack(programs, options)
    with store.hold() as blobs:

        def layer(write: Callable[[TarSink], None]) -> Layer:
            with LayerMaker(store.snapshots, blobs, plan.compression) as maker:
                write(maker)
                return maker.commit().layer(blobs)

        image = build(plan, engine.paths.ingest, reporter, layer)
        return store.write(image, reference, progress=reporter)
