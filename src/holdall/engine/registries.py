"""Credentials for registries, in Docker's config.json."""

from __future__ import annotations

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.engine.engine import Engine
    from holdall.engine.transfer import TransferOptions

DEFAULT = "docker.io"


@record
class Login:
    """A successful login: `warning` is what to tell about where the password was stored, "" for nothing."""

    registry: str
    warning: str = ""


class Registries:
    """Log in to registries and out of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def login(
        self, registry: str = DEFAULT, *, username: str, password: str, options: TransferOptions | None = None
    ) -> Login:
        """Check the credentials with the registry, then store them. Raises Unauthorized, RegistryError."""
        from holdall.engine.transfer import client_options, run
        from holdall.registry import login as client

        warning = run(client.login(registry, username, password, options=client_options(options)))
        return Login(registry, warning or "")

    def logout(self, registry: str = DEFAULT) -> bool:
        """Forget the credentials; False when there were none."""
        from holdall.registry import login as client

        return client.logout(registry)
