"""One registry server: which scheme it speaks, who we are to it, requests tried again when that may help."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlencode, urlsplit

from holdall.record import record
from holdall.registry import challenge, failures, headers
from holdall.registry.auth import Authenticator, TokenReply
from holdall.registry.endpoint import is_loopback
from holdall.registry.failures import Unreachable
from holdall.registry.retry import RETRIED_STATUSES, Backoff
from holdall.registry.transport import (
    MAX_DOCUMENT,
    MAX_ERROR_BODY,
    Request,
    discard,
    read_bounded,
    read_start,
    unreachable,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import aiohttp

    from holdall.errors import RegistryError
    from holdall.registry.auth import Flow, Scope, TokenRequest
    from holdall.registry.credential import Credential
    from holdall.registry.endpoint import Endpoint
    from holdall.registry.transport import Body, Transport

MAX_LOGINS = 2
MAX_TOKEN_ANSWER = 256 << 10


@record
class Call:
    """A request to the registry. `path` begins with "/", or is an absolute URL that the registry gave us.

    `accept` are the statuses that are no error.
    """

    method: str
    path: str
    scopes: tuple[Scope, ...] = ()
    headers: Mapping[str, str] = {}
    body: Body | None = None
    accept: tuple[int, ...] = (200,)


@record
class Reply:
    """An answer, read whole. `url` is where the request went in the end; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Registry:
    """One endpoint within one session."""

    def __init__(self, transport: Transport, endpoint: Endpoint, credential: Credential | None) -> None:
        self.transport = transport
        self.endpoint = endpoint
        self.name = endpoint.registry if endpoint.is_origin else endpoint.host
        self._credential = credential
        self._base = ""
        self._auth = Authenticator(self.name, credential, secure=True)
        self._deciding = asyncio.Lock()
        self._logging_in = asyncio.Lock()

    def backoff(self) -> Backoff:
        """The delays for one piece of work."""
        return Backoff(self.transport.options)

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine."""
        return is_loopback(self.endpoint.host)

    async def base(self) -> str:
        """scheme://host, found out by asking when there is a choice. Raises Unreachable."""
        async with self._deciding:
            if not self._base:
                await self._decide()
        return self._base

    async def _decide(self) -> None:
        schemes = self.endpoint.schemes
        for scheme in schemes:
            base = f"{scheme}://{self.endpoint.host}"
            challenges: tuple[challenge.Challenge, ...] = ()
            if len(schemes) > 1:
                try:
                    response = await self.transport.open(self._request("GET", base + "/v2/"))
                except Unreachable:
                    if scheme == schemes[-1]:
                        raise
                    continue
                challenges = _challenges(response)
                await discard(response)
            self._base = base
            self._auth = Authenticator(self.name, self._credential, secure=scheme == "https")
            self._auth.remember(challenges)
            return

    def _request(
        self, method: str, url: str, given: Mapping[str, str] | None = None, body: Body | None = None
    ) -> Request:
        return Request(method, url, given or {}, body, self.insecure)

    @property
    def insecure(self) -> bool:
        """Whether unverified certificates and plain HTTP are allowed here."""
        return self.endpoint.insecure or not self.transport.options.tls_verify

    async def send(self, call: Call) -> aiohttp.ClientResponse:
        """One attempt, logged in if the registry asks; any status. The caller closes the answer.

        Raises Unreachable, Unauthorized, RegistryError.
        """
        base = await self.base()
        url = call.path if "://" in call.path else base + call.path
        own = urlsplit(url)[:2] == urlsplit(base)[:2]
        header = await self.authorization(url, call.scopes)
        for attempt in range(MAX_LOGINS + 1):
            given = {**call.headers, "Authorization": header} if header else call.headers
            response = await self.transport.open(self._request(call.method, url, given, call.body))
            challenges = _challenges(response)
            at_home = own and str(response.url.origin()) == base
            if response.status != 401 or not challenges or not at_home or attempt == MAX_LOGINS:
                return response
            await discard(response)
            header = await self._login(challenges, call.scopes, header)
        raise AssertionError("unreachable")

    async def authorization(self, url: str, scopes: Sequence[Scope]) -> str | None:
        """The Authorization header for a URL; None for another server's, and as long as we were not asked."""
        own = urlsplit(url)[:2] == urlsplit(await self.base())[:2]
        return await self._known(scopes) if own else None

    async def _known(self, scopes: Sequence[Scope]) -> str | None:
        if (header := self._auth.header(scopes)) is not None:
            return header
        async with self._logging_in:
            if (header := self._auth.header(scopes)) is not None:
                return header
            flow = self._auth.ahead(scopes)
            return None if flow is None else await self._drive(flow)

    async def _login(
        self, challenges: Sequence[challenge.Challenge], scopes: Sequence[Scope], rejected: str | None
    ) -> str:
        async with self._logging_in:
            current = self._auth.header(scopes)
            if current is not None and current != rejected:
                return current
            return await self._drive(self._auth.answer(challenges, scopes, rejected))

    async def _drive(self, flow: Flow) -> str:
        try:
            request = next(flow)
            while True:
                request = flow.send(await self._ask(request))
        except StopIteration as stop:
            header: str = stop.value
            return header

    async def _ask(self, asked: TokenRequest) -> TokenReply:
        body, given = None, dict(asked.headers)
        if asked.form is not None:
            body = urlencode(asked.form).encode()
            given["Content-Type"] = "application/x-www-form-urlencoded"
        # a refresh token in a body must not follow a redirect to another host
        request = Request(asked.method, asked.url, given, body, self.insecure, follow=body is None)
        reply = await self._retried(lambda: self.transport.open(request), (), MAX_TOKEN_ANSWER)
        return TokenReply(reply.status, reply.body)

    async def fetch(self, call: Call, limit: int = MAX_DOCUMENT) -> Reply:
        """Send until there is an answer with an accepted status; its body read whole, at most `limit` bytes.

        Raises RegistryError and its kin, LimitExceeded.
        """
        reply = await self._retried(lambda: self.send(call), call.accept, limit)
        if reply.status in call.accept:
            return reply
        wait = headers.retry_after(reply.headers.get("retry-after"), time.time())
        raise failures.from_answer(reply.status, reply.body, self.name, retry_after=wait)

    async def _retried(self, attempt: Attempt, accept: tuple[int, ...], limit: int) -> Reply:
        backoff = self.backoff()
        while True:
            try:
                reply = await self.read(await attempt(), limit, accept)
            except Unreachable as err:
                delay = backoff.after_failure(err.kind, loopback=self.loopback)
                if delay is None:
                    raise
            else:
                if reply.status in accept or reply.status not in RETRIED_STATUSES:
                    return reply
                wait = headers.retry_after(reply.headers.get("retry-after"), time.time())
                delay = backoff.after_status(reply.status, wait)
                if delay is None:
                    return reply
            await asyncio.sleep(delay)

    async def read(self, response: aiohttp.ClientResponse, limit: int, accept: tuple[int, ...] = ()) -> Reply:
        """Read an answer whole and close it; of an error only the beginning. Raises LimitExceeded, Unreachable."""
        patience = self.transport.options.read_timeout * 2
        try:
            async with asyncio.timeout(patience):
                if response.status in accept or response.ok:
                    body = await read_bounded(response, limit)
                else:
                    body = await read_start(response)
        except TimeoutError as err:
            raise unreachable(err, response.url.authority) from err
        finally:
            response.close()
        named = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, named, body, str(response.url))

    async def refusal(self, response: aiohttp.ClientResponse) -> RegistryError:
        """The exception for an answer that is an error; closes it."""
        reply = await self.read(response, MAX_ERROR_BODY)
        wait = headers.retry_after(reply.headers.get("retry-after"), time.time())
        return failures.from_answer(reply.status, reply.body, self.name, retry_after=wait)


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Attempt = Callable[[], Awaitable[aiohttp.ClientResponse]]


def _challenges(response: aiohttp.ClientResponse) -> tuple[challenge.Challenge, ...]:
    return challenge.parse(response.headers.getall("WWW-Authenticate", ())) if response.status == 401 else ()
