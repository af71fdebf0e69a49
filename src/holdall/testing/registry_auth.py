"""Who may do what in the in-memory registry: nobody asked, basic, or bearer tokens from its own token service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from holdall.testing.registry_store import basic_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdall.testing.registry_store import RegistryStore

READS = ("GET", "HEAD")
IDENTITY_TOKEN = "identity-token-of-"


class Gate:
    """Checks requests and hands out tokens. `mode` is "none", "basic" or "token"."""

    def __init__(
        self, store: RegistryStore, mode: str, users: Mapping[str, str], *, anonymous_pull: bool, service: str
    ) -> None:
        self.store = store
        self.mode = mode
        self.users = users
        self.anonymous_pull = anonymous_pull
        self.service = service

    def challenge(self, request: web.Request, name: str) -> web.Response | None:
        """None if the request may go on, else the 401 or 403 to send."""
        if self.mode == "none" or request.path.startswith(("/token", "/storage/")):
            return None
        write = request.method not in READS
        header = request.headers.get("Authorization", "")
        if self.mode == "basic":
            if self._known(basic_credentials(header)) or (self.anonymous_pull and not write):
                return None
            return _refuse('Basic realm="registry"')
        actions = ("pull", "push") if write else ("pull",)
        needed = frozenset(f"repository:{name}:{action}" for action in actions) if name else frozenset[str]()
        granted = self.store.tokens.get(header.partition(" ")[2]) if header.lower().startswith("bearer ") else None
        if granted is not None and needed <= granted:
            return None
        scope = f',scope="repository:{name}:{",".join(actions)}"' if name else ""
        realm = f'Bearer realm="{request.scheme}://{request.host}/token",service="{self.service}"{scope}'
        return _refuse(realm + (',error="insufficient_scope"' if granted is not None else ""))

    def _known(self, credentials: tuple[str, str] | None) -> bool:
        return credentials is not None and self.users.get(credentials[0]) == credentials[1]

    async def token(self, request: web.Request) -> web.Response:
        """The token service: GET with basic auth, or POST as OAuth2 with password or refresh token."""
        if request.method == "POST":
            form = await request.post()
            user = _oauth_user(form, self)
            if user is None:
                return _error(401, "UNAUTHORIZED", "wrong password or refresh token")
            scopes = str(form.get("scope", "")).split()
            token = self._issue(scopes, anonymous=False)
            return web.json_response({"access_token": token, "refresh_token": IDENTITY_TOKEN + user, "expires_in": 300})
        header = request.headers.get("Authorization", "")
        credentials = basic_credentials(header)
        if credentials is not None and not self._known(credentials):
            return _error(401, "UNAUTHORIZED", "wrong user or password")
        scopes = [one for value in request.query.getall("scope", []) for one in value.split()]
        return web.json_response({"token": self._issue(scopes, anonymous=credentials is None), "expires_in": 300})

    def _issue(self, scopes: list[str], *, anonymous: bool) -> str:
        granted: set[str] = set()
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            for action in actions.split(","):
                if not anonymous or (self.anonymous_pull and action == "pull"):
                    granted.add(f"{kind}:{name}:{action}")
        return self.store.new_token(frozenset(granted))


def _oauth_user(form: Mapping[str, object], gate: Gate) -> str | None:
    if form.get("grant_type") == "refresh_token":
        user = str(form.get("refresh_token", "")).removeprefix(IDENTITY_TOKEN)
        return user if user in gate.users else None
    user = str(form.get("username", ""))
    return user if gate.users.get(user) == form.get("password") else None


def _refuse(challenge: str) -> web.Response:
    made = _error(401, "UNAUTHORIZED", "authentication required")
    made.headers["WWW-Authenticate"] = challenge
    return made


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message, "detail": None}]}, status=status)
