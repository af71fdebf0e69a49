from __future__ import annotations

import base64

import pytest

from holdall.errors import IntegrityError, InvalidManifest, LimitExceeded
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.platform import Platform

DIGEST = Digest.of(b"hello")
PLAIN: dict[str, object] = {"mediaType": "a/b", "digest": str(DIGEST), "size": 5}


def test_parse_and_serialise_are_inverse() -> None:
    full: dict[str, object] = {
        **PLAIN,
        "urls": ["https://example.org/x"],
        "annotations": {"a": "1", "b": "2"},
        "data": base64.b64encode(b"hello").decode(),
        "platform": {"architecture": "arm", "os": "linux", "os.features": ["x"], "variant": "v7"},
        "artifactType": "c/d",
    }
    parsed = Descriptor.parse(full)
    assert parsed.to_json() == full
    assert parsed.data == b"hello"
    assert parsed.platform == Platform("linux", "arm", "v7", "", ("x",))
    assert Descriptor.parse(PLAIN).to_json() == PLAIN
    assert hash(parsed) == hash(Descriptor.parse(PLAIN))
    assert parsed != Descriptor.parse(PLAIN)


def test_annotations_are_sorted() -> None:
    made = Descriptor("a/b", DIGEST, 5, annotations={"b": "2", "a": "1"}).to_json()["annotations"]
    assert isinstance(made, dict)
    assert list(made) == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mediaType": None}, '"mediaType" is missing'),
        ({"mediaType": ""}, '"mediaType" is missing'),
        ({"mediaType": "nonsense"}, "invalid media type"),
        ({"mediaType": 5}, "must be a string"),
        ({"digest": "sha256:12"}, "64 hex digits"),
        ({"digest": None}, '"digest" is missing'),
        ({"size": -1}, "must be between 0"),
        ({"size": 1 << 63}, "must be between 0"),
        ({"size": "5"}, "must be an integer"),
        ({"size": True}, "must be an integer"),
        ({"size": 5.0}, "must be an integer"),
        ({"size": None}, '"size" is missing'),
        ({"urls": "https://x"}, "must be a list"),
        ({"urls": [1]}, "must hold strings"),
        ({"annotations": {"a": 1}}, "must hold strings"),
        ({"annotations": []}, "must be an object"),
        ({"platform": {"os": "linux"}}, '"architecture" is missing'),
        ({"platform": "linux"}, "must be an object"),
        ({"artifactType": "x"}, "invalid media type"),
        ({"data": "not base64!"}, "must be base64"),
        ({"data": "aGVsbG8"}, "must be base64"),
    ],
)
def test_malformed_descriptors_are_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidManifest, match=reason):
        Descriptor.parse({**PLAIN, **change})


def test_embedded_data_must_match() -> None:
    with pytest.raises(IntegrityError):
        Descriptor.parse({**PLAIN, "data": base64.b64encode(b"HELLO").decode()})
    with pytest.raises(IntegrityError):
        Descriptor.parse({**PLAIN, "size": 4, "data": base64.b64encode(b"hello").decode()})


def test_urls_are_bounded() -> None:
    with pytest.raises(LimitExceeded):
        Descriptor.parse({**PLAIN, "urls": ["x"] * 101})


def test_not_an_object() -> None:
    with pytest.raises(InvalidManifest, match="descriptor must be an object, not a list"):
        Descriptor.parse([])
