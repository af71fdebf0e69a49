"""Who is at the other end of a connection: its address and how it reached us, also through proxies that are trusted.

What a proxy says (X-Forwarded-For, X-Forwarded-Proto) counts only when the connection comes from an address that the
access file names in `trusted_proxies`: anybody can send those headers.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aiohttp import web

    from holdall.oci.jsonval import JsonObject

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HOPS = 32
MAX_NETWORKS = 1_000
_HOST = re.compile(r"[A-Za-z0-9._-]{1,255}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")


@record
class Caller:
    """Where a request comes from. `host` is what the client calls us ("registry.example:5000")."""

    address: str
    secure: bool
    host: str

    @property
    def url(self) -> str:
        """Our own address as the client knows it."""
        return f"{'https' if self.secure else 'http'}://{self.host}"


def parse(obj: JsonObject, key: str) -> tuple[Network, ...]:
    """Networks named by address or "10.0.0.0/8". Raises the object's error."""
    found = []
    for text in obj.strings(key, MAX_NETWORKS):
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as err:
            raise obj.error(f'{obj.path(key)}: "{text[:60]}" is no address or network') from err
    return tuple(found)


def caller(request: web.BaseRequest, trusted: tuple[Network, ...]) -> Caller:
    """Who sends this request."""
    near, secure, host = request.remote or "", request.secure, request.headers.get("Host", "")
    found = _near(near, secure, host)
    if not found.host:
        found = Caller(found.address, secure, _own(request))
    if not trusted or not _within(found.address, trusted):
        return found
    said = request.headers.get("X-Forwarded-Proto", "")
    secure = said.rpartition(",")[2].strip().lower() == "https" if said else secure
    address = _behind(found.address, request.headers.getall("X-Forwarded-For", []), trusted)
    return Caller(address, secure, found.host)


@lru_cache(maxsize=4096)
def _near(address: str, secure: bool, host: str) -> Caller:
    """The other end of the connection itself; no host when what it calls us cannot be."""
    return Caller(_plain(address), secure, host if _HOST.fullmatch(host) else "")


def _behind(near: str, headers: list[str], trusted: tuple[Network, ...]) -> str:
    """The last address that no trusted proxy vouches for any more; each proxy has added its neighbour at the end."""
    hops = ",".join(headers).split(",")[-MAX_HOPS:]
    for text in reversed(hops):
        found = _plain(_without_port(text.strip()))
        if not found:
            break
        near = found
        if not _within(near, trusted):
            break
    return near


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    """An address in its one spelling, "" for anything else; IPv4 within IPv6 is IPv4."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


@lru_cache(maxsize=4096)
def _within(text: str, networks: tuple[Network, ...]) -> bool:
    if not text:
        return False
    address = ipaddress.ip_address(text)
    return any(address in network for network in networks)


@lru_cache(maxsize=4096)
def bucket(text: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 that an IPv6 address is in (one customer has it all)."""
    if ":" not in text:
        return text
    return str(ipaddress.ip_network((text, 64), strict=False))


def inside(text: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address that `caller` gave is in one of the networks."""
    return _within(text, networks)


def _own(request: web.BaseRequest) -> str:
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if not name:
        return "localhost"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
