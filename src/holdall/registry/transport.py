"""One aiohttp session: a single attempt at a request, with TLS, proxies and redirects.

Retries and logins are `client`'s. Redirects are followed here, because aiohttp would go from https to http.
"""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

import holdall
from holdall.errors import LimitExceeded, RegistryError
from holdall.record import record, replace
from holdall.registry import proxy
from holdall.registry.endpoint import is_loopback
from holdall.registry.failures import Unreachable, shown
from holdall.registry.tls import TlsContexts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from types import TracebackType
    from typing import Self

    from holdall.registry.options import Options

    Body = bytes | Callable[[], AsyncIterator[bytes]]

MAX_REDIRECTS = 5
MAX_URL = 16 << 10
MAX_HEADER_FIELD = 32 << 10
MAX_DOCUMENT = 4 << 20
MAX_ERROR_BODY = 64 << 10
READ_BUFFER = 256 << 10

_FOLLOWED = {"GET": (301, 302, 303, 307, 308), "HEAD": (301, 302, 303, 307, 308)}
_FOLLOWED_WITH_BODY = (307, 308)


@record
class Request:
    """One request. A callable `body` is called anew for each attempt; its length is in the headers.

    `insecure` allows unverified certificates, `follow` redirects.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: Body | None = None
    insecure: bool = False
    follow: bool = True


class Transport:
    """Connections of one pull or push; an asynchronous context manager."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._tls = TlsContexts(options)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        options = self.options
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=options.concurrency + 2),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=options.connect_timeout, sock_read=options.read_timeout
            ),
            headers={"User-Agent": f"holdall/{holdall.__version__}"},
            skip_auto_headers=("Accept-Encoding", "Content-Type"),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BUFFER,
            max_line_size=MAX_HEADER_FIELD,
            max_field_size=MAX_HEADER_FIELD,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def open(self, request: Request) -> aiohttp.ClientResponse:
        """Send it and follow redirects; the caller reads and releases the answer, whatever its status.

        Raises Unreachable, RegistryError for a redirect that must not be followed.
        """
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send(request)
            followed = _FOLLOWED.get(request.method, _FOLLOWED_WITH_BODY)
            location = response.headers.get("Location")
            if response.status not in followed or location is None or not request.follow:
                return response
            await discard(response)
            request = redirected(request, location)
        raise RegistryError(f'"{shown(urlsplit(request.url).netloc)}" redirects more than {MAX_REDIRECTS} times')

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        assert self._session is not None, "transport is not open"
        parts = urlsplit(request.url)
        way = proxy.choose(self.options.environment, parts.scheme, parts.netloc)
        body = request.body() if callable(request.body) else request.body
        given = {"Accept-Encoding": "identity", **request.headers}
        if way and way.header and parts.scheme == "http":
            given["Proxy-Authorization"] = way.header
        try:
            return await self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=given,
                data=body,
                allow_redirects=False,
                ssl=self._context(request, parts.netloc) if parts.scheme == "https" else True,
                proxy=way.url if way else None,
                proxy_headers={"Proxy-Authorization": way.header} if way and way.header else None,
            )
        except (TimeoutError, aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as err:
            raise unreachable(err, parts.netloc) from err

    def _context(self, request: Request, host: str) -> ssl.SSLContext:
        lax = request.insecure or (is_loopback(host) and not self._tls.folder(host))
        return self._tls.context(host, verify=not lax)


def redirected(request: Request, location: str) -> Request:
    """The request a redirect asks for. Credentials stay with scheme, host and port; TLS is never left."""
    url = follow(request.url, location)
    headers = request.headers
    if urlsplit(url)[:2] != urlsplit(request.url)[:2]:
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
    return replace(request, url=url, headers=headers)


def follow(base: str, location: str) -> str:
    """An absolute URL from a Location header. Raises RegistryError for other schemes, or http after https."""
    host = shown(urlsplit(base).netloc)
    try:
        url = urljoin(base, location)
        parts = urlsplit(url)
        name, _ = parts.hostname, parts.port
    except ValueError as err:
        raise RegistryError(f'"{host}" sends us to "{shown(location)}", which is no URL') from err
    if parts.scheme not in ("http", "https") or not name or "@" in parts.netloc or not _is_printable(url):
        raise RegistryError(f'"{host}" sends us to "{shown(location)}", which is not an http URL')
    if len(url) > MAX_URL:
        raise RegistryError(f'"{host}" sends us to a URL of {len(url)} characters')
    if parts.scheme == "http" and urlsplit(base).scheme == "https":
        raise RegistryError(
            f'"{host}" sends us from https to "{shown(url)}"',
            hint="behind a proxy it must be told its scheme (X-Forwarded-Proto)",
        )
    return parts._replace(fragment="").geturl()


def _is_printable(url: str) -> bool:
    return all("\x21" <= sign <= "\x7e" for sign in url)


def unreachable(err: BaseException, host: str) -> Unreachable:
    """Our exception for what aiohttp raised."""
    name = shown(host)
    certificate = getattr(err, "certificate_error", err)
    if isinstance(err, (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError)):
        reason = getattr(certificate, "verify_message", "") or str(certificate)
        return Unreachable(
            f'certificate of "{name}" is not trusted: {shown(reason)}',
            "certificate",
            hint=f"put its root into /etc/containers/certs.d/{name}/ca.crt, or use --tls-verify=false",
        )
    if isinstance(err, (aiohttp.ClientConnectorSSLError, ssl.SSLError)):
        inner = getattr(err, "os_error", err)
        reason = getattr(inner, "reason", None) or str(inner)
        return Unreachable(
            f'no tls with "{name}": {shown(str(reason)).lower().replace("_", " ")}',
            "tls",
            hint="if the registry speaks plain http, use --tls-verify=false",
        )
    if isinstance(err, aiohttp.ClientConnectorError):
        reason = err.os_error.strerror or str(err.os_error)
        return Unreachable(f'cannot connect to "{name}": {shown(reason).lower()}', "connect")
    if isinstance(err, (aiohttp.ConnectionTimeoutError,)):
        return Unreachable(f'cannot connect to "{name}": timed out', "connect")
    if isinstance(err, (asyncio.TimeoutError, aiohttp.ServerTimeoutError)):
        return Unreachable(f'"{name}" does not answer: timed out', "timeout")
    if isinstance(err, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, OSError)):
        return Unreachable(f'connection to "{name}" was lost', "lost")
    if isinstance(err, aiohttp.ClientHttpProxyError):
        return Unreachable(f'the proxy answered {err.status} for "{name}"', "protocol")
    return Unreachable(f'"{name}" does not speak http as it should: {shown(str(err))}', "protocol")


