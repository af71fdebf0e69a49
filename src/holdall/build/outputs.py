"""`--output`: what becomes of the result, in the words of `docker buildx build`."""

from __future__ import annotations

import os

from holdall.build import annotating, compression, fields
from holdall.build.annotating import Annotation
from holdall.build.compression import Compression
from holdall.errors import InvalidOption
from holdall.oci.reference import Reference
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

IMAGE, DOCKER, OCI, LOCAL, TAR, NOTHING = "image", "docker", "oci", "local", "tar", "cacheonly"
OPTION = "--output"
STDOUT = "-"

__all__ = ["Annotation", "Compression", "Output"]


@record
class Output:
    """One thing to make of the result. `dest` is a path, "-" for standard output, "" for none.

    `names` replace the build's tags; `push` sends the image to their registries, by its digest alone with `by_digest`;
    `insecure` allows those plain HTTP. `store` keeps the image in the store under its names. `oci` chooses the family
    of media types. `folder` makes a layout's folder instead of its tar; `split` a subfolder for each platform (None:
    when there are several).
    """

    type: str
    dest: str = ""
    names: tuple[str, ...] = ()
    push: bool = False
    by_digest: bool = False
    insecure: bool = False
    store: bool = True
    compression: Compression = Compression()
    oci: bool = True
    annotations: tuple[Annotation, ...] = ()
    folder: bool = False
    split: bool | None = None


def parse(text: str) -> Output:
    """One value of --output. Raises InvalidOption."""
    parts = fields.split(text)
    if len(parts) == 1 and parts[0] == text and not text.startswith("type="):
        return Output(TAR, STDOUT) if text == STDOUT else Output(LOCAL, _path(text, LOCAL))
    values = fields.attributes(text, OPTION)
    kind = values.pop("type", "")
    if not kind:
        raise InvalidOption(f'invalid value "{text}" for {OPTION}', hint="type= is missing, for example type=image")
    if kind == "registry":
        kind = IMAGE
        values.setdefault("push", "true")
    read = {IMAGE: _image, DOCKER: _archive, OCI: _archive, LOCAL: _local, TAR: _local, NOTHING: _nothing}.get(kind)
    if read is None:
        raise InvalidOption(
            f'invalid type "{kind}" in {OPTION}', hint="use image, registry, docker, oci, local, tar or cacheonly"
        )
    made = read(kind, values)
    fields.refuse_rest(values, OPTION, kind)
    return made


def chosen(outputs: Iterable[str], *, push: bool = False, load: bool = False) -> tuple[Output, ...]:
    """All of --output with --push and --load. Raises InvalidOption."""
    found = [parse(text) for text in outputs]
    if push:
        found = [replace(one, push=True) if one.type == IMAGE else one for one in found]
        found += [] if any(one.type == IMAGE for one in found) else [Output(IMAGE, push=True)]
    if load and not any(one.type in (IMAGE, DOCKER) and not one.dest for one in found):
        found.append(Output(DOCKER))
    streams = [one for one in found if one.dest == STDOUT]
    if len(streams) > 1:
        raise InvalidOption("only one output can go to standard output", hint="give the others dest=FILE")
    places = [os.path.abspath(one.dest) for one in found if one.dest not in ("", STDOUT)]
    for place in places:
        if places.count(place) > 1:
            raise InvalidOption(f'two outputs go to "{place}"')
    return tuple(found)


def uses_stream(found: Iterable[Output]) -> bool:
    """Whether standard output belongs to one of them."""
    return any(one.dest == STDOUT for one in found)


def _image(kind: str, values: dict[str, str]) -> Output:
    fields.flag(values, "unpack", OPTION)
    by_digest = fields.flag(values, "push-by-digest", OPTION)
    push = fields.flag(values, "push", OPTION) or by_digest
    made = _common(kind, values, oci=True)
    made = replace(
        made,
        push=push,
        by_digest=by_digest,
        insecure=fields.flag(values, "registry.insecure", OPTION),
        store=fields.flag(values, "store", OPTION, default=True),
    )
    if by_digest and len(made.names) != 1:
        raise InvalidOption("push-by-digest needs name=REPOSITORY")
    return made


def _archive(kind: str, values: dict[str, str]) -> Output:
    dest = values.pop("dest", "")
    tar = fields.flag(values, "tar", OPTION, default=True)
    made = _common(kind, values, oci=True)
    if not tar and (kind == DOCKER or dest in ("", STDOUT)):
        raise InvalidOption(f'tar=false is not possible for {OPTION} of type "{kind}"', hint="use type=oci,dest=FOLDER")
    if kind == OCI and not dest:
        dest = STDOUT
    return replace(made, dest=_path(dest, kind), folder=not tar)


def _local(kind: str, values: dict[str, str]) -> Output:
    split = fields.flag(values, "platform-split", OPTION) if values.get("platform-split") else None
    dest = values.pop("dest", "")
    if kind == TAR and not dest:
        dest = STDOUT
    values.pop("platform-split", None)
    return Output(kind, _path(dest, kind), split=split)


def _nothing(kind: str, _values: dict[str, str]) -> Output:
    return Output(kind, store=False)


def _common(kind: str, values: dict[str, str], *, oci: bool) -> Output:
    names = tuple([one for one in fields.split(values.pop("name", "")) if one])
    for name in names:
        Reference.parse(name)
    notes = annotating.take(values)
    oci = fields.flag(values, "oci-mediatypes", OPTION, default=oci)
    if notes and not oci:
        raise InvalidOption("annotations are not possible with oci-mediatypes=false")
    packed = compression.take(values, OPTION)
    if not oci and packed.kind in (compression.ZSTD, compression.CHUNKED):
        raise InvalidOption(f'compression "{packed.kind}" is not possible with oci-mediatypes=false')
    return Output(kind, names=names, compression=packed, oci=oci, annotations=notes)


def _path(dest: str, kind: str) -> str:
    if not dest and kind == LOCAL:
        raise InvalidOption("dest= is missing", hint="write type=local,dest=FOLDER")
    if dest == STDOUT and kind == LOCAL:
        raise InvalidOption("a folder cannot be written to standard output", hint="use --output - for a tar")
    return dest
