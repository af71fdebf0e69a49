"""The access file: users, rules, tokens, limits and webhooks of a registry, in one TOML file.

docs/registry-server.md lists its keys; each part is read by the module that uses it.
"""

from __future__ import annotations

import os

from holdall.errors import InvalidInput
from holdall.oci.jsonval import JsonObject
from holdall.record import record
from holdall.registry.server import clients, limits, rules, tables, token_settings, webhooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.registry.server.clients import Network
    from holdall.registry.server.limits import Limits
    from holdall.registry.server.rules import Rules
    from holdall.registry.server.token_settings import Issuer, TokenSettings
    from holdall.registry.server.webhooks import Webhook

_KEYS = {"htpasswd", "anonymous", "rule", "tokens", "issuer", "limits", "trusted_proxies", "webhook"}


@record
class AccessFile:
    """All of it. `htpasswd` is a path, empty when there are no users; `tokens` None when there is no token server."""

    rules: Rules
    htpasswd: str = ""
    tokens: TokenSettings | None = None
    issuers: tuple[Issuer, ...] = ()
    limits: Limits = limits.Limits()
    proxies: tuple[Network, ...] = ()
    webhooks: tuple[Webhook, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Other files that it names."""
        return tuple([path for path in (self.htpasswd, *(one.keys for one in self.issuers)) if path])


def read(path: str) -> AccessFile:
    """Read an access file. Raises OSError, InvalidInput."""
    return parse(tables.load(path), path)


def parse(values: dict[str, object], path: str) -> AccessFile:
    """What decoded TOML says; `path` is the file's, for messages and for finding other files beside it."""
    obj = JsonObject(values, f'"{path}"', InvalidInput)
    tables.only(obj, _KEYS)
    folder = os.path.dirname(os.path.abspath(path))
    htpasswd = obj.string("htpasswd")
    found = AccessFile(
        rules.parse(obj),
        os.path.join(folder, htpasswd) if htpasswd else "",
        token_settings.parse(obj),
        token_settings.parse_issuers(obj, folder),
        limits.parse(obj.child("limits")),
        clients.parse(obj, "trusted_proxies"),
        webhooks.parse(obj, folder),
    )
    if found.issuers and found.tokens is None:
        raise obj.error(f"{obj.path('issuer')} needs tokens", hint="write tokens = true, or a table [tokens]")
    return found
