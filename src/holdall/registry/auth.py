"""Who we are to a registry, without I/O: Basic, and Bearer with Docker's token protocol and its OAuth2 form.

Counterpart: distribution's token specification (spec/auth/token.md, oauth.md). `Authenticator.answer` yields the
requests it needs, is sent the replies and returns the value of the Authorization header; `client` drives it.
"""

from __future__ import annotations

import re
import time
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from holdall.errors import LimitExceeded, RegistryError, Unauthorized
from holdall.oci.jsonval import load_object
from holdall.record import record
from holdall.registry.failures import BadStatus, TooManyRequests, details, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from holdall.registry.challenge import Challenge
    from holdall.registry.credential import Credential

CLIENT_ID = "holdall"
MAX_REALM = 4096
MAX_TOKEN = 32 << 10
MAX_SCOPES = 16
MAX_TOKENS = 1_000
"""Tokens of one registry that are kept; the oldest go first."""
MIN_LIFETIME = 60
MAX_LIFETIME = 86_400
LEEWAY = 10
"""Seconds before its end at which a token is no longer used."""

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_SCOPE = re.compile(r"([\x21\x23-\x39\x3b-\x5b\x5d-\x7e]+(?:\([^() ]*\))?):([\x21-\x7e]+):([a-z*]+(?:,[a-z*]+)*)")


@record
class Scope:
    """Access to one resource, as `repository:library/debian:pull`."""

    name: str
    actions: tuple[str, ...]
    kind: str = "repository"

    @classmethod
    def parse(cls, text: str) -> Scope | None:
        """Parse one scope; None when it is not of this form."""
        match = _SCOPE.fullmatch(text)
        return None if match is None else cls(match[2], tuple(sorted(set(match[3].split(",")))), match[1])

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{','.join(self.actions)}"


def pull_scope(path: str) -> Scope:
    """Read a repository; also what a cross-repository mount needs of its origin."""
    return Scope(path, ("pull",))


def push_scope(path: str) -> Scope:
    """Read and write a repository."""
    return Scope(path, ("pull", "push"))


def delete_scope(path: str) -> Scope:
    """Delete in a repository. Registries differ in what they want for it; "*" is what some do."""
    return Scope(path, ("delete", "pull"))


@record
class TokenRequest:
    """A request to a token server. `form` is sent URL-encoded as the body when not None."""

    method: str
    url: str
    headers: Mapping[str, str]
    form: Mapping[str, str] | None = None


@record
class TokenReply:
    """Its answer."""

    status: int
    body: bytes


if TYPE_CHECKING:
    Flow = Generator[TokenRequest, TokenReply, str]


@record
class _Token:
    header: str
    expires: float


