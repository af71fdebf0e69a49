"""Requests for pages: who may see what is the same as for pulling. Mounted at /ui/, and / leads there."""

from __future__ import annotations

import time

from aiohttp import web

from holdall.errors import HoldallError
from holdall.registry.server.door import BASIC
from holdall.registry.server.names import is_repository, is_tag
from holdall.registry.server.refusal import Refusal
from holdall.registry.server.route import parse_digest
from holdall.registry.server.web import frame, image, listing, repository
from holdall.registry.server.web.html import element, join, link
from holdall.registry.server.web.reading import Reader
from holdall.registry.server.web.words import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from holdall.registry.server.door import Door, Guest
    from holdall.registry.server.shelf import Shelf

COUNT_SECONDS = 10.0
_REPOSITORY, _IMAGE = f"{ROOT}repository/", f"{ROOT}image/"
_TITLES = {401: "Log in", 403: "Not allowed", 404: "Not here", 429: "Too many requests"}


class Web:
    """Answers GET and HEAD of pages. `upstream` names what a repository mirrors, "" for nothing."""

    def __init__(self, shelf: Shelf, door: Door, upstream: Callable[[str], str]) -> None:
        self._shelf = shelf
        self._door = door
        self._upstream = upstream
        self._reader = Reader(shelf)
        self._totals: dict[str, int] = {}
        self._counted = 0.0

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path is one of ours."""
        return path in ("/", "/ui") or path.startswith(ROOT)

    async def answer(self, request: web.BaseRequest, note: Callable[[Guest], None]) -> web.Response:
        """Answer; `note` hears who asks. Errors are pages too."""
        try:
            if request.method not in ("GET", "HEAD"):
                raise Refusal("UNSUPPORTED", "pages can only be read", headers={"Allow": "GET, HEAD"}, close=True)
            if request.path == f"{ROOT}style.css":
                return frame.style()
            if request.path == f"{ROOT}icon.svg":
                return frame.icon()
            if not request.path.startswith(ROOT):
                return frame.moved(ROOT)
            guest = await self._door.admit(request)
            note(guest)
            return await self._page(request, guest)
        except Refusal as err:
            return _refused(err)

    async def _page(self, request: web.BaseRequest, guest: Guest) -> web.Response:
        path = request.path
        if path == ROOT:
            return await self._repositories(request, guest)
        if path == f"{ROOT}login":
            if not guest.visitor.user and self._users:
                raise Refusal("UNAUTHORIZED", "log in first")
            return frame.moved(ROOT)
        if path.startswith(_REPOSITORY):
            return await self._repository(request, guest, path.removeprefix(_REPOSITORY))
        if path.startswith(_IMAGE):
            return await self._image(request, guest, path.removeprefix(_IMAGE))
        raise Refusal("NAME_UNKNOWN", "there is no such page")

    @property
    def _users(self) -> bool:
        return self._door.access.people is not None

    def _whole(self, title: str, body: str, guest: Guest) -> web.Response:
        user = guest.visitor.user
        return frame.page(title, join([body]), user=user, may_login=self._users and not user)

    async def _repositories(self, request: web.BaseRequest, guest: Guest) -> web.Response:
        search = request.query.get("q", "").strip()[: listing.MAX_SEARCH]
        after = request.query.get("after", "")[:300]
        visitor = guest.visitor

        def may(name: str) -> bool:
            return visitor.may("pull", name)

        names = await self._shelf.work(listing.find, self._shelf.catalog, may, search, after)
        totals = None
        if visitor.user or not self._users:
            totals = await self._counts()
        elif not names.summaries and not search and not after:
            raise Refusal("UNAUTHORIZED", "log in to see what is here")
        shown = listing.body(names, search, after, totals, lambda name: bool(self._upstream(name)))
        return self._whole("Repositories", shown, guest)

    async def _counts(self) -> dict[str, int]:
        now = time.monotonic()
        if not self._totals or now - self._counted > COUNT_SECONDS:
            self._totals, self._counted = await self._shelf.work(self._shelf.catalog.counts), now
        return self._totals

    async def _repository(self, request: web.BaseRequest, guest: Guest, name: str) -> web.Response:
        self._require(guest, name)
        text = request.query.get("page", "1")
        number = int(text) - 1 if text.isascii() and text.isdigit() and len(text) < 8 else 0
        after = request.query.get("after", "")[:300]
        found = await self._shelf.work(
            repository.find, self._shelf.catalog, self._reader, name, max(number, 0), after
        )  # fmt: skip
        if found is None:
            raise _nothing()
        return self._whole(name, repository.body(found, guest.caller.host, self._upstream(name)), guest)

    async def _image(self, request: web.BaseRequest, guest: Guest, name: str) -> web.Response:
        self._require(guest, name)
        reference = request.query.get("ref", "")
        if ":" in reference:
            reference = str(parse_digest(reference))
        elif not is_tag(reference):
            raise _nothing()
        try:
            found = await self._shelf.work(image.find, self._shelf.catalog, self._reader, name, reference)
        except HoldallError as err:
            raise Refusal("MANIFEST_INVALID", f"the manifest cannot be shown: {err.message}", status=404) from err
        if found is None:
            raise _nothing()
        title = f"{name}:{reference}" if ":" not in reference else name
        return self._whole(title, image.body(found, guest.caller.host), guest)

    def _require(self, guest: Guest, name: str) -> None:
        """The right to pull: who may not does not hear whether there is anything."""
        if not is_repository(name):
            raise _nothing()
        if not guest.visitor.may("pull", name):
            raise _nothing() if guest.visitor.user else Refusal("UNAUTHORIZED", "log in to see this")


def _nothing() -> Refusal:
    return Refusal("NAME_UNKNOWN", "there is nothing here that you may see")


def _refused(err: Refusal) -> web.Response:
    title = _TITLES.get(err.status, "This does not work")
    text = err.message[:1].upper() + err.message[1:] + "."
    body = join([element("h1", title), element("p", text), element("p", link("All repositories", ROOT))])
    response = frame.page(title, body, status=err.status)
    response.headers.update(err.headers)
    if err.status == 401:
        response.headers["WWW-Authenticate"] = BASIC  # what a browser can do
    if err.close:
        response.force_close()
    return response
