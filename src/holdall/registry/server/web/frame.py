"""What stands around every page, and the headers that go with it: nothing but our own style sheet is ever loaded."""

from __future__ import annotations

import hashlib
import os

from aiohttp import web

from holdall.registry.server.web.html import Html, element, join, link
from holdall.registry.server.web.words import ROOT

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
YEAR = 31_536_000

with open(os.path.join(os.path.dirname(__file__), "style.css"), "rb") as _file:
    STYLE = _file.read()
MARK = hashlib.sha256(STYLE).hexdigest()[:12]
ICON = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#2456a6"/>'
    b'<path d="M3 5h10M3 8h10M3 11h10" stroke="#fff" stroke-width="1.6" stroke-linecap="round"/></svg>'
)


def page(title: str, body: Html, *, user: str = "", may_login: bool = False, status: int = 200) -> web.Response:
    """A whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="robots", content="noindex"),
        element("title", f"{title} – registry"),
        element("link", rel="icon", type="image/svg+xml", href=f"{ROOT}icon.svg"),
        element("link", rel="stylesheet", href=f"{ROOT}style.css?v={MARK}"),
    )
    who: list[str] = []
    if user:
        who = [element("span", user, class_="user")]
    elif may_login:
        who = [link("Log in", f"{ROOT}login")]
    top = element("header", link("Registry", ROOT, class_="home"), *who)
    document = join(
        [Html("<!doctype html>"), element("html", head, element("body", top, element("main", body)), lang="en")]
    )
    return web.Response(
        status=status,
        body=document.encode("utf-8", "replace"),
        headers={**HEADERS, "Content-Type": "text/html; charset=utf-8", "Cache-Control": "private, no-cache"},
    )


def style() -> web.Response:
    """The style sheet; its address changes with it."""
    headers = {
        **HEADERS,
        "Content-Type": "text/css; charset=utf-8",
        "Cache-Control": f"public, max-age={YEAR}, immutable",
    }
    return web.Response(body=STYLE, headers=headers)


def icon() -> web.Response:
    """The icon of the window."""
    headers = {**HEADERS, "Content-Type": "image/svg+xml", "Cache-Control": f"public, max-age={YEAR // 365}"}
    return web.Response(body=ICON, headers=headers)


def moved(where: str) -> web.Response:
    """Look there instead."""
    return web.Response(status=302, headers={**HEADERS, "Location": where})
