"""The list of repositories, with search and pages."""

from __future__ import annotations

from holdall.record import record
from holdall.registry.server.web import words
from holdall.registry.server.web.html import Html, element, join, link, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdall.registry.server.catalog_values import Summary
    from holdall.registry.server.storage import Catalog

PAGE = 50
AT_ONCE = 1_000
MAX_SEARCH = 100


@record
class Names:
    """Some repositories; `more` when others follow the last one."""

    summaries: tuple[Summary, ...]
    more: bool


def find(catalog: Catalog, may_pull: Callable[[str], bool], search: str, after: str) -> Names:
    """Repositories that somebody may pull from and whose names contain `search`. Synchronous, for a thread."""
    found: list[str] = []
    wanted, more = search.lower(), True
    while more and len(found) <= PAGE:
        page = catalog.repositories(after, AT_ONCE)
        found += [name for name in page.names if wanted in name and may_pull(name)]
        more = page.more
        after = page.names[-1] if page.names else after
    return Names(tuple(catalog.summaries(found[:PAGE])), len(found) > PAGE)


def body(names: Names, search: str, after: str, totals: dict[str, int] | None, mirrored: Callable[[str], bool]) -> Html:
    """The page."""
    form = element(
        "form",
        element("input", type="search", name="q", value=search, maxlength=str(MAX_SEARCH), aria_label="Name",
                placeholder="part of a name", autocomplete="off", autocapitalize="none", spellcheck="false"),
        element("button", "Search", type="submit"),
        method="get", action=words.ROOT, role="search",
    )  # fmt: skip
    parts: list[str] = [element("h1", "Repositories"), form]
    if totals is not None:
        repositories = words.count(totals["repositories"], "repository", "repositories")
        blobs = words.count(totals["blobs"], "blob")
        text = f"{repositories}, {words.count(totals['tags'], 'tag')}, {words.size(totals['bytes'])} in {blobs}"
        parts.append(element("p", text, class_="dim"))
    if names.summaries:
        parts.append(
            table(("Name", "Tags", "Size", "Changed"), [_row(one, mirrored(one.name)) for one in names.summaries])
        )
    else:
        parts.append(element("p", "Nothing of that name." if search else "There is nothing here yet."))
    parts.append(_pages(names, search, after))
    return join(parts)


def _row(one: Summary, mirrored: bool) -> Sequence[str]:
    name = link(one.name, words.repository_at(one.name))
    if mirrored:
        name = join([name, " ", element("span", "mirror", class_="dim")])
    return (name, f"{one.tags:,}", words.size(one.octets), words.moment(one.updated))


def _pages(names: Names, search: str, after: str) -> Html:
    links = []
    if after:
        links.append(link("First page", words.repositories_at(search)))
    if names.more:
        links.append(link("Next page", words.repositories_at(search, names.summaries[-1].name), rel="next"))
    return element("nav", *links, aria_label="Pages") if links else Html("")
