"""From a request's path to the thing it names: one pure function instead of a table of regular expressions."""

from __future__ import annotations

from functools import lru_cache

from holdall.errors import InvalidDigest
from holdall.oci.digest import Digest
from holdall.record import record
from holdall.registry.server.names import is_repository, is_tag
from holdall.registry.server.refusal import Refusal

ROOT = "root"
CATALOG = "catalog"
TAGS = "tags"
MANIFEST = "manifest"
BLOB = "blob"
UPLOADS = "uploads"
UPLOAD = "upload"
REFERRERS = "referrers"

METHODS = {
    ROOT: ("GET", "HEAD"),
    CATALOG: ("GET", "HEAD"),
    TAGS: ("GET", "HEAD"),
    MANIFEST: ("GET", "HEAD", "PUT", "DELETE"),
    BLOB: ("GET", "HEAD", "DELETE"),
    UPLOADS: ("POST",),
    UPLOAD: ("GET", "HEAD", "PATCH", "PUT", "DELETE"),
    REFERRERS: ("GET", "HEAD"),
}

MAX_PATH = 1_024
_UPLOAD_ID = 32
_HEX = "0123456789abcdef"


@record
class Route:
    """What a path names. `tag` or `digest` for a manifest, `digest` for blobs and referrers, `upload` an id."""

    kind: str
    repository: str = ""
    tag: str = ""
    digest: Digest | None = None
    upload: str = ""


def find(path: str) -> Route | None:
    """The route of a decoded path, None when it is none of ours. Raises Refusal for a malformed name in it."""
    if len(path) > MAX_PATH:
        raise Refusal("NAME_INVALID", f"the path has more than {MAX_PATH} characters")
    return _find(path)


@lru_cache(maxsize=8192)
def _find(path: str) -> Route | None:
    if not path.startswith("/v2/"):
        return Route(ROOT) if path == "/v2" else None
    rest = path[4:]
    if not rest:
        return Route(ROOT)
    if rest == "_catalog":
        return Route(CATALOG)
    parts = rest.split("/")
    if parts[-2:] == ["tags", "list"]:
        return Route(TAGS, _repository(parts[:-2]))
    if len(parts) > 2 and parts[-2] == "manifests":
        return _manifest(_repository(parts[:-2]), parts[-1])
    if parts[-2:] == ["blobs", "uploads"]:
        return Route(UPLOADS, _repository(parts[:-2]))
    if len(parts) > 3 and parts[-3:-1] == ["blobs", "uploads"]:
        return _upload(_repository(parts[:-3]), parts[-1])
    if len(parts) > 2 and parts[-2] == "blobs":
        return Route(BLOB, _repository(parts[:-2]), digest=parse_digest(parts[-1]))
    if len(parts) > 2 and parts[-2] == "referrers":
        return Route(REFERRERS, _repository(parts[:-2]), digest=parse_digest(parts[-1]))
    return None


def _repository(parts: list[str]) -> str:
    name = "/".join(parts)
    if not is_repository(name):
        raise Refusal("NAME_INVALID", "the repository's name is malformed", detail={"name": ascii(name)[1:-1][:300]})
    return name


def _manifest(repository: str, reference: str) -> Route:
    if ":" in reference:
        return Route(MANIFEST, repository, digest=parse_digest(reference))
    if not is_tag(reference):
        raise Refusal("TAG_INVALID", "the tag is malformed", detail={"tag": ascii(reference)[1:-1][:300]})
    return Route(MANIFEST, repository, tag=reference)


def _upload(repository: str, upload: str) -> Route:
    if not upload:
        return Route(UPLOADS, repository)
    plain = upload.replace("-", "")
    if len(plain) != _UPLOAD_ID or plain.strip(_HEX) or len(upload) != _UPLOAD_ID + 4:
        raise Refusal("BLOB_UPLOAD_UNKNOWN", "no such upload")
    return Route(UPLOAD, repository, upload=upload)


def parse_digest(text: str) -> Digest:
    """A digest from a URL. Raises Refusal (DIGEST_INVALID)."""
    try:
        return Digest.parse(text)
    except InvalidDigest as err:
        raise Refusal("DIGEST_INVALID", err.message) from err
