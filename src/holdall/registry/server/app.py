"""The server's one door: each request is routed, its sender looked up, answered, counted and noted."""

from __future__ import annotations

import errno
import time

from aiohttp import ClientPayloadError, web

from holdall.registry.server import blobs, journal, listings, manifests, receiving, route, scopes, uploads, visitor
from holdall.registry.server.catalog_values import OverQuota, Unavailable
from holdall.registry.server.door import TOKEN_PATH, Door, Guest
from holdall.registry.server.exchange import VERSION, VERSION_HEADER, Exchange
from holdall.registry.server.hashing import Hashes, NotedHashes
from holdall.registry.server.limits import Limiter
from holdall.registry.server.notices import Herald
from holdall.registry.server.refusal import Refusal
from holdall.registry.server.token_server import MAX_FORM, METHODS, TokenServer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from holdall.registry.server.access import Access
    from holdall.registry.server.exchange import Bounds
    from holdall.registry.server.journal import Journal
    from holdall.registry.server.meters import Meters
    from holdall.registry.server.mirror.mirroring import Mirroring
    from holdall.registry.server.route import Route
    from holdall.registry.server.shelf import Shelf
    from holdall.registry.server.spool import Spool
    from holdall.registry.server.web.pages import Web

    Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]

HANDLERS: dict[tuple[str, str], Handler] = {
    (route.ROOT, "GET"): listings.root,
    (route.CATALOG, "GET"): listings.repositories,
    (route.TAGS, "GET"): listings.tags,
    (route.REFERRERS, "GET"): listings.referrers,
    (route.MANIFEST, "GET"): manifests.get,
    (route.MANIFEST, "PUT"): manifests.put,
    (route.MANIFEST, "DELETE"): manifests.delete,
    (route.BLOB, "GET"): blobs.get,
    (route.BLOB, "DELETE"): blobs.delete,
    (route.UPLOADS, "POST"): uploads.begin,
    (route.UPLOAD, "GET"): uploads.status,
    (route.UPLOAD, "PATCH"): uploads.append,
    (route.UPLOAD, "PUT"): uploads.finish,
    (route.UPLOAD, "DELETE"): uploads.cancel,
}
GONE = 499  # what proxies note for a client that went away before it was answered
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class App:
    """Answers requests. `draining` makes every answer the last one of its connection; `mirroring` asks upstreams,
    `pages` are for people.

    `busy` are connections with a request under way, `lately` those that had one since somebody emptied the set.
    """

    def __init__(
        self,
        shelf: Shelf,
        access: Access,
        meters: Meters,
        *,
        log: Journal,
        audit: Journal,
        bounds: Bounds,
        limiter: Limiter | None = None,
        spool: Spool | None = None,
        instance: str = "",
    ) -> None:
        self.shelf = shelf
        self.access = access
        self.meters = meters
        self.log = log
        self.audit = audit
        self.draining = False
        self.mirroring: Mirroring | None = None
        self.pages: Web | None = None
        self.busy: set[object] = set()
        self.lately: set[object] = set()
        self._hashes = Hashes() if shelf.blobs.near else NotedHashes()
        self._bounds = bounds
        self.door = Door(access, Limiter() if limiter is None else limiter, self.complain)
        self._token_server = TokenServer(self.door)
        self._herald = None if spool is None else Herald(access, spool, meters, self.complain, instance)
        access.attach(shelf)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever happens."""
        begun = time.perf_counter()
        self.busy.add(request.protocol)
        self.lately.add(request.protocol)
        self.meters.add("in_flight")
        seen = _Seen()
        try:
            response = await self._answer(request, seen)
        except Refusal as err:
            response = self._refuse(request, err, seen)
        except OverQuota as err:
            response = self._refuse(request, over(err), seen)
        except (ConnectionError, web.PayloadAccessError, web.RequestPayloadError, ClientPayloadError):
            response = web.Response(status=GONE)
            response.force_close()
        except OSError as err:
            response = self._refuse(request, self._broken(err), seen)
        except Exception as err:  # noqa: BLE001  # a bug of ours is one failed request, and said so
            response = self._refuse(request, self._broken(err), seen)
        finally:
            self.busy.discard(request.protocol)
            self.meters.add("in_flight", -1)
        if self.draining:
            response.force_close()
        if not response.prepared:
            response.headers[VERSION_HEADER] = VERSION
        out = 0 if request.method == "HEAD" else _length(response)
        self._note(request, seen, response.status, out, time.perf_counter() - begun)
        return response

    async def _answer(self, request: web.BaseRequest, seen: _Seen) -> web.StreamResponse:
        found = route.find(request.path)
        if found is None:
            return await self._aside(request, seen)
        seen.kind = found.kind
        target = None
        if self.mirroring is not None and found.repository:
            found, target = self.mirroring.find(request, found)
        method = "GET" if request.method == "HEAD" else request.method
        if request.method not in route.METHODS[found.kind]:
            allowed = ", ".join(route.METHODS[found.kind])
            raise Refusal("UNSUPPORTED", "this method is not for this path", headers={"Allow": allowed}, close=True)
        source = request.query.get("from", "") if found.kind == route.UPLOADS else ""
        action = action_of(found, method)
        # whoever looks for a blob is about to push; some clients keep their first token for all that follows (oras-py)
        hint = visitor.PUSH if found.kind == route.BLOB and request.method == "HEAD" else action
        wanted = () if self.access.settings.tokens is None else scopes.needed(found, hint, source)
        guest = seen.guest = await self.door.admit(request, wanted)
        who = guest.visitor
        if found.kind == route.ROOT:
            self.door.require_root(guest)
        elif found.kind == route.CATALOG:
            who = self.door.require_catalog(guest)
        else:
            self.door.require(guest, action, found.repository)
        exchange = Exchange(
            request, found, who, self.shelf, self._hashes, self._bounds, lambda octets: self.door.spend(guest, octets)
        )
        seen.exchange = exchange
        handler = HANDLERS[found.kind, method]
        if self.mirroring is not None and target is not None:
            response = await self.mirroring.answer(exchange, target, action, handler)
        else:
            response = await handler(exchange)
        if exchange.happened and self._herald is not None:
            self._herald.tell(exchange, guest, exchange.happened)
        return response

    async def _aside(self, request: web.BaseRequest, seen: _Seen) -> web.StreamResponse:
        if self.pages is not None and self.pages.serves(request.path):
            seen.kind = "page"
            return await self.pages.answer(request, seen.note)
        if request.path == "/healthz":
            return web.Response(body=b"ok\n", content_type="text/plain")
        if request.path == "/readyz":
            if self.draining:
                return web.Response(status=503, body=b"draining\n", content_type="text/plain")
            await self.shelf.read(self.shelf.catalog.session, "")
            return web.Response(body=b"ok\n", content_type="text/plain")
        if request.path == "/metrics":
            seen.guest = await self.door.admit(request)
            self.door.require_login(seen.guest)
            counts = await self.shelf.work(self.shelf.catalog.counts)
            headers = {"Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8"}
            return web.Response(body=self.meters.render(counts).encode(), headers=headers)
        if request.path == TOKEN_PATH and self.access.settings.tokens is not None:
            seen.kind = "token"
            return await self._token(request, seen)
        raise Refusal("NAME_UNKNOWN", "there is nothing here", close=True)

    async def _token(self, request: web.BaseRequest, seen: _Seen) -> web.StreamResponse:
        caller = await self.door.caller(request)
        seen.guest = Guest(visitor.Visitor("", visitor.nothing), caller)
        if request.method not in METHODS:
            raise Refusal(
                "UNSUPPORTED", "this method is not for this path", headers={"Allow": ", ".join(METHODS)}, close=True
            )
        tokens = self.access.tokens
        if tokens is None:
            raise Refusal("UNKNOWN", "the keys for tokens cannot be read now", status=503, close=True)
        seen.exchange = Exchange(
            request, route.Route("token"), seen.guest.visitor, self.shelf, self._hashes, self._bounds
        )
        form = await receiving.whole(seen.exchange, MAX_FORM) if request.method == "POST" else b""
        user, body = await self._token_server.answer(request, caller, tokens, form)
        seen.guest = Guest(visitor.Visitor(user, visitor.nothing), caller)
        return web.Response(body=body, headers={"Content-Type": "application/json", "Cache-Control": "no-store"})

    def _refuse(self, request: web.BaseRequest, refusal: Refusal, seen: _Seen) -> web.Response:
        if refusal.status in (401, 403):
            self.meters.add("denials" if refusal.status == 403 else "login_failures")
        if refusal.status == 408:
            self.meters.add("slow_clients")
        if refusal.status == 429:
            self.meters.add("rate_limited")
        seen.code = refusal.code
        headers = {"Content-Type": "application/json", **refusal.headers}
        response = web.Response(status=refusal.status, body=refusal.body(), headers=headers)
        if refusal.close or not request.content.is_eof():
            response.force_close()
        return response

    def _broken(self, err: Exception) -> Refusal:
        if isinstance(err, OSError) and err.errno in FULL:
            self.complain(f"the storage is full: {err}")
            return Refusal("UNKNOWN", "the registry's storage is full", status=507, close=True)
        self.complain(f"{type(err).__name__}: {err}")
        if isinstance(err, Unavailable):
            headers = {"Retry-After": str(err.retry_after)}
            return Refusal("UNKNOWN", "the registry's storage does not answer", status=503, headers=headers, close=True)
        return Refusal("UNKNOWN", "the registry failed", close=True)

    def _note(self, request: web.BaseRequest, seen: _Seen, status: int, out: int, seconds: float) -> None:
        received = seen.exchange.received if seen.exchange is not None else 0
        self.meters.request(seen.kind, status, seconds)
        self.meters.add("bytes_received", received)
        self.meters.add("bytes_sent", out)
        if seen.guest is not None:
            spent = 0 if seen.exchange is None else seen.exchange.spent
            self.door.spend(seen.guest, received + out - spent)
        audited = self.audit.on and (request.method in journal.AUDITED or status in (401, 403))
        if not self.log.on and not audited:
            return
        facts = journal.facts(request, seen.guest, status, (received, out), seconds)
        if seen.code:
            facts["error"] = seen.code
        if self.log.on:
            self.log.write(facts)
        if audited:
            self.audit.write(facts, now=True)

    def upstream_of(self, repository: str) -> str:
        """What a repository mirrors, "" for nothing."""
        return "" if self.mirroring is None else self.mirroring.upstream_of(repository)

    def complain(self, text: str) -> None:
        """Note a failure of ours in the access log, or on standard error."""
        facts: dict[str, object] = {"time": round(time.time(), 3), "failure": journal.shown(text)}
        (self.log if self.log.on else journal.Journal("-")).write(facts, now=True)


class _Seen:
    """What is known of a request for the log, as far as it came."""

    __slots__ = ("code", "exchange", "guest", "kind")

    def __init__(self) -> None:
        self.kind = "other"
        self.guest: Guest | None = None
        self.code = ""
        self.exchange: Exchange | None = None

    def note(self, guest: Guest) -> None:
        """Who asks."""
        self.guest = guest


def _length(response: web.StreamResponse) -> int:
    body = response.body if isinstance(response, web.Response) else None
    return len(body) if isinstance(body, bytes) else int(response.headers.get("Content-Length", 0))


def over(err: OverQuota) -> Refusal:
    """What a client hears whose push is more than a quota allows."""
    detail = {"quota": err.quota, "limit": err.limit, "used": err.used, "unit": err.what}
    return Refusal("DENIED", err.message, detail=detail, close=True)


def action_of(found: Route, method: str) -> str:
    """What a request does to its repository."""
    if found.kind in (route.UPLOADS, route.UPLOAD) or method == "PUT":
        return visitor.PUSH
    return visitor.DELETE if method == "DELETE" else visitor.PULL