class Authenticator:
    """Credentials, tokens and remembered challenge of one registry host.

    `secure` says that the registry was reached by TLS: then no token server is asked in the clear.
    """

    def __init__(
        self, host: str, credential: Credential | None, *, secure: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.host = host
        self.credential = credential
        self.secure = secure
        self._clock = clock
        self._tokens: dict[frozenset[str], _Token] = {}
        self._bearer: Challenge | None = None
        self._basic: str | None = None

    def header(self, scopes: Sequence[Scope]) -> str | None:
        """The Authorization header to send without being asked again; None when there is none yet."""
        if self._basic is not None:
            return self._basic
        token = self._tokens.get(_key(scopes))
        if token is None or token.expires <= self._clock():
            return None
        return token.header

    def remember(self, challenges: Sequence[Challenge]) -> None:
        """Keep a challenge so that the next request can come with its token at once."""
        for one in challenges:
            if one.scheme == "bearer" and "realm" in one.parameters:
                self._bearer = one
                return

    def ahead(self, scopes: Sequence[Scope]) -> Flow | None:
        """A flow that gets a token for these scopes before the registry asks, when we know whom to ask."""
        return None if self._bearer is None or not scopes else self._token(self._bearer, scopes)

    def answer(self, challenges: Sequence[Challenge], scopes: Sequence[Scope], rejected: str | None = None) -> Flow:
        """Answer a 401. `rejected` is the header that the registry has just refused.

        Raises Unauthorized when there is nothing (else) to say, RegistryError when the token server fails.
        """
        if rejected is not None:
            self._forget(rejected)
        self.remember(challenges)
        for one in challenges:
            if one.scheme == "bearer" and "realm" in one.parameters:
                return (yield from self._token(one, scopes))
        if any(one.scheme == "basic" for one in challenges):
            return self._answer_basic(rejected)
        schemes = ", ".join(sorted({shown(one.scheme) for one in challenges})) or "none"
        raise Unauthorized(f'registry "{self.host}" wants a way to log in that we do not know: {schemes}')

    def _forget(self, rejected: str) -> None:
        self._tokens = {key: token for key, token in self._tokens.items() if token.header != rejected}
        if self._basic == rejected:
            self._basic = None

    def _answer_basic(self, rejected: str | None) -> str:
        header = self.credential.basic if self.credential else None
        if header is None:
            raise Unauthorized(
                f'registry "{self.host}" wants a user and a password',
                hint=f'log in with "holdall login {self.host}"',
            )
        if header == rejected:
            raise self._wrong_password(self.host)
        self._basic = header
        return header

    def _token(self, challenge: Challenge, scopes: Sequence[Scope]) -> Flow:
        if self.credential and self.credential.registry_token:
            header = "Bearer " + _checked(self.credential.registry_token, self.host)
            self._keep(scopes, _Token(header, self._clock() + MAX_LIFETIME))
            return header
        realm = self._realm(challenge.parameters["realm"])
        # asked for nothing of ours (a login), nothing is asked of the token server either: registries name examples
        wanted = _merged(scopes, challenge.parameters.get("scope", "") if scopes else "")
        service = challenge.parameters.get("service", "")
        reply = yield self._request(realm, service, wanted)
        server = shown(urlsplit(realm).netloc)
        if reply.status in (401, 403) and self.credential:
            raise self._wrong_password(server, reply.body)
        if reply.status != 200:
            raise self._failed(server, reply)
        token = _parse(reply.body, server, self._clock())
        self._keep(scopes, token)
        return token.header

    def _keep(self, scopes: Sequence[Scope], token: _Token) -> None:
        key = _key(scopes)
        self._tokens.pop(key, None)
        while len(self._tokens) >= MAX_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[key] = token

    def _realm(self, realm: str) -> str:
        """The token server's URL, refused when credentials would leave TLS or the URL is odd."""
        try:
            parts = urlsplit(realm)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host, parts = None, urlsplit("")
        plain = parts.scheme == "http"
        if not host or parts.scheme not in ("http", "https") or "@" in parts.netloc or len(realm) > MAX_REALM:
            raise RegistryError(f'registry "{self.host}" names a token server that is no URL: "{shown(realm)}"')
        if not _VISIBLE.fullmatch(realm):
            raise RegistryError(f'registry "{self.host}" names a token server that is no URL: "{shown(realm)}"')
        if plain and self.secure:
            raise RegistryError(
                f'registry "{self.host}" names a token server without tls: "{shown(realm)}"',
                hint="its administrator must set an https realm",
            )
        return realm

    def _request(self, realm: str, service: str, scopes: Sequence[Scope]) -> TokenRequest:
        identity = self.credential.identity_token if self.credential else ""
        if identity:
            form = {"grant_type": "refresh_token", "refresh_token": identity, "client_id": CLIENT_ID}
            form |= {"service": service} if service else {}
            form |= {"scope": " ".join(map(str, scopes))} if scopes else {}
            return TokenRequest("POST", realm, {}, form)
        parts = urlsplit(realm)
        query = parse_qsl(parts.query, keep_blank_values=True)
        query += [("service", service)] if service else []
        query += [("scope", str(one)) for one in scopes]
        headers: dict[str, str] = {}
        if self.credential and self.credential.basic:
            query.append(("account", self.credential.username))
            headers["Authorization"] = self.credential.basic
        return TokenRequest("GET", urlunsplit(parts._replace(query=urlencode(query), fragment="")), headers)

    def _wrong_password(self, server: str, body: bytes = b"") -> Unauthorized:
        said = "; ".join(message for _, message in details(body) if message)
        return Unauthorized(
            f'"{server}" refuses the user or the password' + (f": {said}" if said else ""),
            hint=f'log in again with "holdall login {self.host}"',
        )

    def _failed(self, server: str, reply: TokenReply) -> RegistryError:
        said = "; ".join(message or code for code, message in details(reply.body))
        text = f'token server "{server}" of registry "{self.host}" answered {reply.status}'
        if reply.status == 429:
            return TooManyRequests(text, None, hint="try again later")
        if reply.status >= 500:
            return BadStatus(text + (f": {said}" if said else ""), reply.status)
        kind = Unauthorized if reply.status in (401, 403) else RegistryError
        hint = f'log in with "holdall login {self.host}"' if kind is Unauthorized else None
        return kind(text + (f": {said}" if said else ""), hint=hint)


def _key(scopes: Sequence[Scope]) -> frozenset[str]:
    return frozenset(map(str, scopes))


def _merged(scopes: Sequence[Scope], asked: str) -> list[Scope]:
    """Our scopes and the ones of the challenge, one entry for each resource."""
    merged: dict[tuple[str, str], set[str]] = {}
    for one in (*scopes, *map(Scope.parse, asked.split(" ")[:MAX_SCOPES])):
        if one is not None:
            merged.setdefault((one.kind, one.name), set()).update(one.actions)
    return [Scope(name, tuple(sorted(actions)), kind) for (kind, name), actions in merged.items()]


def _checked(token: str, server: str) -> str:
    if len(token) > MAX_TOKEN:
        raise LimitExceeded(f'token of "{server}" has more than {MAX_TOKEN} characters')
    if _VISIBLE.fullmatch(token) is None:
        raise RegistryError(f'token of "{server}" cannot stand in a header')
    return token


def _parse(body: bytes, server: str, now: float) -> _Token:
    obj = load_object(body, f'answer of token server "{server}"', error=RegistryError)
    token = obj.string("token") or obj.string("access_token")
    if not token:
        raise RegistryError(f'token server "{server}" answered without a token')
    lifetime = obj.values.get("expires_in")
    seconds = float(lifetime) if isinstance(lifetime, (int, float)) and not isinstance(lifetime, bool) else 0.0
    usable = min(max(seconds, MIN_LIFETIME), MAX_LIFETIME) - LEEWAY
    return _Token("Bearer " + _checked(token, server), now + usable)
