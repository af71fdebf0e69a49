"""What becomes of a build's result: stored, sent to registries, written as archives, folders and tars."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager, suppress

from holdall.build import annotating, outputs
from holdall.build.forms import form
from holdall.build.outputs import Output
from holdall.build.progress import EXPORT, event
from holdall.engine.image import Image
from holdall.engine.output_file import whole_file
from holdall.errors import HoldallError, ImageNotFound, InvalidOption
from holdall.oci.platform import Platform, host
from holdall.oci.reference import Reference
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from holdall.build.build import Build
    from holdall.build.export import Result
    from holdall.build.forms import Form
    from holdall.build.options import BuildOptions
    from holdall.engine.engine import Engine
    from holdall.events import Reporter
    from holdall.image.image import Layer
    from holdall.oci.descriptor import Descriptor
    from holdall.store.records import ImageRecord

STORED = Output(outputs.IMAGE)


class Built(Image):
    """The image that a build has stored, and what the result is as a whole: a manifest, or an index of several."""

    def __init__(self, engine: Engine, record: ImageRecord, descriptor: Descriptor, names: tuple[str, ...]) -> None:
        super().__init__(engine, record)
        self.descriptor = descriptor
        self.names = names

    def metadata(self) -> dict[str, object]:
        """What --metadata-file writes, in buildx's words."""
        found: dict[str, object] = {
            "containerimage.config.digest": self.id,
            "containerimage.descriptor": self.descriptor.to_json(),
            "containerimage.digest": str(self.descriptor.digest),
        }
        if self.names:
            found["image.name"] = ",".join(self.names)
        return found


def check(options: BuildOptions) -> None:
    """Refuse, before anything is built, what cannot be made of it. Raises InvalidOption."""
    platforms = [Platform.parse(one) for one in options.platforms] or [host()]
    tags = [Reference.parse(tag) for tag in options.tags]
    annotating.check(options.annotations, platforms)
    for one in options.outputs:
        annotating.check(one.annotations, platforms)
        if one.type == outputs.DOCKER and one.dest and len(platforms) > 1:
            raise InvalidOption(
                "a docker archive holds one platform only", hint="use type=oci,dest=FILE, or build one --platform"
            )
        if one.push and not (one.names or tags):
            raise InvalidOption("there is no name to push the image to", hint="give it one with --tag or name=")
        if not one.oci and options.annotations and one.type in (outputs.IMAGE, outputs.OCI, outputs.DOCKER):
            raise InvalidOption("annotations are not possible with oci-mediatypes=false")


