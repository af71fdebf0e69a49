"""What goes into a catalog and comes out of it (storage.py): values, and the errors that back ends raise."""

from __future__ import annotations

from holdall.errors import LimitExceeded
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.digest import Digest


class Unavailable(OSError):
    """The database or object store does not answer or is busy; the same request may go well `retry_after` s later."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@record
class Stored:
    """A manifest as it lies in one repository. `members` are digests that must be there as long as it is."""

    digest: Digest
    media_type: str
    raw: bytes
    subject: Digest | None = None
    artifact_type: str = ""
    annotations: bytes = b""
    members: tuple[Digest, ...] = ()


@record
class Found:
    """A manifest that was asked for; `raw` is empty when only its existence was."""

    digest: str
    media_type: str
    size: int
    raw: bytes = b""


@record
class Referrer:
    """One line of the referrers API; `number` orders them and says where the next page begins."""

    number: int
    digest: str
    media_type: str
    size: int
    artifact_type: str
    annotations: bytes


@record
class Session:
    """An upload that was begun. `algorithm` is what the client said it will name it by, else sha256."""

    repository: str
    algorithm: str
    started: float


@record
class Page:
    """Names in byte order; `more` when others follow the last one."""

    names: tuple[str, ...]
    more: bool


@record
class Document:
    """A small named value that all instances share (keys, robot tokens); `version` grows with each change."""

    version: int
    raw: bytes


@record
class Bound:
    """A quota: what the repositories that `globs` name may hold together, in bytes and tags; -1 is no bound."""

    name: str
    globs: tuple[str, ...]
    octets: int = -1
    tags: int = -1


class OverQuota(LimitExceeded):
    """A push would take more than a quota allows; `what` is "bytes" or "tags"."""

    def __init__(self, quota: str, what: str, used: int, wanted: int, limit: int) -> None:
        super().__init__(f'the quota "{quota}" is {limit} {what}, {used} are used, {wanted} more are too many')
        self.quota = quota
        self.what = what
        self.used = used
        self.wanted = wanted
        self.limit = limit


@record
class Usage:
    """What some repositories hold: bytes of blobs (in each repository that has them) and manifests, tags."""

    octets: int
    tags: int
    repositories: int


@record
class TagRow:
    """A tag and the manifest it points to. Times in seconds since 1970; `pulled` is 0 when that never happened."""

    name: str
    digest: str
    media_type: str
    size: int
    updated: float
    pulled: float


@record
class Loose:
    """A manifest that may go; `used` is when it was last pushed or pulled."""

    number: int
    repository: str
    digest: str
    used: float


@record
class Summary:
    """A repository in a list; `updated` is when a tag last moved, 0 without tags."""

    name: str
    tags: int
    octets: int
    updated: float


@record
class UpstreamTag:
    """What a tag points to; `checked` is when it was last the same upstream, -1 for a tag that was pushed here."""

    digest: str
    checked: float
