from __future__ import annotations

import json
from typing import Any

import pytest

from holdall.errors import InvalidManifest, LimitExceeded, Unsupported
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.manifest import MAX_LAYERS, Manifest

CONFIG = Descriptor(mediatype.OCI_CONFIG, Digest.of(b"c"), 1)
LAYER = Descriptor(mediatype.OCI_LAYER_GZIP, Digest.of(b"l"), 1)


def document(**changes: Any) -> bytes:
    tree: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": mediatype.OCI_MANIFEST,
        "config": CONFIG.to_json(),
        "layers": [LAYER.to_json()],
    }
    tree.update(changes)
    return json.dumps({key: value for key, value in tree.items() if value is not ...}).encode()


def test_parse_keeps_raw_bytes_and_unknown_fields() -> None:
    raw = document(future={"a": [1]})
    parsed = Manifest.parse(raw)
    assert parsed.raw == raw
    assert parsed.config == CONFIG
    assert parsed.layers == (LAYER,)
    assert parsed.media_type == mediatype.OCI_MANIFEST
    assert parsed.digest == Digest.of(raw)
    assert parsed.descriptor == Descriptor(mediatype.OCI_MANIFEST, Digest.of(raw), len(raw))
    assert parsed.is_image


def test_build_is_canonical() -> None:
    made = Manifest.build(CONFIG, [LAYER], {"b": "2", "a": "1"}, subject=LAYER, artifact_type="x/y")
    expected = (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"x/y",'
        f'"config":{{"mediaType":"{CONFIG.media_type}","digest":"{CONFIG.digest}","size":1}},'
        f'"layers":[{{"mediaType":"{LAYER.media_type}","digest":"{LAYER.digest}","size":1}}],'
        f'"subject":{{"mediaType":"{LAYER.media_type}","digest":"{LAYER.digest}","size":1}},'
        '"annotations":{"a":"1","b":"2"}}'
    )
    assert made.raw.decode() == expected
    assert made.annotations == {"a": "1", "b": "2"}
    assert made.subject == LAYER
    assert Manifest.build(CONFIG, [LAYER], {"a": "1", "b": "2"}, subject=LAYER, artifact_type="x/y").raw == made.raw


def test_the_kind_is_what_inside_and_outside_agree_on() -> None:
    silent = document(mediaType=...)
    assert Manifest.parse(silent).media_type == mediatype.OCI_MANIFEST
    assert Manifest.parse(silent, "application/json").media_type == mediatype.OCI_MANIFEST
    assert Manifest.parse(silent, mediatype.DOCKER_MANIFEST).media_type == mediatype.DOCKER_MANIFEST
    docker = Descriptor(mediatype.DOCKER_CONFIG, CONFIG.digest, 1).to_json()
    assert Manifest.parse(document(mediaType=..., config=docker)).media_type == mediatype.DOCKER_MANIFEST
    assert Manifest.parse(document(), mediatype.OCI_MANIFEST + "; charset=utf-8").media_type == mediatype.OCI_MANIFEST


def test_disagreement_about_the_kind_is_refused() -> None:
    with pytest.raises(InvalidManifest, match="was given as"):
        Manifest.parse(document(), mediatype.DOCKER_MANIFEST)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schemaVersion": ...}, "schemaVersion"),
        ({"schemaVersion": 3}, "schemaVersion"),
        ({"schemaVersion": "2"}, "must be an integer"),
        ({"mediaType": mediatype.OCI_INDEX}, "not one of"),
        ({"mediaType": "x"}, "invalid media type"),
        ({"config": ...}, '"config" is missing'),
        ({"config": []}, "must be an object"),
        ({"layers": ...}, '"layers" is missing'),
        ({"layers": {}}, "must be a list"),
        ({"layers": [1]}, "must be an object"),
        ({"manifests": []}, "as an index has"),
        ({"annotations": {"a": 1}}, "strings only"),
        ({"subject": 1}, "must be an object"),
        ({"artifactType": "nonsense"}, "invalid media type"),
    ],
)
def test_malformed_manifests_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidManifest, match=reason):
        Manifest.parse(document(**change))


def test_null_layers_are_none() -> None:
    assert Manifest.parse(document(layers=None)).layers == ()


@pytest.mark.parametrize(
    ("raw", "outside"),
    [
        (b'{"schemaVersion":1,"name":"x","fsLayers":[]}', None),
        (document(mediaType=...), mediatype.DOCKER_SCHEMA1_SIGNED),
    ],
)
def test_schema_1_is_refused_with_a_hint(raw: bytes, outside: str | None) -> None:
    with pytest.raises(Unsupported, match="schema 1") as caught:
        Manifest.parse(raw, outside)
    assert caught.value.hint is not None
    assert "skopeo" in caught.value.hint


def test_layers_are_bounded() -> None:
    assert len(Manifest.parse(document(layers=[LAYER.to_json()] * MAX_LAYERS)).layers) == MAX_LAYERS
    with pytest.raises(LimitExceeded, match="1001 members"):
        Manifest.parse(document(layers=[LAYER.to_json()] * (MAX_LAYERS + 1)))


def test_size_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="bytes"):
        Manifest.parse(document(annotations={"a": "x" * (4 << 20)}))


def test_other_artifacts_are_told_from_images() -> None:
    empty = Descriptor(mediatype.OCI_EMPTY, Digest.of(b"{}"), 2)
    assert not Manifest.build(empty, [], artifact_type="a/b").is_image