async def read_bounded(response: aiohttp.ClientResponse, limit: int = MAX_DOCUMENT) -> bytes:
    """The whole body if it has at most `limit` bytes. Raises LimitExceeded, Unreachable."""
    host = response.url.authority
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RegistryError(f'"{shown(host)}" encodes its answer though it was asked not to')
    parts: list[bytes] = []
    size = 0
    try:
        async for part in response.content.iter_any():
            size += len(part)
            if size > limit:
                raise LimitExceeded(f'answer of "{shown(host)}" has more than {limit} bytes')
            parts.append(part)
    except (TimeoutError, aiohttp.ClientError, OSError) as err:
        raise unreachable(err, host) from err
    return b"".join(parts)


async def read_start(response: aiohttp.ClientResponse, limit: int = MAX_ERROR_BODY) -> bytes:
    """At most the first `limit` bytes of the body, for messages. Raises Unreachable."""
    start = b""
    try:
        while len(start) < limit and (part := await response.content.read(limit - len(start))):
            start += part
    except (aiohttp.ClientError, TimeoutError, OSError) as err:
        raise unreachable(err, response.url.authority) from err
    return start


async def discard(response: aiohttp.ClientResponse) -> None:
    """Be done with an answer; its connection is kept for the next request if the body is short."""
    length = response.content_length
    if length is not None and length <= MAX_ERROR_BODY:
        try:
            await read_start(response)
        except Unreachable:
            pass
    response.close()
