"""Push: an image of the store to the registry its name says, with what the store knows of other registries."""

from __future__ import annotations

from contextlib import ExitStack

from holdall.engine.transfer import client_options, run
from holdall.errors import BlobNotFound, ImageNotFound, InvalidOption
from holdall.events import Event
from holdall.image.image import Image
from holdall.image.index import ImageIndex
from holdall.oci.digest import Digest
from holdall.oci.index import Index
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.store import members

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Collection

    from holdall.engine.engine import Engine
    from holdall.engine.transfer import TransferOptions
    from holdall.events import Reporter
    from holdall.oci.descriptor import Descriptor
    from holdall.store.holds import HeldContent
    from holdall.store.images import ImageStore
    from holdall.store.origins import Origins
    from holdall.store.records import ImageRecord

CHUNK = 8 << 20
"""Bytes that a killed push may have to send again."""


def push(engine: Engine, name: str, options: TransferOptions | None, reporter: Reporter) -> str:
    """Send the image that has this name to the registry the name says; the manifest's digest.

    Blobs whose bytes are not kept are made again from their tars, or come from where they once came from; when
    neither is possible they are compressed anew, which makes another manifest of the same image.
    """
    from holdall.store.compressed import touch
    from holdall.store.keeping import keeping
    from holdall.store.release import release

    reference = Reference.parse(name)
    if reference.digest is not None:
        raise InvalidOption(f'cannot push "{name}": a name with a digest has no tag to push to')
    store = engine.images.writing
    record = store.resolve(name)
    target = next((one.target for one in record.names if one.text == str(reference)), record.manifest)
    if target != record.manifest and members.whole(store, target):
        with keeping(store, members.of(store, target), index=target):
            index = ImageIndex(Index.parse(store.content.read(Digest.parse(target))), store.content)
            descriptor = push_made(engine, index, reference, options, reporter)
        _note(store, record, reference, descriptor)
        return str(descriptor.digest)
    with keeping(store, [record]) as hold:
        image = store.image(record)
        touch(store.database, [one.digest for one in image.manifest.layers])
        try:
            descriptor = _push(engine, image, reference, options, reporter)
        except BlobNotFound as missing:
            from holdall.registry.push import BlobsMissing

            if not isinstance(missing, BlobsMissing):
                raise
            record, image = _anew(store, hold, record, reference, missing.digests, reporter)
            descriptor = _push(engine, image, reference, options, reporter)
    _note(store, record, reference, descriptor)
    release(store.database, store.content.paths, [one.digest for one in image.manifest.layers])
    return str(descriptor.digest)


def _note(store: ImageStore, record: ImageRecord, reference: Reference, descriptor: Descriptor) -> None:
    try:
        store.add_digest(record, reference, str(descriptor.digest))
    except ImageNotFound:
        # it was removed here meanwhile: the registry has it
        pass


def push_made(
    engine: Engine,
    made: Image | ImageIndex,
    reference: Reference,
    options: TransferOptions | None,
    reporter: Reporter,
) -> Descriptor:
    """Send an image, or an index with all its images, with its blobs at hand. Raises RegistryError, BlobNotFound."""
    if isinstance(made, Image):
        return _push(engine, made, reference, options, reporter)
    from holdall.registry import push as client
    from holdall.store.origins import Origins

    origins = Origins(engine.database(durable=True))
    chosen = replace(client_options(options), upload_chunk=CHUNK)
    return run(client.push_index(made, reference, origins=origins, options=chosen, reporter=reporter))


def _push(
    engine: Engine, image: Image, reference: Reference, options: TransferOptions | None, reporter: Reporter
) -> Descriptor:
    from holdall.store.origins import Origins
    from holdall.store.uploads import Uploads

    origins = Origins(engine.database(durable=True))
    with ExitStack() as stack:
        courier = _courier(image, reference, origins)
        if courier is not None:
            stack.enter_context(courier)
        # only now: this takes as long as the courier's start, and can be done at the same time
        from holdall.registry import push as client

        return run(
            client.push(
                image,
                reference,
                origins=origins,
                notes=Uploads(engine.database(), engine.paths),
                courier=courier,
                options=replace(client_options(options), upload_chunk=CHUNK),
                reporter=reporter,
            )
        )


def _courier(image: Image, reference: Reference, origins: Origins) -> socket.socket | None:
    """A courier, if one will be needed as far as we know. Without one the push starts its own."""
    from holdall.registry.courier_start import start

    for one in image.manifest.layers:
        if one.size > CHUNK and reference.name not in origins.of(one.digest):
            try:
                return start()
            except OSError:
                return None
    return None


def _anew(
    store: ImageStore,
    hold: HeldContent,
    record: ImageRecord,
    reference: Reference,
    digests: Collection[Digest],
    reporter: Reporter,
) -> tuple[ImageRecord, Image]:
    """The image with these blobs compressed again, stored under the name in place of the old manifest."""
    from holdall.store.anew import compressed_anew

    def tell(old: Descriptor, new: Descriptor) -> None:
        reporter(Event(new.digest.short, "compressed", message=f"layer {old.digest.short} is compressed anew"))

    image = compressed_anew(store.image(store.at(record.id, record.manifest)), hold, store.database, digests, tell)
    changed = f"the manifest's digest is now {image.digest}, not {record.manifest}; the image ID stays"
    reporter(Event(reference.familiar(), "changed", message=changed, done=True))
    hold.keep_all([one.digest for one in image.manifest.layers], [])
    return store.write(image, reference), image
