from __future__ import annotations

import json

import pytest

from holdall.errors import InvalidManifest, LimitExceeded, Unsupported
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.index import MAX_MANIFESTS, Index, detect
from holdall.oci.manifest import Manifest
from holdall.oci.platform import Platform

MEMBER = Descriptor(mediatype.OCI_MANIFEST, Digest.of(b"m"), 1, platform=Platform("linux", "amd64"))
MANIFEST = Manifest.build(Descriptor(mediatype.OCI_CONFIG, Digest.of(b"c"), 1), [])


def test_build_and_parse() -> None:
    made = Index.build([MEMBER], {"b": "2", "a": "1"})
    assert Index.parse(made.raw, mediatype.OCI_INDEX) == made
    assert made.manifests == (MEMBER,)
    assert made.descriptor == Descriptor(mediatype.OCI_INDEX, Digest.of(made.raw), len(made.raw))
    tree = json.loads(made.raw)
    assert list(tree) == ["schemaVersion", "mediaType", "manifests", "annotations"]
    assert list(tree["annotations"]) == ["a", "b"]


def test_subject_and_artifact_type() -> None:
    made = Index.build([], subject=MEMBER, artifact_type="x/y")
    assert (made.subject, made.artifact_type) == (MEMBER, "x/y")


def test_docker_lists() -> None:
    made = Index.build([MEMBER], media_type=mediatype.DOCKER_LIST)
    assert Index.parse(made.raw).media_type == mediatype.DOCKER_LIST


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"schemaVersion":2}', '"manifests" is missing'),
        (b'{"manifests":[]}', "schemaVersion"),
        (b'{"schemaVersion":2,"manifests":[],"layers":[]}', "as a manifest has"),
        (b'{"schemaVersion":2,"manifests":[],"config":{}}', "as a manifest has"),
        (b'{"schemaVersion":2,"manifests":[{}]}', "is missing"),
        (b'{"schemaVersion":2,"manifests":[],"mediaType":"application/vnd.oci.image.manifest.v1+json"}', "not one of"),
        (MANIFEST.raw, "not one of"),
    ],
)
def test_malformed_indexes_are_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidManifest, match=reason):
        Index.parse(raw)


def test_members_are_bounded() -> None:
    one = b'{"mediaType":"a/b","digest":"sha256:' + b"0" * 64 + b'","size":1}'
    raw = b'{"schemaVersion":2,"manifests":[' + b",".join([one] * (MAX_MANIFESTS + 1)) + b"]}"
    with pytest.raises(LimitExceeded, match="10001 members"):
        Index.parse(raw)


def test_detect() -> None:
    silent_index, silent_manifest = (
        b'{"schemaVersion":2,"manifests":[]}',
        MANIFEST.raw.replace(b'"mediaType":"application/vnd.oci.image.manifest.v1+json",', b"", 1),
    )
    assert detect(MANIFEST.raw) == mediatype.OCI_MANIFEST
    assert detect(silent_index) == mediatype.OCI_INDEX
    assert detect(silent_index, mediatype.DOCKER_LIST) == mediatype.DOCKER_LIST
    assert detect(silent_manifest) == mediatype.OCI_MANIFEST
    with pytest.raises(InvalidManifest):
        detect(b'{"schemaVersion":2}')
    with pytest.raises(InvalidManifest):
        detect(MANIFEST.raw, mediatype.OCI_INDEX)
    with pytest.raises(Unsupported):
        detect(b'{"schemaVersion":1}')
