"""GET over http and https: redirects, proxies of the environment, and every failure in our words."""

from __future__ import annotations

import base64
import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request

from holdall import __version__
from holdall.errors import HoldallError, InvalidInput, RegistryError, Unauthorized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import IO, Any

SECONDS = 60.0
"""Without a byte from the server for so long it is given up."""
AGAIN = (408, 425, 429, 500, 502, 503, 504)
MAX_HEADER = 1024


class Unreached(RegistryError):
    """The server could not be reached, or broke off; `again`: it may be otherwise a moment later."""

    again = True


class Answer:
    """The body of a 200, and what its headers say. A context manager."""

    def __init__(self, response: http.client.HTTPResponse, url: str) -> None:
        self._response = response
        self.shown = shown(url)
        headers = response.headers
        length = headers.get("Content-Length", "")
        self.size = int(length) if length.isascii() and length.isdigit() else None
        self.etag = _bounded(headers.get("ETag"))
        self.last_modified = _bounded(headers.get("Last-Modified"))
        self.name = _bounded(headers.get_filename(""))

    def __enter__(self) -> Answer:  # noqa: PYI034
        return self

    def __exit__(self, *_error: object) -> None:
        self._response.close()

    def read(self, size: int) -> bytes:
        """The next bytes. Raises RegistryError."""
        try:
            return self._response.read(size)
        except (OSError, http.client.HTTPException) as err:
            raise Unreached(f'cannot fetch "{self.shown}": the connection broke off') from err

    def check_whole(self, size: int) -> None:
        """Raises RegistryError unless all that was promised has come."""
        if self.size is not None and size != self.size:
            raise Unreached(f'cannot fetch "{self.shown}": {size} of {self.size} bytes have come')


class Client:
    """`secret` gives the text of a secret of the build by its name, for HTTP_AUTH_HEADER_host, HTTP_AUTH_TOKEN_host."""

    def __init__(self, secret: Callable[[str], str | None]) -> None:
        self._secret = secret
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            _Redirects(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def get(self, url: str, conditions: Mapping[str, str]) -> Answer | None:
        """The answer to a GET; None for 304, not modified. Raises InvalidInput, RegistryError, Unauthorized."""
        request = self._request(url, conditions)
        try:
            return Answer(self._opener.open(request, timeout=SECONDS), url)
        except urllib.error.HTTPError as err:
            with err:
                if err.code == 304 and conditions:
                    return None
                raise _refused(url, err.code) from err
        except urllib.error.URLError as err:
            raise _unreached(url, err.reason) from err
        except (OSError, http.client.HTTPException, ValueError) as err:
            raise _unreached(url, err) from err

    def _request(self, url: str, conditions: Mapping[str, str]) -> urllib.request.Request:
        try:
            parts = urllib.parse.urlsplit(url)
            host = parts.hostname
            plain = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
            request = urllib.request.Request(urllib.parse.quote(plain, safe="%/:=&?~#+!$,;'@()*[]"), method="GET")
        except ValueError as err:
            raise InvalidInput(f'"{shown(url)}" is no URL: {err}') from err
        if not host:
            raise InvalidInput(f'"{shown(url)}" is no URL: it names no host')
        request.add_header("User-Agent", f"holdall/{__version__}")
        request.add_header("Accept", "*/*")
        for name, value in conditions.items():
            request.add_header(name, value)
        credentials = self._credentials(host, parts)
        if credentials:
            # not sent to where the server redirects to
            request.add_unredirected_header("Authorization", credentials)
        return request

    def _credentials(self, host: str, parts: urllib.parse.SplitResult) -> str:
        header = self._secret(f"HTTP_AUTH_HEADER_{host}")
        if header:
            return header.strip()
        token = self._secret(f"HTTP_AUTH_TOKEN_{host}")
        if token:
            return f"Bearer {token.strip()}"
        if parts.username is None:
            return ""
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        return "Basic " + base64.b64encode(pair.encode()).decode()


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, request: urllib.request.Request, file: IO[bytes], code: int, message: str, headers: Any, url: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise InvalidInput(f'"{shown(request.full_url)}" redirects to "{shown(url)}", which is no web address')
        return super().redirect_request(request, file, code, message, headers, url)


def shown(url: str) -> str:
    """A URL for messages: without password and query, of bounded length, printable."""
    try:
        parts = urllib.parse.urlsplit(url)
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    except ValueError:
        pass
    return ascii(url[:300])[1:-1]


def _bounded(text: str | None) -> str:
    return text if text is not None and len(text) <= MAX_HEADER else ""


def _refused(url: str, code: int) -> HoldallError:
    if code in AGAIN:
        return Unreached(f'cannot fetch "{shown(url)}": the server answered {code}')
    if code in (401, 403):
        return Unauthorized(
            f'cannot fetch "{shown(url)}": the server answered {code}',
            hint="give a token with --secret id=HTTP_AUTH_TOKEN_<host>,src=FILE",
        )
    return RegistryError(f'cannot fetch "{shown(url)}": the server answered {code}')


def _unreached(url: str, why: object) -> HoldallError:
    if isinstance(why, ssl.SSLCertVerificationError):
        return RegistryError(f'cannot fetch "{shown(url)}": {why.verify_message or "its certificate is not trusted"}')
    text = getattr(why, "strerror", None) or str(why) or type(why).__name__
    return Unreached(f'cannot fetch "{shown(url)}": {ascii(text[:200])[1:-1]}')
