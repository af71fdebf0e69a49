"""The gate as requests pass it: who sends one, by password or token; whether they may; what to log in with if not.

Counterpart: RFC 9110 section 11, and distribution's docs/spec/auth/token.md for `Bearer`.
"""

from __future__ import annotations

import asyncio
import time

from holdall.record import record
from holdall.registry.server import clients
from holdall.registry.server.identity import NOBODY, basic
from holdall.registry.server.refusal import Refusal
from holdall.registry.server.robots import is_secret
from holdall.registry.server.scopes import grant
from holdall.registry.server.visitor import Visitor, everything

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohttp import web

    from holdall.registry.auth import Scope
    from holdall.registry.server.access import Access
    from holdall.registry.server.clients import Caller
    from holdall.registry.server.identity import Identity, People
    from holdall.registry.server.limits import Limiter
    from holdall.registry.server.tokens import Claims

MAX_WAITING = 64
TOKEN_PATH = "/token"
BASIC = 'Basic realm="holdall", charset="UTF-8"'
INVALID, INSUFFICIENT = "invalid_token", "insufficient_scope"


@record
class Guest:
    """Somebody with a request: who, from where, and what a token would have to be for."""

    visitor: Visitor
    caller: Caller
    wanted: tuple[Scope, ...] = ()


