"""Contents of /etc/hosts, /etc/resolv.conf and /etc/hostname for a container: pure functions of text.

`resolv_conf` reads the host's file for whoever calls it with its text, see resolv.conf(5) and hosts(5).
"""

from __future__ import annotations

import socket

from holdall.errors import InvalidOption
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HOST_RESOLV_CONF = "/etc/resolv.conf"
UPSTREAM_RESOLV_CONF = "/run/systemd/resolve/resolv.conf"
"""Where systemd-resolved writes the servers behind its own 127.0.0.53."""

FALLBACK_SERVERS = ("8.8.8.8", "8.8.4.4")
"""Used, as Docker does, when the host names no server that a container could reach; `--dns` overrides them."""

HOST_GATEWAY = "host-gateway"
HOST_NAMES = ("host.docker.internal", "host.containers.internal")
MAX_NAME = 253
MAX_SERVERS = 16
_LOCALHOST = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


@record
class HostEntry:
    """One `--add-host`: a name, and an address or "host-gateway"."""

    name: str
    address: str


def parse_add_host(text: str) -> HostEntry:
    """Parse NAME:ADDRESS or NAME=ADDRESS; an IPv6 address may have brackets. Raises InvalidOption."""
    separator = "=" if "=" in text else ":"
    name, found, address = text.partition(separator)
    address = address.removeprefix("[").removesuffix("]")
    if not found or not _is_name(name):
        raise InvalidOption(f'invalid host entry "{text}"', hint="write NAME:ADDRESS or NAME:host-gateway")
    if address != HOST_GATEWAY and not _is_address(address):
        raise InvalidOption(f'invalid address "{address}" in host entry "{text}"')
    return HostEntry(name, address)


def check_server(text: str) -> str:
    """Return a `--dns` value. Raises InvalidOption unless it is an IP address."""
    if not _is_address(text):
        raise InvalidOption(f'invalid DNS server "{text}": not an IP address')
    return text


def check_search(text: str) -> str:
    """Return a `--dns-search` value. Raises InvalidOption unless it is a domain or "." (no search list)."""
    if text != "." and not _is_name(text):
        raise InvalidOption(f'invalid DNS search domain "{text}"')
    return text


def _is_name(text: str) -> bool:
    return (
        0 < len(text) <= MAX_NAME
        and all(part.isprintable() and not part.isspace() for part in text)
        and "#" not in text
    )


def _is_address(text: str) -> bool:
    return _family(text) is not None


def _family(text: str) -> socket.AddressFamily | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text.partition("%")[0] if family == socket.AF_INET6 else text)
        except (OSError, ValueError):
            continue
        return family
    return None


def hosts(address: str = "", names: Sequence[str] = (), extra: Iterable[HostEntry] = (), *, gateway: str = "") -> str:
    """/etc/hosts: localhost, the `extra` entries, the host itself, and the container's own address and names.

    `gateway` is the host as the container sees it: it replaces "host-gateway" and gets the names host.docker.internal
    and host.containers.internal, unless `extra` gives them to another. `address` may carry a prefix. Raises
    InvalidOption when "host-gateway" is wanted and there is no gateway.
    """
    lines = [_LOCALHOST]
    taken = set()
    for entry in extra:
        target = entry.address
        if target == HOST_GATEWAY:
            if not gateway:
                raise InvalidOption(
                    f'cannot add host "{entry.name}": this network has no gateway', hint="use the bridge network"
                )
            target = gateway
        lines.append(f"{target}\t{entry.name}\n")
        taken.add(entry.name)
    host_names = [name for name in HOST_NAMES if name not in taken]
    if gateway and host_names:
        lines.append(f"{gateway}\t{' '.join(host_names)}\n")
    if address and names:
        lines.append(f"{address.partition('/')[0]}\t{' '.join(dict.fromkeys(names))}\n")
    return "".join(lines)


def resolv_conf(
    host: str,
    *,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    upstream: str = "",
    own_network: bool = True,
) -> str:
    """/etc/resolv.conf from the host's text and --dns, --dns-search, --dns-option, each of which replaces the host's.

    In a network of its own a container cannot reach the host's loopback servers nor, as yet, IPv6: those are left out.
    When none is left the servers of `upstream` (systemd-resolved's own file) stand in, and at last FALLBACK_SERVERS.
    `search` of "." means none. Without `own_network` (host network) the host's servers stay as they are.
    """
    chosen = list(servers) or _servers(host, own_network) or _servers(upstream, own_network)
    if not chosen and own_network:
        chosen = list(FALLBACK_SERVERS)
    domains = [domain for domain in search if domain != "."] if search else _search(host)
    flags = list(options) or _options(host)
    lines = [f"nameserver {server}\n" for server in chosen]
    if domains:
        lines.append(f"search {' '.join(domains)}\n")
    if flags:
        lines.append(f"options {' '.join(flags)}\n")
    return "".join(lines)


def _directives(text: str, name: str) -> list[list[str]]:
    lines = [line.split() for line in text.splitlines() if line[:1] not in ("#", ";")]
    return [words[1:] for words in lines if len(words) > 1 and words[0] == name]


def _servers(text: str, own_network: bool) -> list[str]:
    found = [words[0] for words in _directives(text, "nameserver")][:MAX_SERVERS]
    return [server for server in found if not own_network or _reachable(server)]


def _reachable(server: str) -> bool:
    return _family(server) == socket.AF_INET and not server.startswith("127.") and server != "0.0.0.0"


def _search(text: str) -> list[str]:
    lines = [line.split() for line in text.splitlines()]
    found = [words[1:] for words in lines if len(words) > 1 and words[0] in ("search", "domain")]
    return found[-1] if found else []


def _options(text: str) -> list[str]:
    return list(dict.fromkeys([word for words in _directives(text, "options") for word in words]))


def hostname(name: str) -> str:
    """/etc/hostname."""
    return f"{name}\n"
