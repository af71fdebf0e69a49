"""One manifest or index: platforms, layers with sizes and commands, settings, labels, what refers to it."""

from __future__ import annotations

import shlex

from holdall.errors import HoldallError
from holdall.oci import timestamp
from holdall.oci.index import Index
from holdall.oci.jsonval import JsonObject, loads
from holdall.record import record
from holdall.registry.server.web import words
from holdall.registry.server.web.html import Html, element, facts, foreign, join, link, table
from holdall.registry.server.web.reading import parse, weight
from holdall.registry.server.web.repository import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdall.oci.config import ImageConfig
    from holdall.oci.descriptor import Descriptor
    from holdall.oci.manifest import Manifest
    from holdall.registry.server.catalog_values import Found, Referrer
    from holdall.registry.server.storage import Catalog
    from holdall.registry.server.web.reading import Brief, Reader

MAX_ROWS = 200
MAX_PAIRS = 200
MAX_COMMAND = 300


@record
class Image:
    """What is to be shown. `there` are members of an index that are here, by digest."""

    repository: str
    reference: str
    found: Found
    document: Manifest | Index
    config: ImageConfig | None
    referrers: tuple[Referrer, ...]
    there: Mapping[str, Brief]


def find(catalog: Catalog, reader: Reader, repository: str, reference: str) -> Image | None:
    """An image by tag or digest, None when it is not there. Synchronous, for a thread. Raises HoldallError."""
    found = catalog.manifest(repository, reference, content=True)
    if found is None:
        return None
    document = parse(found)
    config, there = None, {}
    if isinstance(document, Index):
        for member in [str(one.digest) for one in document.manifests[:MAX_ROWS]]:
            if catalog.manifest(repository, member, content=False) is not None:
                there[member] = reader.brief(repository, member)
    else:
        config = reader.config(repository, document)
    referrers = catalog.referrers(repository, found.digest, "", 0, MAX_ROWS)
    return Image(repository, reference, found, document, config, tuple(referrers), there)


def body(image: Image, host: str) -> Html:
    """The page."""
    by_digest = f"{host}/{image.repository}@{image.found.digest}"
    name = f"{host}/{image.repository}:{image.reference}" if ":" not in image.reference else by_digest
    title = f":{image.reference}" if ":" not in image.reference else f"@{words.short(image.found.digest)}"
    parts: list[str] = [
        element("h1", link(image.repository, words.repository_at(image.repository)), title),
        commands(name),
        facts(
            [
                ("Digest", element("code", image.found.digest)),
                ("Media type", image.found.media_type),
                *_about(image),
            ]
        ),
    ]
    if isinstance(image.document, Index):
        parts += [element("h2", "Platforms"), _members(image, image.document)]
    else:
        parts += [element("h2", "Layers"), _layers(image.document, image.config)]
    if image.config is not None:
        parts.append(_pairs("Labels", image.config.config.labels))
        parts.append(_listed("Environment", image.config.config.env))
    parts.append(_pairs("Annotations", image.document.annotations or {}))
    if image.referrers:
        parts += [element("h2", "Refers to it"), _referrers(image)]
    return join(parts)


def _about(image: Image) -> list[tuple[str, str]]:
    document, config = image.document, image.config
    if isinstance(document, Index):
        return [("Artifact type", foreign(document.artifact_type) if document.artifact_type else "")]
    found = [("Size", words.size(weight(document)))]
    if not document.is_image:
        return [*found, ("Artifact type", foreign(document.artifact_type or document.config.media_type))]
    if config is None:
        return [*found, ("Configuration", "is not here yet, or cannot be read")]
    inner = config.config
    return [
        *found,
        ("Platform", foreign(str(config.platform))),
        ("Created", _created(config.created)),
        ("Author", foreign(config.author) if config.author else ""),
        ("Entrypoint", _command(inner.entrypoint or ())),
        ("Command", _command(inner.cmd or ())),
        ("User", foreign(inner.user) if inner.user else ""),
        ("Working folder", foreign(inner.working_dir) if inner.working_dir else ""),
        ("Ports", foreign(", ".join(inner.exposed_ports)) if inner.exposed_ports else ""),
        ("Volumes", foreign(", ".join(inner.volumes)) if inner.volumes else ""),
    ]


def _created(text: str) -> str:
    try:
        return words.moment(timestamp.parse(text) / 1e9) if text else ""
    except HoldallError:
        return ""


def _command(arguments: Sequence[str]) -> str:
    return element("code", foreign(shlex.join(arguments))) if arguments else ""


def _members(image: Image, index: Index) -> Html:
    rows = []
    for one in index.manifests[:MAX_ROWS]:
        digest = str(one.digest)
        kind = str(one.platform) if one.platform is not None else one.artifact_type or one.media_type
        brief = image.there.get(digest)
        shown = foreign(kind) if brief is None else link(kind, words.image_at(image.repository, digest))
        octets = words.size(brief.octets) if brief is not None and brief.octets else ""
        rows.append((shown, octets, "not here" if brief is None else "", element("code", digest)))
    return join([table(("Platform", "Size", "State", "Digest"), rows), _rest(len(index.manifests))])


def _rest(number: int) -> Html:
    return element("p", f"and {number - MAX_ROWS:,} more", class_="dim") if number > MAX_ROWS else Html("")


def _layers(manifest: Manifest, config: ImageConfig | None) -> Html:
    if not manifest.layers:
        return element("p", "none")
    made = [step for step in config.history if not step.empty_layer] if config is not None else []
    fitting = made if len(made) == len(manifest.layers) else [None] * len(manifest.layers)
    rows = []
    for number, (one, step) in enumerate(zip(manifest.layers[:MAX_ROWS], fitting, strict=False), 1):
        rows.append(
            (
                str(number),
                words.size(one.size),
                _made(one, step.created_by if step else ""),
                element("code", str(one.digest)),
            )
        )
    return join([table(("No.", "Size", "Made by", "Digest"), rows), _rest(len(manifest.layers))])


def _made(one: Descriptor, created_by: str) -> str:
    text = " ".join(created_by.split())
    if not text:
        return foreign(one.media_type)
    return element("code", foreign(text if len(text) <= MAX_COMMAND else text[:MAX_COMMAND] + "…"))


def _pairs(title: str, values: Mapping[str, str]) -> Html:
    if not values:
        return Html("")
    shown = sorted(values.items())[:MAX_PAIRS]
    return join([element("h2", title), facts([(foreign(key), foreign(value) or " ") for key, value in shown])])


def _listed(title: str, values: Sequence[str]) -> Html:
    return _pairs(title, {one.partition("=")[0]: one.partition("=")[2] or " " for one in values})


def _referrers(image: Image) -> Html:
    rows = []
    for one in image.referrers:
        notes: Mapping[str, str] = {}
        if one.annotations:
            try:
                notes = JsonObject({"": loads(one.annotations, "annotations")}).string_map("") or {}
            except HoldallError:
                notes = {}
        shown = link(one.artifact_type or one.media_type, words.image_at(image.repository, one.digest))
        rows.append(
            (
                shown,
                ", ".join(f"{key}={value}" for key, value in sorted(notes.items())[:3]),
                element("code", one.digest),
            )
        )
    return table(("Type", "Annotations", "Digest"), rows)
