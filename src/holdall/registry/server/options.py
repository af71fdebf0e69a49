"""What `holdall registry serve` was asked for, checked before anything is started."""

from __future__ import annotations

import ipaddress
import os

from holdall.errors import InvalidOption
from holdall.record import record
from holdall.registry.server import policy
from holdall.registry.server.access import Access
from holdall.registry.server.exchange import LEASE_SECONDS, MAX_BLOB
from holdall.registry.server.location import Location
from holdall.registry.server.mirror import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.registry.server.certificates import Certificates

MAX_WORKERS = 64
DEFAULT_WORKERS = 4


@record
class ServeOptions:
    """`host` "" is every address; durations in seconds; `gc_every` 0 is no collection; `untagged` -1 keeps all."""

    storage: str
    host: str = "127.0.0.1"
    port: int = 5000
    access_file: str = ""
    htpasswd: str = ""
    anonymous_pull: bool = False
    tokens: bool = False
    tls_cert: str = ""
    tls_key: str = ""
    tls_generate: bool = False
    tls_names: tuple[str, ...] = ()
    access_log: str = ""
    audit_log: str = ""
    workers: int = 1
    max_blob: int = MAX_BLOB
    drain: float = 30.0
    gc_every: float = 3_600.0
    untagged: float = -1.0
    lease: float = LEASE_SECONDS
    where: Location | None = None
    mirrors: str = ""
    policy: str = ""
    web: bool = False

    @property
    def location(self) -> Location:
        """Where rows and bytes are: `where`, or files in the folder `storage`."""
        return Location(self.storage) if self.where is None else self.where

    def certificates(self) -> Certificates:
        """The certificates that are made for this server. Raises InvalidOption."""
        from holdall.registry.server.certificates import Certificates, check_names, default_names

        if not self.location.lasting:
            raise InvalidOption("--tls-generate needs a folder to keep its keys in", hint="give --scratch DIR")
        check_names(self.tls_names)
        folder = os.path.join(self.location.folder, "tls")
        return Certificates(folder, self.tls_names or default_names(self.host))

    def access(self) -> Access:
        """The gate, with its files read. Raises OSError, InvalidInput, Unsupported."""
        return Access(
            access=self.access_file,
            htpasswd=self.htpasswd,
            anonymous_pull=self.anonymous_pull,
            tokens=self.tokens,
        )


def address(text: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT", "[::1]:5000", ":5000". Raises InvalidOption."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise InvalidOption(f'"{text}" is not of the form HOST:PORT')
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InvalidOption(f'"{text}" is not of the form HOST:PORT', hint="write an IPv6 address as [::1]:5000")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def default_workers() -> int:
    """As many as there are processors for us, four at most."""
    return max(1, min(len(os.sched_getaffinity(0)), DEFAULT_WORKERS))


def _ignore(_text: str) -> None:
    """Whoever has the file for long will complain."""


def check(options: ServeOptions) -> None:
    """Refuse what contradicts itself or opens an unprotected registry to others. Raises InvalidOption and more."""
    if not 1 <= options.workers <= MAX_WORKERS:
        raise InvalidOption(f"--workers must be between 1 and {MAX_WORKERS}")
    if options.anonymous_pull and (options.access_file or not (options.htpasswd or options.tokens)):
        raise InvalidOption(
            "--anonymous-pull goes with --htpasswd or --tokens",
            hint='in an access file write anonymous = ["pull"]' if options.access_file else None,
        )
    if options.mirrors:
        settings.watched(options.mirrors, _ignore)
    if options.policy:
        policy.watched(options.policy, _ignore)
    if options.tls_key and not options.tls_cert:
        raise InvalidOption("--tls-key goes with --tls-cert")
    if options.tls_generate and options.tls_cert:
        raise InvalidOption("--tls-generate and --tls-cert contradict each other")
    if options.tls_names and not options.tls_generate:
        raise InvalidOption("--tls-name goes with --tls-generate")
    if options.access().open and not is_loopback(options.host):
        raise InvalidOption(
            f'refusing to listen on "{options.host or "*"}" without credentials: everybody could push',
            hint="give --htpasswd, --tokens or --access, or listen on 127.0.0.1",
        )
