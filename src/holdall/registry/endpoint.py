"""Where a registry's requests go: host, schemes worth trying, prefix of a mirror."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from holdall.errors import InvalidInput
from holdall.record import record

HUB = "docker.io"
HUB_HOST = "registry-1.docker.io"
HUB_ALIASES = (HUB, "index.docker.io", HUB_HOST)
"""Names of one registry; its credentials are kept under the second."""

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?")
_PREFIX = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*")


@record
class Endpoint:
    """One server that answers for a registry.

    `registry` is the domain in references, `host` what we connect to (with port), `scheme` "https", "http" or ""
    when it must be found out. `insecure` allows unverified certificates and plain HTTP.
    """

    registry: str
    host: str
    scheme: str = ""
    prefix: str = ""
    insecure: bool = False

    @property
    def schemes(self) -> tuple[str, ...]:
        """Schemes to try, best first: plain HTTP only on loopback or when the user said so, as Docker does."""
        if self.scheme:
            return (self.scheme,)
        return ("https", "http") if self.insecure or is_loopback(self.host) else ("https",)

    @property
    def is_origin(self) -> bool:
        """Whether it is the registry itself, not a mirror of it."""
        return self.host == host_of(self.registry) and not self.prefix

    def repository(self, path: str) -> str:
        """The repository's path on this server."""
        return f"{self.prefix}/{path}" if self.prefix else path

    def __str__(self) -> str:
        scheme = f"{self.scheme}://" if self.scheme else ""
        return scheme + self.host + (f"/{self.prefix}" if self.prefix else "")


def host_of(domain: str) -> str:
    """The host that serves a reference's domain."""
    return HUB_HOST if domain == HUB else domain


def origin(domain: str, *, insecure: bool = False) -> Endpoint:
    """The endpoint of the registry itself."""
    return Endpoint(domain, host_of(domain), "", "", insecure)


def registry_name(text: str) -> str:
    """What a user or a file calls a registry ("https://index.docker.io/v1/", "localhost:5000") as a reference's domain.

    Raises InvalidInput.
    """
    rest = text.strip()
    for scheme in ("https://", "http://"):
        rest = rest.removeprefix(scheme)
    host = rest.partition("/")[0]
    if _HOST.fullmatch(host) is None:
        raise InvalidInput(f'"{ascii(text[:160])[1:-1]}" is not a registry host', hint="write host or host:port")
    return HUB if host.lower() in HUB_ALIASES else host


def mirror(registry: str, text: str, *, insecure: bool) -> Endpoint:
    """Parse a mirror: [scheme://]host[:port][/prefix]. Raises InvalidInput."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    host, _, prefix = rest.rstrip("/").partition("/")
    good_scheme = scheme in (("http", "https") if separator else ("",))
    if not good_scheme or _HOST.fullmatch(host) is None or (prefix and _PREFIX.fullmatch(prefix) is None):
        raise InvalidInput(
            f'mirror "{ascii(text[:160])[1:-1]}" of "{registry}" is not an endpoint',
            hint="write [https://]host[:port][/prefix]",
        )
    return Endpoint(registry, host_of(host), scheme, prefix, insecure or scheme == "http")


def is_loopback(host: str) -> bool:
    """Whether host[:port] is this machine: localhost, 127.0.0.0/8, ::1. Names are not resolved."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
