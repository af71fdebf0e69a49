"""Media types of OCI image-spec 1.1 and Docker image manifest v2 schema 2, and what they say of their content."""

from __future__ import annotations

import re

from holdall.errors import InvalidMediaType

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"
OCI_FOREIGN_LAYER_GZIP = OCI_FOREIGN_LAYER + "+gzip"
OCI_FOREIGN_LAYER_ZSTD = OCI_FOREIGN_LAYER + "+zstd"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"
DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar"
DOCKER_FOREIGN_LAYER_GZIP = DOCKER_FOREIGN_LAYER + ".gzip"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"

MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_LIST)
CONFIGS = (OCI_CONFIG, DOCKER_CONFIG)
SCHEMA1 = (DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED)
FOREIGN_LAYERS = (
    OCI_FOREIGN_LAYER,
    OCI_FOREIGN_LAYER_GZIP,
    OCI_FOREIGN_LAYER_ZSTD,
    DOCKER_FOREIGN_LAYER,
    DOCKER_FOREIGN_LAYER_GZIP,
)
LAYERS = {
    OCI_LAYER: "none",
    OCI_LAYER_GZIP: "gzip",
    OCI_LAYER_ZSTD: "zstd",
    OCI_FOREIGN_LAYER: "none",
    OCI_FOREIGN_LAYER_GZIP: "gzip",
    OCI_FOREIGN_LAYER_ZSTD: "zstd",
    DOCKER_LAYER: "none",
    DOCKER_LAYER_GZIP: "gzip",
    DOCKER_LAYER_ZSTD: "zstd",
    DOCKER_FOREIGN_LAYER: "none",
    DOCKER_FOREIGN_LAYER_GZIP: "gzip",
}
ACCEPT_MANIFESTS = (*MANIFESTS, *INDEXES)
"""What a client asks a registry for, in order of preference."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_VALID = f"{_NAME}/{_NAME}"
_KNOWN = frozenset((*MANIFESTS, *INDEXES, *CONFIGS, *LAYERS))


def check(text: str) -> str:
    """Return `text` if it follows RFC 6838 section 4.2, else raise InvalidMediaType."""
    if text not in _KNOWN and re.fullmatch(_VALID, text) is None:
        shown = ascii(text[:160])[1:-1]
        raise InvalidMediaType(f'invalid media type "{shown}"')
    return text


def bare(content_type: str) -> str:
    """A Content-Type header's value without parameters, lower case as registries compare it; not checked."""
    return content_type.partition(";")[0].strip().lower()


def is_manifest(media_type: str) -> bool:
    """Whether it names an image manifest we read."""
    return media_type in MANIFESTS


def is_index(media_type: str) -> bool:
    """Whether it names an image index or manifest list."""
    return media_type in INDEXES


def is_config(media_type: str) -> bool:
    """Whether it names an image configuration (and not an artifact's)."""
    return media_type in CONFIGS


def is_layer(media_type: str) -> bool:
    """Whether it names a file system layer."""
    return media_type in LAYERS


def is_foreign(media_type: str) -> bool:
    """Whether it names a layer whose bytes may have to come from the descriptor's URLs."""
    return media_type in FOREIGN_LAYERS


def is_docker(media_type: str) -> bool:
    """Whether it is of Docker's family; one image keeps to one family."""
    return media_type.startswith("application/vnd.docker.")


def compression_of(media_type: str) -> str:
    """How a layer of this type is compressed: "none", "gzip" or "zstd". Raises InvalidMediaType for a non-layer."""
    try:
        return LAYERS[media_type]
    except KeyError:
        raise InvalidMediaType(f'"{ascii(media_type[:160])[1:-1]}" is not a layer\'s media type') from None


def layer_type(compression: str, *, docker: bool = False) -> str:
    """The media type of a layer compressed so, in either family. Raises InvalidMediaType for another compression."""
    oci = {"none": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}
    old = {"none": DOCKER_LAYER, "gzip": DOCKER_LAYER_GZIP, "zstd": DOCKER_LAYER_ZSTD}
    try:
        return (old if docker else oci)[compression]
    except KeyError:
        raise InvalidMediaType(f'no layer media type for compression "{compression}"') from None
