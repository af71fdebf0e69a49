from __future__ import annotations

import pytest

from holdall.errors import InvalidMediaType
from holdall.oci import mediatype


@pytest.mark.parametrize("text", [*mediatype.LAYERS, *mediatype.ACCEPT_MANIFESTS, "a/b", "application/x.y-z+json"])
def test_good_media_types_pass(text: str) -> None:
    assert mediatype.check(text) == text


@pytest.mark.parametrize("text", ["", "a", "a/", "/b", "a/b/c", "a b/c", "a/b;q=1", "a/b\n", ".a/b", "a/" + "b" * 128])
def test_malformed_media_types_are_refused(text: str) -> None:
    with pytest.raises(InvalidMediaType):
        mediatype.check(text)


@pytest.mark.parametrize("docker", [False, True])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_compression_and_layer_type_are_inverse(compression: str, docker: bool) -> None:
    kind = mediatype.layer_type(compression, docker=docker)
    assert mediatype.is_layer(kind)
    assert mediatype.is_docker(kind) == docker
    assert mediatype.compression_of(kind) == compression


def test_what_is_not_a_layer_has_no_compression() -> None:
    with pytest.raises(InvalidMediaType):
        mediatype.compression_of(mediatype.OCI_CONFIG)
    with pytest.raises(InvalidMediaType):
        mediatype.layer_type("xz")


def test_families() -> None:
    assert mediatype.is_manifest(mediatype.OCI_MANIFEST)
    assert not mediatype.is_manifest(mediatype.OCI_INDEX)
    assert mediatype.is_index(mediatype.DOCKER_LIST)
    assert mediatype.is_foreign(mediatype.DOCKER_FOREIGN_LAYER_GZIP)
    assert not mediatype.is_config(mediatype.OCI_EMPTY)


def test_bare_drops_parameters() -> None:
    assert mediatype.bare("Application/JSON; charset=utf-8") == "application/json"
