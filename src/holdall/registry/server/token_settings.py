"""What the access file says of tokens: our own token server ([tokens]) and other issuers ([[issuer]])."""

from __future__ import annotations

import os
import re

from holdall.record import record
from holdall.registry.server import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.oci.jsonval import JsonObject

KEYS = "token-keys"
"""The document with the keys that sign."""
SERVICE = "holdall"
LIFETIME = 300.0
MIN_LIFETIME = 60.0
LOGIN_LIFETIME = 90 * 86_400.0
MAX_ISSUERS = 100
MAX_TOKEN = 16 << 10
_KEYS = {"realm", "service", "lifetime", "login_lifetime"}
_ISSUER_KEYS = {"name", "issuer", "keys", "audience"}
_SERVICE = re.compile(r"[A-Za-z0-9._:/-]{1,255}")
_URL = re.compile(r'https?://[^\s"\\/@?#]+(?:/[^\s"\\?#]*)?')
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@record
class TokenSettings:
    """`realm` "" is /token at the address the client uses; lifetimes in seconds."""

    realm: str = ""
    service: str = SERVICE
    lifetime: float = LIFETIME
    login_lifetime: float = LOGIN_LIFETIME


@record
class Issuer:
    """Somebody else who signs tokens: `issuer` is their `iss`, `keys` a file; `audience` "" is our service."""

    name: str
    issuer: str
    keys: str
    audience: str = ""


def parse(obj: JsonObject) -> TokenSettings | None:
    """The key `tokens`, a table or true. Raises the object's error."""
    value = obj.values.get("tokens")
    if value is None or isinstance(value, bool):
        return TokenSettings() if value else None
    table = obj.child("tokens")
    assert table is not None
    tables.only(table, _KEYS)
    found = TokenSettings(
        table.string("realm"),
        table.string("service", SERVICE),
        tables.seconds(table, "lifetime", LIFETIME, least=MIN_LIFETIME),
        tables.seconds(table, "login_lifetime", LOGIN_LIFETIME, least=MIN_LIFETIME),
    )
    if found.realm and not _URL.fullmatch(found.realm):
        raise table.error(f"{table.path('realm')} is not the url of a token server")
    if not _SERVICE.fullmatch(found.service):
        raise table.error(f"{table.path('service')} may have letters, digits and ._:/- only")
    return found


def parse_issuers(obj: JsonObject, folder: str) -> tuple[Issuer, ...]:
    """The tables `issuer`; files are relative to `folder`. Raises the object's error."""
    made: list[Issuer] = []
    for one in obj.children("issuer", MAX_ISSUERS):
        tables.only(one, _ISSUER_KEYS)
        found = Issuer(
            one.need_string("name"),
            one.need_string("issuer"),
            os.path.join(folder, one.need_string("keys")),
            one.string("audience"),
        )
        if not _NAME.fullmatch(found.name) or found.name == "token":
            raise one.error(f'{one.path("name")} must be a short name of letters, digits and ._-, not "token"')
        if any(found.name == other.name or found.issuer == other.issuer for other in made):
            raise one.error(f"{one.path('name')}: this issuer is named twice")
        made.append(found)
    return tuple(made)
