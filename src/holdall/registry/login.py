"""Login and logout: a credential is stored only once the registry has accepted it."""

from __future__ import annotations

from holdall.errors import InvalidOption
from holdall.registry.credential import Credential
from holdall.registry.credentials import Keychain
from holdall.registry.endpoint import HUB, registry_name
from holdall.registry.options import Options
from holdall.registry.query import verify_login

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


async def login(
    registry: str, username: str, password: str, *, keychain: Keychain | None = None, options: Options | None = None
) -> str:
    """Check a credential with the registry ("" is Docker Hub) and store it; a warning to show, "" for none.

    Raises Unauthorized, RegistryError; InvalidInput, InvalidOption; NotPermitted, SystemFailure (file, helper).
    """
    settings = options or Options()
    domain = registry_name(registry or HUB)
    if not username or not password:
        raise InvalidOption("user and password must not be empty")
    if ":" in username:
        raise InvalidOption('the user name must not contain ":"')
    credential = Credential(username, password)
    await verify_login(domain, credential, options=settings)
    return (keychain or Keychain.default(settings.environment)).store(domain, credential)


def logout(registry: str, *, keychain: Keychain | None = None, environ: Mapping[str, str] | None = None) -> bool:
    """Forget a registry's credential; whether there was one. Raises InvalidInput, NotPermitted, SystemFailure."""
    return (keychain or Keychain.default(environ)).erase(registry_name(registry or HUB))