class Outputs:
    """Carries out one build's outputs. `stream` is what "-" stands for."""

    def __init__(
        self,
        engine: Engine,
        build: Build,
        results: Sequence[Result],
        inline: Sequence[str],
        stream: BinaryIO | None = None,
    ) -> None:
        self._engine = engine
        self._build = build
        self._store = engine.images.writing
        self._results = results
        self._inline = inline
        self._stream = stream
        self._options = build.options
        self._forms: dict[tuple[object, ...], Form] = {}

    def run(self) -> Built:
        """Make everything; the image is stored in any case. Raises what the outputs raise."""
        wanted = self._options.outputs
        images = [one for one in wanted if one.type in (outputs.IMAGE, outputs.DOCKER) and not one.dest and one.store]
        nameless = not images and any(not one.store for one in wanted)
        stored = [self._stored(one, self._names(one)) for one in images]
        stored = stored or [self._stored(STORED, () if nameless else self._options.tags)]
        for one in wanted:
            self._make(one, stored[0].record if one.store else None)
        return stored[0]

    def _names(self, output: Output) -> tuple[str, ...]:
        return output.names or self._options.tags

    def _form(self, output: Output) -> Form:
        key = (output.compression, output.oci, output.annotations)
        if key not in self._forms:
            with self._told("exporting layers"):
                self._forms[key] = form(
                    self._results, output, self._options.annotations, self._inline, self._recompressed
                )
        return self._forms[key]

    def _recompressed(self, layer: Layer, kind: str, level: int | None) -> Layer:
        from holdall.store.recompress import recompressed

        return recompressed(layer, kind, level, self._store, self._build.hold, self._build.stop.check)

    def _stored(self, output: Output, names: tuple[str, ...]) -> Built:
        made = self._form(output)
        references = [Reference.parse(name) for name in names]
        index = made.index.index if made.index is not None else None
        with self._told("storing the image"):
            if index is not None:
                self._build.hold.put(index.descriptor, index.raw)
            record = self._write(made, references[0] if references else None)
            # once a name stands for the index the others are part of it, and pruned by nobody as nameless images
            for image in made.images if index is not None else ():
                if image is not made.main:
                    self._store.write(image, None, index=index, member=True)
            for reference in references[1:]:
                self._write(made, reference)
        return Built(self._engine, record, made.top, tuple([str(reference) for reference in references]))

    def _write(self, made: Form, reference: Reference | None) -> ImageRecord:
        index = made.index.index if made.index is not None else None
        return self._store.write(made.main, reference, index=index, member=index is not None)

    def _make(self, output: Output, record: ImageRecord | None) -> None:
        if output.push:
            for name in self._names(output):
                self._push(output, Reference.parse(name), record)
        elif output.type in (outputs.OCI, outputs.DOCKER) and output.dest:
            self._archive(output)
        elif output.type in (outputs.LOCAL, outputs.TAR):
            self._files(output)

    def _push(self, output: Output, reference: Reference, record: ImageRecord | None) -> None:
        from holdall.engine.pushing import push_made
        from holdall.engine.transfer import TransferOptions

        made = self._form(output)
        if output.by_digest:
            digest = made.top.digest
            reference = replace(reference, tag=None, digest=digest)
        with self._told(f"pushing {reference.familiar()}") as tell:
            options = TransferOptions(tls_verify=not output.insecure)
            push_made(self._engine, made.index or made.main, reference, options, tell)
        if record is not None:
            # whoever has removed it here meanwhile has not undone the push
            with suppress(ImageNotFound):
                self._store.add_digest(self._store.get(record.id), reference, str(made.top.digest))

    def _archive(self, output: Output) -> None:
        from holdall.store import archive_writer, layout_writer

        made = self._form(output)
        names = tuple([str(Reference.parse(name)) for name in self._names(output)])
        with self._told(f"writing {output.dest}"):
            if output.folder:
                layout_writer.write_layout(output.dest, made.images, made.top, names, made.index)
                return
            with self._out(output.dest) as out:
                if output.type == outputs.DOCKER:
                    from holdall.store.anew import with_plain_layers

                    image = made.main
                    if not output.compression.kind:
                        image = with_plain_layers(image, self._build.hold)
                    archive_writer.save([(image, names)], out)
                else:
                    layout_writer.write_archive(out, made.images, made.top, names, made.index)

    def _files(self, output: Output) -> None:
        from holdall.build import trees

        several = len(self._results) > 1
        split = several if output.split is None else output.split
        if several and not split:
            raise InvalidOption("platform-split=false is not possible for several platforms")
        with self._told(f"writing {output.dest}"), ExitStack() as stack:
            roots = []
            for one in self._results:
                diff_ids = tuple([str(layer.diff_id) for layer in one.image.layers])
                name = trees.subfolder(one.platform) if split else ""
                roots.append((name, self._build.sources.view(diff_ids)))
            if output.type == outputs.LOCAL:
                trees.write_folder(roots, output.dest, self._build.epoch)
                return
            trees.write_tar(roots, stack.enter_context(self._out(output.dest)), self._build.epoch)

    @contextmanager
    def _out(self, dest: str) -> Iterator[BinaryIO]:
        """A file that appears whole or not at all, or the stream."""
        if dest == outputs.STDOUT:
            stream = self._stream or sys.stdout.buffer
            if stream.isatty():
                raise InvalidOption("refusing to write an archive to a terminal", hint="give dest=FILE, or redirect")
            yield stream
            stream.flush()
            return
        with whole_file(dest) as file:
            yield file

    @contextmanager
    def _told(self, what: str) -> Iterator[Reporter]:
        """Events around one piece of work; gives a reporter for what a transfer tells."""
        build = self._build
        build.stop.check()
        step = build.step("", 0, 0, what, "", EXPORT)
        build.report(event(step, "started"))
        try:
            yield build.following(step)
        except (HoldallError, OSError):
            build.report(event(step, "stopped" if build.stop.is_set else "failed"))
            raise
        build.report(event(step, "done"))
