"""GET and POST /token: a password, or a log-in token, for a signed token that says what its bearer may do.

Counterpart: distribution's docs/spec/auth/token.md (GET) and oauth.md (POST, RFC 6749 section 4.3 and 6).
"""

from __future__ import annotations

import time
from urllib.parse import parse_qs

from aiohttp import web

from holdall.oci.jsonval import dumps
from holdall.registry.server import scopes
from holdall.registry.server.door import BASIC
from holdall.registry.server.identity import NOBODY, basic
from holdall.registry.server.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdall.registry.server.clients import Caller
    from holdall.registry.server.door import Door
    from holdall.registry.server.identity import Identity
    from holdall.registry.server.tokens import Tokens

METHODS = ("GET", "POST")
MAX_FORM = 64 << 10
MAX_FIELDS = 100
TRUE = ("true", "1")


class TokenServer:
    """Answers requests for tokens at a registry's door."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def answer(self, request: web.BaseRequest, caller: Caller, tokens: Tokens, form: bytes) -> tuple[str, bytes]:
        """The user and the JSON document. Raises Refusal (400, 401, 429)."""
        fields = _Fields(form.decode("latin-1") if request.method == "POST" else request.query_string)
        try:
            identity, login = await self._identify(request, fields, caller)
        except Refusal as err:
            if err.status == 401:
                self._door.count("", caller)
                raise Refusal("UNAUTHORIZED", err.message, headers={"WWW-Authenticate": BASIC}) from err
            raise
        self._door.count(identity.user, caller)
        if fields.one("service") not in ("", tokens.settings.service):
            raise Refusal("UNSUPPORTED", f'tokens are for "{tokens.settings.service}" here', status=400)
        wanted = scopes.parse(fields.all("scope"))
        return identity.user, _document(tokens, identity, self._door.grant(identity, wanted), login=login)

    async def _identify(self, request: web.BaseRequest, fields: _Fields, caller: Caller) -> tuple[Identity, bool]:
        """Who asks, and whether they want a log-in token too."""
        if request.method != "POST":
            scheme, _, text = request.headers.get("Authorization", "").partition(" ")
            if not scheme:
                return NOBODY, False
            if scheme.lower() != "basic":
                raise Refusal("UNAUTHORIZED", "tokens are given for user and password")
            return await self._door.identify(*basic(text), caller), fields.one("offline_token").lower() in TRUE
        grant = fields.one("grant_type")
        login = fields.one("access_type") == "offline"
        if grant == "password":
            return await self._door.identify(fields.need("username"), fields.need("password"), caller), login
        if grant == "refresh_token":
            # the one there is stays good; new ones without end would outlive every password
            return await self._door.identify_login(fields.need("refresh_token")), False
        raise Refusal("UNSUPPORTED", "grant_type must be password or refresh_token", status=400)


class _Fields:
    """A query or a form."""

    def __init__(self, text: str) -> None:
        try:
            self._values: Mapping[str, list[str]] = parse_qs(text, errors="strict", max_num_fields=MAX_FIELDS)
        except ValueError as err:
            raise Refusal("UNSUPPORTED", "the form is malformed", status=400) from err

    def all(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def one(self, name: str) -> str:
        return self._values.get(name, [""])[0]

    def need(self, name: str) -> str:
        if not self.one(name):
            raise Refusal("UNSUPPORTED", f"the form lacks {name}", status=400)
        return self.one(name)


def _document(tokens: Tokens, identity: Identity, access: list[dict[str, object]], *, login: bool) -> bytes:
    now = time.time()
    token = tokens.issue(identity, access, now)
    made: dict[str, object] = {
        "token": token,
        "access_token": token,
        "expires_in": int(tokens.settings.lifetime),
        "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "scope": " ".join(f"{one['type']}:{one['name']}:{','.join(map(str, _list(one['actions'])))}" for one in access),
    }
    if login and identity.user:
        made["refresh_token"] = tokens.issue_login(identity, now)
    return dumps(made)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
