from __future__ import annotations

import pytest

from holdall.oci.digest import Digest
from holdall.registry.server import route
from holdall.registry.server.names import is_repository, is_tag
from holdall.registry.server.refusal import Refusal
from holdall.registry.server.route import Route

DIGEST = Digest.of(b"x")
UPLOAD = "0e3d4c5b-0000-4000-8000-00000000000a"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/v2", Route("root")),
        ("/v2/", Route("root")),
        ("/v2/_catalog", Route("catalog")),
        ("/v2/a/tags/list", Route("tags", "a")),
        ("/v2/a/b/c/tags/list", Route("tags", "a/b/c")),
        ("/v2/a/b/manifests/1.0", Route("manifest", "a/b", tag="1.0")),
        (f"/v2/a/b/manifests/{DIGEST}", Route("manifest", "a/b", digest=DIGEST)),
        (f"/v2/a/blobs/{DIGEST}", Route("blob", "a", digest=DIGEST)),
        ("/v2/a/blobs/uploads", Route("uploads", "a")),
        ("/v2/a/blobs/uploads/", Route("uploads", "a")),
        (f"/v2/a/blobs/uploads/{UPLOAD}", Route("upload", "a", upload=UPLOAD)),
        (f"/v2/a/referrers/{DIGEST}", Route("referrers", "a", digest=DIGEST)),
        ("/v2/manifests/manifests/manifests", Route("manifest", "manifests", tag="manifests")),
        ("/v2/tags/list/tags/list", Route("tags", "tags/list")),
        ("/v2/blobs/uploads/blobs/uploads/", Route("uploads", "blobs/uploads")),
        ("/", None),
        ("/v1/", None),
        ("/v2/a", None),
        ("/v2/a/b/unknown/x", None),
        ("/v3/a/tags/list", None),
    ],
)
def test_paths_lead_to_what_they_name(path: str, found: Route | None) -> None:
    assert route.find(path) == found


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/A/tags/list", "NAME_INVALID"),
        ("/v2//tags/list", "NAME_INVALID"),
        ("/v2/a//b/tags/list", "NAME_INVALID"),
        ("/v2/../etc/tags/list", "NAME_INVALID"),
        ("/v2/a/./b/tags/list", "NAME_INVALID"),
        ("/v2/a b/tags/list", "NAME_INVALID"),
        ("/v2/a:b/tags/list", "NAME_INVALID"),
        ("/v2/a\n/tags/list", "NAME_INVALID"),
        ("/v2/" + "a" * 256 + "/tags/list", "NAME_INVALID"),
        ("/v2/" + "a/" * 600, "NAME_INVALID"),
        ("/v2/a/manifests/-x", "TAG_INVALID"),
        ("/v2/a/manifests/" + "x" * 129, "TAG_INVALID"),
        ("/v2/a/manifests/", "TAG_INVALID"),
        ("/v2/a/manifests/x\n", "TAG_INVALID"),
        ("/v2/a/manifests/sha256:baddigest", "DIGEST_INVALID"),
        ("/v2/a/manifests/md5:" + "0" * 32, "DIGEST_INVALID"),
        ("/v2/a/blobs/x", "DIGEST_INVALID"),
        ("/v2/a/blobs/sha256:" + "A" * 64, "DIGEST_INVALID"),
        ("/v2/a/referrers/x", "DIGEST_INVALID"),
        ("/v2/a/blobs/uploads/..", "BLOB_UPLOAD_UNKNOWN"),
        ("/v2/a/blobs/uploads/" + "-" * 36, "BLOB_UPLOAD_UNKNOWN"),
        ("/v2/a/blobs/uploads/" + "0" * 36, "BLOB_UPLOAD_UNKNOWN"),
    ],
)
def test_malformed_names_are_refused_with_their_code(path: str, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        route.find(path)
    assert caught.value.code == code


def test_names_follow_the_grammar() -> None:
    for name in ("a", "a/b", "a.b-c__d/e-f", "0", "a" * 255, "localhost", "a.b/c"):
        assert is_repository(name), name
    for name in ("", "/", "a/", "/a", "a..b", "-a", "a_", "A", "a@b", "é", "a" * 256):
        assert not is_repository(name), name
    for tag in ("_", "A.-_9", "latest"):
        assert is_tag(tag), tag
    for tag in ("", ".a", "a/b", "a:b", "-"):
        assert not is_tag(tag), tag
