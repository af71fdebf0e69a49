"""The servers that may hold a reference's repository, in the order to ask them."""

from __future__ import annotations

from holdall.registry.client import Registry
from holdall.registry.mirrors import endpoints
from holdall.registry.repository import Repository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.reference import Reference
    from holdall.registry.endpoint import Endpoint
    from holdall.registry.options import CredentialSource
    from holdall.registry.transport import Transport


def repositories(transport: Transport, reference: Reference, *, write: bool = False) -> tuple[Repository, ...]:
    """Mirrors and the registry itself; with `write` the registry alone. Raises InvalidInput (configuration)."""
    options = transport.options
    keychain = options.credentials
    if keychain is None:
        from holdall.registry.credentials import Keychain

        keychain = Keychain.default(options.environment)
    return tuple(
        [
            Repository(_registry(transport, one, keychain, reference.path), reference.path, write=write)
            for one in endpoints(reference.domain, options, write=write)
        ]
    )


def _registry(transport: Transport, one: Endpoint, keychain: CredentialSource, path: str) -> Registry:
    # a mirror gets the credentials stored for its own host, never those of the registry it mirrors
    name = one.registry if one.is_origin else one.host
    return Registry(transport, one, keychain.lookup(name, one.repository(path)))
