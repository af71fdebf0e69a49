"""Lists of upstreams: tags and referrers, asked for each time and given on; what is here when no answer comes."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp import web

from holdall.errors import HoldallError, RegistryError
from holdall.oci import mediatype
from holdall.oci.index import Index
from holdall.oci.jsonval import dumps, load_object
from holdall.registry import headers
from holdall.registry.server import listings
from holdall.registry.server.mirror.trouble import Absent, Denied, Trouble, Wrong
from holdall.registry.server.names import is_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.registry.client import Reply
    from holdall.registry.server.exchange import Exchange
    from holdall.registry.server.mirror.mirroring import Mirroring
    from holdall.registry.server.mirror.settings import Target

MAX_QUERY = 2_048
MAX_TAGS = 100_000
MAX_LOCAL = 1_000
OWN = "ns"


class UpstreamLists:
    """Answers GET of tags and referrers."""

    def __init__(self, mirroring: Mirroring) -> None:
        self._all = mirroring
        self._shelf = mirroring.shelf

    async def tags(self, exchange: Exchange, target: Target) -> web.StreamResponse:
        """The upstream's tags, with those that were pushed here."""
        exchange.count("n", MAX_TAGS)
        try:
            reply = await self._ask(exchange, target, "tags", "list")
            found = load_object(reply.body, "list of tags", error=RegistryError).strings("tags", MAX_TAGS)
        except (Trouble, HoldallError) as err:
            return await self._here(exchange, err, "NAME_UNKNOWN", listings.tags)
        names = [tag for tag in found if is_tag(tag)]
        path = f"/v2/{target.repository}/tags/list"
        link = _link(path, reply)
        if target.mirror.push:
            names = await self._with_local(exchange, target, names, more=bool(link))
        body = dumps({"name": target.repository, "tags": names})
        return web.Response(body=body, headers={"Content-Type": "application/json", **link})

    async def referrers(self, exchange: Exchange, target: Target) -> web.StreamResponse:
        """The upstream's referrers; a 404 stays one, so that clients look for the tag that stands for them."""
        digest = str(exchange.route.digest)
        try:
            reply = await self._ask(exchange, target, "referrers", digest)
            index = Index.parse(reply.body, mediatype.OCI_INDEX)
        except (Trouble, HoldallError) as err:
            return await self._here(exchange, err, "MANIFEST_UNKNOWN", listings.referrers)
        found = {"Content-Type": mediatype.OCI_INDEX, **_link(f"/v2/{target.repository}/referrers/{digest}", reply)}
        if reply.headers.get("oci-filters-applied") == "artifactType":
            found["OCI-Filters-Applied"] = "artifactType"
        return web.Response(body=index.raw, headers=found)

    async def _ask(self, exchange: Exchange, target: Target, kind: str, name: str) -> Reply:
        text = exchange.request.query_string
        pairs = [] if len(text) > MAX_QUERY else parse_qsl(text, keep_blank_values=True)
        query = urlencode([(key, value) for key, value in pairs if key != OWN])
        upstream = self._all.upstream(target.mirror)
        return await upstream.document(target.path, kind, f"{name}?{query}" if query else name)

    async def _here(
        self, exchange: Exchange, err: Trouble | HoldallError, code: str, handler: Handler
    ) -> web.StreamResponse:
        """What is here, unless the upstream said that there is nothing."""
        if isinstance(err, HoldallError):
            err = Wrong(f"the upstream's list cannot be read: {err.message}")
        if isinstance(err, Absent) and not isinstance(err, Denied):
            raise err.refusal(code) from err
        name = exchange.route.repository
        if await self._shelf.read(self._shelf.catalog.tags, name, "", 0) is None:
            raise err.refusal(code) from err
        self._all.meters.add("mirror_stale")
        return await handler(exchange)

    async def _with_local(self, exchange: Exchange, target: Target, names: list[str], *, more: bool) -> list[str]:
        """Tags that were pushed here, within what this page covers if upstream's tags are in order, else at the end."""
        ordered = names == sorted(names)
        if more and not (ordered and names):
            return names
        catalog, after = self._shelf.catalog, exchange.query("last") if ordered else ""
        page = await self._shelf.read(catalog.tags, target.repository, after, MAX_LOCAL)
        known = set(names)
        local = [tag for tag in (page.names if page else ()) if tag not in known and not (more and tag > names[-1])]
        pushed = [tag for tag in local if await self._is_local(target, tag)]
        return sorted([*names, *pushed]) if ordered else [*names, *pushed]

    async def _is_local(self, target: Target, tag: str) -> bool:
        found = await self._shelf.read(self._shelf.catalog.upstream_tag, target.repository, tag)
        return found is not None and found.checked < 0


if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]


def _link(path: str, reply: Reply) -> dict[str, str]:
    """The next page, here."""
    following = headers.next_link(reply.headers.get("link"))
    query = urlsplit(following or "").query
    if not query or len(query) > MAX_QUERY:
        return {}
    return {"Link": f'<{path}?{urlencode(parse_qsl(query, keep_blank_values=True))}>; rel="next"'}
