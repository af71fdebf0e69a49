from __future__ import annotations

import pytest

from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.oci.jsonval import dumps
from holdall.registry.server.content import examine
from holdall.registry.server.refusal import Refusal

DIGEST = Digest.of(b"{}")
CONFIG = {"mediaType": "application/vnd.test", "digest": str(DIGEST), "size": 2}
BASE = {"schemaVersion": 2, "mediaType": mediatype.OCI_MANIFEST, "config": CONFIG, "layers": []}


def layer(text: bytes, **more: object) -> dict[str, object]:
    return {"mediaType": mediatype.OCI_LAYER, "digest": str(Digest.of(text)), "size": len(text), **more}


def test_members_are_config_and_layers_but_nothing_foreign() -> None:
    foreign = layer(b"foreign", mediaType=mediatype.OCI_FOREIGN_LAYER)
    linked = layer(b"linked", urls=["https://example.org/x"])
    subject = {"mediaType": mediatype.OCI_MANIFEST, "digest": str(Digest.of(b"s")), "size": 1}
    found = examine(dumps({**BASE, "layers": [layer(b"one"), foreign, linked], "subject": subject}), "", None)
    assert found.members == (DIGEST, Digest.of(b"one"))
    assert found.subject == Digest.of(b"s")
    assert found.artifact_type == "application/vnd.test"
    assert found.annotations == b""


def test_artifact_type_and_annotations_are_kept_for_referrers() -> None:
    found = examine(dumps({**BASE, "artifactType": "a/b", "annotations": {"x": "y"}}), "", None)
    assert (found.artifact_type, found.annotations) == ("a/b", b'{"x":"y"}')


def test_members_of_an_index_are_its_manifests() -> None:
    child = {"mediaType": mediatype.OCI_MANIFEST, "digest": str(DIGEST), "size": 2}
    found = examine(dumps({"schemaVersion": 2, "manifests": [child]}), mediatype.OCI_INDEX, None)
    assert (found.media_type, found.members, found.artifact_type) == (mediatype.OCI_INDEX, (DIGEST,), "")


def test_the_digest_may_be_sha512() -> None:
    raw = dumps(BASE)
    assert examine(raw, "", Digest.of(raw, "sha512")).digest == Digest.of(raw, "sha512")


@pytest.mark.parametrize(
    ("raw", "content_type", "code"),
    [
        (b"", "", "MANIFEST_INVALID"),
        (b"[]", "", "MANIFEST_INVALID"),
        (b"{", "", "MANIFEST_INVALID"),
        (b'{"schemaVersion":1}', "", "MANIFEST_INVALID"),
        (dumps({**BASE, "config": {**CONFIG, "size": -1}}), "", "MANIFEST_INVALID"),
        (dumps({**BASE, "config": {**CONFIG, "digest": "sha256:x"}}), "", "MANIFEST_INVALID"),
        (dumps({k: v for k, v in BASE.items() if k != "layers"}), "", "MANIFEST_INVALID"),
        (dumps(BASE), mediatype.OCI_INDEX, "MANIFEST_INVALID"),
        (dumps(BASE), mediatype.DOCKER_MANIFEST, "MANIFEST_INVALID"),
        (dumps({**BASE, "manifests": []}), "", "MANIFEST_INVALID"),
        (dumps({**BASE, "mediaType": "application/x"}), "", "MANIFEST_INVALID"),
    ],
)
def test_what_is_no_manifest_is_refused(raw: bytes, content_type: str, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        examine(raw, content_type, None)
    assert caught.value.code == code


def test_another_digest_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        examine(dumps(BASE), "", DIGEST)
    assert caught.value.code == "DIGEST_INVALID"
