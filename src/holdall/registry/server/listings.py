"""Lists: tags, repositories, referrers; in pages, each with a Link to the next."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from holdall.oci import mediatype
from holdall.oci.jsonval import dumps, loads
from holdall.registry.server.refusal import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.registry.server.catalog_values import Referrer
    from holdall.registry.server.exchange import Exchange

MAX_PAGE = 1_000
MAX_REFERRERS = 4 << 20
REPOSITORIES_AT_ONCE = 1_000


async def root(_exchange: Exchange) -> web.StreamResponse:
    """GET /v2/: this is a registry."""
    return web.Response(body=b"{}", content_type="application/json")


async def tags(exchange: Exchange) -> web.StreamResponse:
    """GET of a repository's tags in byte order."""
    limit = exchange.count("n", MAX_PAGE)
    name = exchange.route.repository
    shelf = exchange.shelf
    page = await shelf.read(shelf.catalog.tags, name, exchange.query("last"), MAX_PAGE if limit is None else limit)
    if page is None:
        raise Refusal("NAME_UNKNOWN", "no such repository", detail={"name": name})
    answer = {"name": name, "tags": list(page.names)}
    more = page.more and bool(page.names)
    return _json(answer, _next(f"/v2/{name}/tags/list", page.names[-1], limit) if more else {})


async def repositories(exchange: Exchange) -> web.StreamResponse:
    """GET of the repositories that the visitor may pull from."""
    limit = exchange.count("n", MAX_PAGE)
    wanted = MAX_PAGE if limit is None else limit
    names: list[str] = []
    after, more = exchange.query("last"), True
    shelf = exchange.shelf
    while more and len(names) <= wanted:
        page = await shelf.read(shelf.catalog.repositories, after, REPOSITORIES_AT_ONCE)
        names += [name for name in page.names if exchange.visitor.may("pull", name)]
        more = page.more
        after = page.names[-1] if page.names else after
    found = names[:wanted]
    more = len(names) > wanted and bool(found)
    return _json({"repositories": found}, _next("/v2/_catalog", found[-1], limit) if more else {})


async def referrers(exchange: Exchange) -> web.StreamResponse:
    """GET of the manifests whose subject a digest is, as an index."""
    kind, name, digest = exchange.query("artifactType"), exchange.route.repository, str(exchange.route.digest)
    after = exchange.count("after", 1 << 62) or 0
    shelf = exchange.shelf
    rows = await shelf.read(shelf.catalog.referrers, name, digest, kind, after, MAX_PAGE + 1)
    shown = _fitting(rows[:MAX_PAGE])
    headers = {"Content-Type": mediatype.OCI_INDEX}
    if kind:
        headers["OCI-Filters-Applied"] = "artifactType"
    if len(shown) < len(rows):
        query = urlencode({"after": shown[-1].number, **({"artifactType": kind} if kind else {})})
        headers["Link"] = f'</v2/{name}/referrers/{digest}?{query}>; rel="next"'
    index = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": [_descriptor(row) for row in shown]}
    return web.Response(body=dumps(index), headers=headers)


def _fitting(rows: Sequence[Referrer]) -> Sequence[Referrer]:
    """As many as go into an index that every client must take, one at least."""
    size = 0
    for place, row in enumerate(rows):
        size += len(row.annotations) + 512
        if size > MAX_REFERRERS and place:
            return rows[:place]
    return rows


def _descriptor(row: Referrer) -> dict[str, object]:
    made: dict[str, object] = {"mediaType": row.media_type, "digest": row.digest, "size": row.size}
    if row.annotations:
        made["annotations"] = loads(row.annotations, "annotations")
    if row.artifact_type:
        made["artifactType"] = row.artifact_type
    return made


def _next(path: str, last: str, limit: int | None) -> dict[str, str]:
    query = urlencode({"last": last, **({} if limit is None else {"n": limit})})
    return {"Link": f'<{path}?{query}>; rel="next"'}


def _json(value: object, headers: dict[str, str]) -> web.Response:
    return web.Response(body=dumps(value), headers={"Content-Type": "application/json", **headers})
