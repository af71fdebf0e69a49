"""Proxies from the environment: HTTPS_PROXY, HTTP_PROXY, NO_PROXY and their lower-case names, as curl and Go read them.

aiohttp's own trust_env is not used: it also sends passwords of ~/.netrc. Loopback never goes through a proxy.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote, urlsplit

from holdall.errors import Unsupported
from holdall.record import record
from holdall.registry.credential import Credential
from holdall.registry.endpoint import is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


@record
class Proxy:
    """An HTTP proxy; `url` carries no credentials."""

    url: str
    username: str = ""
    password: str = ""

    @property
    def header(self) -> str | None:
        """Value of Proxy-Authorization, None without a user."""
        return Credential(self.username, self.password).basic


def choose(environ: Mapping[str, str], scheme: str, host: str) -> Proxy | None:
    """The proxy for a request to scheme://host[:port], None to connect directly. Raises Unsupported for SOCKS."""
    text = _variable(environ, f"{scheme}_proxy")
    if not text or is_loopback(host) or _excluded(_variable(environ, "no_proxy"), host):
        return None
    return _parse(text, f"{scheme}_proxy")


def _variable(environ: Mapping[str, str], name: str) -> str:
    # HTTP_PROXY is what a CGI server makes of a client's "Proxy:" header (httpoxy)
    if name == "http_proxy" and "REQUEST_METHOD" in environ:
        return environ.get(name, "")
    return environ.get(name) or environ.get(name.upper(), "")


def _parse(text: str, variable: str) -> Proxy:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or parts.scheme not in ("http", "https"):
        raise Unsupported(f"the proxy in {variable} is not an http proxy", hint="write http://host:port")
    host = f"[{host}]" if ":" in host else host
    url = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    return Proxy(url, unquote(parts.username or ""), unquote(parts.password or ""))


def _excluded(rules: str, host: str) -> bool:
    parts = urlsplit(f"//{host}")
    name, port = (parts.hostname or "").lower(), parts.port
    for rule in rules.replace(" ", ",").split(","):
        rule = rule.strip().lower()
        if rule == "*" or (rule and _matches(rule, name, port)):
            return True
    return False


def _matches(rule: str, name: str, port: int | None) -> bool:
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(rule.strip("[]"), strict=False)
    except ValueError:
        pass
    head, colon, wanted = rule.rpartition(":")
    if colon and wanted.isdecimal() and not head.count(":"):
        if port != int(wanted):
            return False
        rule = head
    rule = rule.removeprefix("*").removeprefix(".")
    return bool(rule) and (name == rule or name.endswith("." + rule))
