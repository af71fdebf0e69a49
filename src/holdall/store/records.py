"""What the store knows of an image without opening its blobs."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DOCKER_HUB = "docker.io/"
LIBRARY = "docker.io/library/"


@record
class Name:
    """One reference to an image: a tag ("docker.io/library/debian:latest") or a digest ("…/debian@sha256:…").

    `target` is the digest the name was resolved to, an index's or a manifest's; `tag` is "" for a digest reference.
    """

    text: str
    repository: str
    tag: str
    target: str
    manifest: str

    @property
    def familiar(self) -> str:
        """The short form Docker shows: "debian:latest"."""
        return familiar(self.text)


@record
class ImageRecord:
    """One image of the store.

    `id` is the configuration's digest and `manifest` the manifest's (that of the name it was resolved by, else the
    first one stored); `layers` are diff-ids, base first. `created` (by the image's word, 0 if it has none) and
    `stored` are nanoseconds since the epoch; `size` is the bytes of all files in the unpacked layers. `parent` is an
    image ID or "".
    """

    id: str
    manifest: str
    media_type: str
    platform: str
    created: int
    stored: int
    size: int
    parent: str
    labels: Mapping[str, str]
    layers: tuple[str, ...]
    names: tuple[Name, ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """Short forms of the tag references: Docker's RepoTags."""
        return tuple(name.familiar for name in self.names if name.tag)

    @property
    def digests(self) -> tuple[str, ...]:
        """Short forms of the digest references: Docker's RepoDigests."""
        return tuple(name.familiar for name in self.names if not name.tag)

    @property
    def short_id(self) -> str:
        """The first twelve hex digits of the ID."""
        return self.id.partition(":")[2][:12]

    @property
    def dangling(self) -> bool:
        """Whether no tag refers to it."""
        return not any(name.tag for name in self.names)


def familiar(text: str) -> str:
    """The short form of a full reference's text, as `Reference.familiar` makes it; stored names need no parsing."""
    if text.startswith(LIBRARY):
        rest = text.removeprefix(LIBRARY)
        return text if "/" in rest else rest
    if text.startswith(DOCKER_HUB):
        rest = text.removeprefix(DOCKER_HUB)
        first = rest.partition("/")[0]
        return text if "." in first or ":" in first or first == "localhost" else rest
    return text
