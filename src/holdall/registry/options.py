"""What a caller may choose about talking to registries."""

from __future__ import annotations

from holdall.errors import InvalidOption
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from holdall.registry.credential import Credential

    class CredentialSource(Protocol):
        """Where credentials come from: `credentials.Keychain` or `credential.Fixed`."""

        def lookup(self, registry: str, path: str = "") -> Credential | None:
            """The credential for a registry (a reference's domain) and repository path, or None."""


MAX_CONCURRENCY = 32
MIN_CHUNK = 1 << 16


@record
class Options:
    """Options of the client. Times are seconds.

    `tls_verify` False allows certificates nobody vouches for and, when there is no TLS, plain HTTP.
    `credentials` None reads Docker's and containers' files; `cert_dir` None searches the certs.d folders;
    `mirrors` is the path of the only registries.toml to read, None for the usual ones. `upload_chunk` is the
    size of PATCH requests in bytes, 0 for whole blobs in one PUT. A Retry-After over `max_wait` is an error.
    `lax` are registries (as references name them) for which `tls_verify` is False, `cert_dirs` gives folders by host.
    """

    tls_verify: bool = True
    credentials: CredentialSource | None = None
    cert_dir: str | None = None
    concurrency: int = 4
    retries: int = 5
    mirrors: str | None = None
    upload_chunk: int = 0
    backoff: float = 0.5
    max_wait: float = 60.0
    connect_timeout: float = 30.0
    read_timeout: float = 60.0
    environ: Mapping[str, str] | None = None
    lax: tuple[str, ...] = ()
    cert_dirs: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise InvalidOption(f"concurrency must be between 1 and {MAX_CONCURRENCY}, not {self.concurrency}")
        if self.retries < 0:
            raise InvalidOption(f"retries must not be negative, but are {self.retries}")
        if self.upload_chunk and self.upload_chunk < MIN_CHUNK:
            raise InvalidOption(f"upload chunks must have at least {MIN_CHUNK} bytes, not {self.upload_chunk}")

    def verifies(self, registry: str) -> bool:
        """Whether that registry's certificate must be right."""
        return self.tls_verify and registry not in self.lax

    @property
    def environment(self) -> Mapping[str, str]:
        """`environ`, or this process's."""
        import os

        return os.environ if self.environ is None else self.environ