class Door:
    """Lets requests in or refuses them. `note` is told when files cannot be read again."""

    def __init__(self, access: Access, limiter: Limiter, note: Callable[[str], None]) -> None:
        self.access = access
        self._limiter = limiter
        self._note = note
        self._checking = asyncio.Semaphore(1)
        self._waiting = 0

    async def caller(self, request: web.BaseRequest) -> Caller:
        """Where a request comes from, by settings as they are now."""
        await self.access.reload(self._note)
        return clients.caller(request, self.access.settings.proxies)

    async def admit(self, request: web.BaseRequest, wanted: tuple[Scope, ...] = ()) -> Guest:
        """Who sends a request; it is counted against their limit.

        Raises Refusal: 401 for wrong credentials, 429 for too many requests or too many log-ins at once.
        """
        caller = await self.caller(request)
        try:
            visitor = await self._visitor(request.headers.get("Authorization"), caller, wanted)
        except Refusal as err:
            if err.status == 401:
                self.count("", caller)
            raise
        self.count(visitor.user, caller)
        return Guest(visitor, caller, wanted)

    def count(self, user: str, caller: Caller) -> None:
        """Count a request. Raises Refusal (429)."""
        self._limiter.take(self.access.settings.limits, user, caller.address, time.monotonic())

    def spend(self, guest: Guest, octets: int) -> None:
        """Count bytes that went either way."""
        limits = self.access.settings.limits
        self._limiter.spend(limits, guest.visitor.user, guest.caller.address, octets, time.monotonic())

    async def _visitor(self, authorization: str | None, caller: Caller, wanted: Sequence[Scope]) -> Visitor:
        people = self.access.people
        if people is None:
            return Visitor("", everything)
        scheme, _, text = (authorization or "").partition(" ")
        if not scheme:
            return _visitor(people, NOBODY)
        try:
            if scheme.lower() == "basic":
                return _visitor(people, await self.identify(*basic(text), caller))
            if scheme.lower() == "bearer" and self.access.tokens is not None:
                return await self._bearer(await self._claims(text.strip()))
        except Refusal as err:
            if err.status == 401:
                error = INVALID if scheme.lower() == "bearer" else ""
                raise self.challenge(err.message, caller, wanted, error) from err
            raise
        raise self.challenge("this way to log in is not known here", caller, wanted)

    async def identify(self, user: str, password: str, caller: Caller) -> Identity:
        """Whose password this is; nobody's when both are empty. Raises Refusal (401 without a challenge, 429)."""
        people = self.access.people
        assert people is not None
        if not user and not password:
            return NOBODY
        found = people.quick(user, password, time.time())
        if found is None and is_secret(password):
            # a token may be younger than our last look
            await self.access.reload(self._note, hurry=True)
            found = people.quick(user, password, time.time())
        found = found or await self._check(people, user, password, caller)
        if found is None:
            raise Refusal("UNAUTHORIZED", "wrong user or password")
        return found

    async def _check(self, people: People, user: str, password: str, caller: Caller) -> Identity | None:
        # whoever has used up what an address may ask does not get a password worked on either
        self._limiter.look(self.access.settings.limits, "", caller.address, time.monotonic())
        if self._waiting >= MAX_WAITING:
            raise Refusal("TOOMANYREQUESTS", "too many log-ins at once", headers={"Retry-After": "5"})
        self._waiting += 1
        try:
            # one at a time: guessing passwords must not cost the machine all its cores
            async with self._checking:
                return await asyncio.to_thread(people.slow, user, password)
        finally:
            self._waiting -= 1

    async def identify_login(self, token: str) -> Identity:
        """Whose log-in token this is. Raises Refusal (401 without a challenge)."""
        found = await self._alive(await self._claims(token, login=True))
        if found is None or not found.user:
            raise Refusal("UNAUTHORIZED", "the token is not valid any more: log in again")
        return found

    async def _claims(self, token: str, *, login: bool = False) -> Claims:
        from holdall.registry.server.signing import TokenInvalid, UnknownKey

        try:
            try:
                return self._read(token, login=login)
            except UnknownKey:
                # another process may have begun to sign with a new one
                await self.access.reload(self._note, hurry=True)
                return self._read(token, login=login)
        except TokenInvalid as err:
            raise Refusal("UNAUTHORIZED", str(err)) from err

    def _read(self, token: str, *, login: bool) -> Claims:
        tokens = self.access.tokens
        assert tokens is not None
        return tokens.read_login(token) if login else tokens.read(token, time.time())

    async def _alive(self, claims: Claims) -> Identity | None:
        """Whose token of ours this is, if it still counts."""
        for hurry in (False, True):
            if hurry:
                # it may have been given out by a process that knows a younger robot, or password, than we do
                await self.access.reload(self._note, hurry=True)
            people = self.access.people
            found = None if people is None else people.of(claims, time.time())
            if found is not None:
                return found
        return None

    async def _bearer(self, claims: Claims) -> Visitor:
        grants = claims.grants
        identity = NOBODY if claims.issuer else await self._alive(claims)
        people = self.access.people
        if identity is None or people is None:
            raise Refusal("UNAUTHORIZED", "the token is not valid any more")

        def full(_: str, action: str, name: str) -> bool:
            return people.may(identity, action, name)

        def limited(_: str, action: str, name: str) -> bool:
            fine = grants.allow(action, name) and (bool(claims.issuer) or people.may(identity, action, name))
            return fine or people.may(NOBODY, action, name)

        user, more = (claims.user, everything) if claims.issuer else (identity.user, full)
        return Visitor(user, limited, more, bearer=True, catalog=grants.catalog)

    def grant(self, identity: Identity, wanted: Sequence[Scope]) -> list[dict[str, object]]:
        """The access claim: what somebody asks for and may have."""
        people = self.access.people
        assert people is not None
        return grant(wanted, lambda action, name: people.may(identity, action, name))

    def require(self, guest: Guest, action: str, repository: str) -> None:
        """Raise Refusal unless the guest may: 401 if logging in or another token could help, else 403."""
        visitor = guest.visitor
        if visitor.may(action, repository):
            return
        if not visitor.user:
            raise self.challenge("log in first", guest.caller, guest.wanted, INSUFFICIENT if visitor.bearer else "")
        if visitor.bearer and visitor.could(action, repository):
            raise self.challenge("the token is not for this", guest.caller, guest.wanted, INSUFFICIENT)
        raise Refusal("DENIED", f'"{visitor.user}" may not {action} here')

    def require_login(self, guest: Guest) -> None:
        """Raise Refusal (401) for nobody in particular if there are users: clients learn here that they may log in."""
        if self.access.people is not None and not guest.visitor.user:
            raise self.challenge("log in first", guest.caller)

    def require_root(self, guest: Guest) -> None:
        """Like `require_login`, but whoever shows a token, were it nobody's, knows already how to log in."""
        if not guest.visitor.bearer:
            self.require_login(guest)

    def require_catalog(self, guest: Guest) -> Visitor:
        """The visitor, as far as a list of everything goes. Raises Refusal (401) for a token that is not for it."""
        visitor = guest.visitor
        if visitor.bearer and not visitor.catalog:
            raise self.challenge("the token is not for this", guest.caller, guest.wanted, INSUFFICIENT)
        return visitor.whole()

    def challenge(self, message: str, caller: Caller, wanted: Sequence[Scope] = (), error: str = "") -> Refusal:
        """A 401 that says how to log in."""
        settings = self.access.settings.tokens
        if settings is None:
            return Refusal("UNAUTHORIZED", message, headers={"WWW-Authenticate": BASIC})
        realm = settings.realm or caller.url + TOKEN_PATH
        text = f'Bearer realm="{realm}",service="{settings.service}"'
        if wanted:
            text += f',scope="{" ".join(map(str, wanted))}"'
        if error:
            text += f',error="{error}"'
        return Refusal("UNAUTHORIZED", message, headers={"WWW-Authenticate": text})


def _visitor(people: People, identity: Identity) -> Visitor:
    return Visitor(identity.user, lambda _, action, name: people.may(identity, action, name))
