"""Image references: the grammar of distribution/reference with Docker's short names.

    reference := [domain "/"] path [":" tag] ["@" digest]

"debian" is docker.io/library/debian:latest. A first component is a domain when it holds "." or ":", is
"localhost" or has an upper-case letter.
"""

from __future__ import annotations

import re

from holdall.errors import InvalidDigest, InvalidReference
from holdall.oci.digest import Digest
from holdall.record import record, replace

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
LEGACY_DOMAIN = "index.docker.io"
MAX_PATH = 255
MAX_TEXT = 4_096

_ALPHANUMERIC = "[a-z0-9]+"
_COMPONENT = f"{_ALPHANUMERIC}(?:(?:[._]|__|-+){_ALPHANUMERIC})*"
_LABEL = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REFERENCE = (
    rf"(?P<domain>{_DOMAIN})/(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>[^@]+))?"
)
_IDENTIFIER = "[a-f0-9]{64}"


@record
class Reference:
    """A normalised reference. `tag` is None only when there is a digest; `str()` is the full form."""

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse what a user wrote, filling in domain, "library/" and tag as Docker does. Raises InvalidReference."""
        if not text:
            raise InvalidReference("image reference is empty")
        if len(text) > MAX_TEXT:
            raise InvalidReference(f"image reference has {len(text)} characters, more than the {MAX_TEXT} allowed")
        if re.fullmatch(_IDENTIFIER, text):
            raise InvalidReference(
                f'invalid reference "{text}": 64 hex digits are an image ID, not a name',
                hint="add a tag if it is a name",
            )
        domain, rest = _split(text)
        remote = rest.partition("@")[0].partition(":")[0]
        if remote.lower() != remote:
            raise _invalid(text, f'repository name "{ascii(remote)[1:-1]}" must be lower case')
        match = re.fullmatch(_REFERENCE, f"{domain}/{rest}")
        if match is None:
            raise _invalid(text, _diagnose(domain, rest))
        path, tag, digest = match["path"], match["tag"], match["digest"]
        if len(path) > MAX_PATH:
            raise _invalid(text, f"repository name has more than {MAX_PATH} characters")
        if digest is None:
            return cls(match["domain"], path, tag or DEFAULT_TAG, None)
        return cls(match["domain"], path, tag, _digest(text, digest))

    @property
    def name(self) -> str:
        """Domain and path: "docker.io/library/debian"."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The name as Docker shows it: "debian", "library/a/b", "ghcr.io/x/y"."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        namespace, _, rest = self.path.partition("/")
        if namespace == "library" and rest and "/" not in rest:
            return rest
        return self.name if "." in namespace or namespace == "localhost" else self.path

    def familiar(self) -> str:
        """The short form, which parses back to this reference: "debian:latest"."""
        return self.familiar_name + self._suffix()

    def with_tag(self, tag: str) -> Reference:
        """The same name with this tag and no digest. Raises InvalidReference."""
        if re.fullmatch(_TAG, tag) is None:
            raise InvalidReference(f'invalid tag "{ascii(tag[:160])[1:-1]}"')
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: Digest) -> Reference:
        """The same name with this digest and no tag."""
        return replace(self, tag=None, digest=digest)

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix()


def _split(text: str) -> tuple[str, str]:
    """Docker's rule for where the domain ends."""
    first, slash, rest = text.partition("/")
    if not slash:
        return DEFAULT_DOMAIN, f"library/{text}"
    if first == LEGACY_DOMAIN:
        first = DEFAULT_DOMAIN
    elif not (first == "localhost" or "." in first or ":" in first or first.lower() != first):
        return DEFAULT_DOMAIN, text
    if first == DEFAULT_DOMAIN and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def _digest(text: str, digest: str) -> Digest:
    try:
        return Digest.parse(digest)
    except InvalidDigest as err:
        raise InvalidReference(
            err.message.replace("digest", f'reference "{_short(text)}": digest', 1), hint=err.hint
        ) from err


def _diagnose(domain: str, rest: str) -> str:
    if re.fullmatch(_DOMAIN, domain) is None:
        return f'"{_short(domain)}" is not a registry host'
    remote, at, _ = rest.partition("@")
    path, colon, tag = remote.partition(":")
    if not path or re.fullmatch(f"{_COMPONENT}(?:/{_COMPONENT})*", path) is None:
        return f'"{_short(path)}" is not a repository name'
    if colon and re.fullmatch(_TAG, tag) is None:
        return f'"{_short(tag)}" is not a tag'
    return "digest is malformed" if at else "malformed"


def _invalid(text: str, reason: str) -> InvalidReference:
    return InvalidReference(f'invalid reference "{_short(text)}": {reason}')


def _short(text: str) -> str:
    return ascii(text if len(text) <= 160 else text[:157] + "...")[1:-1]
