"""A repository: its tags, newest first, with platforms and sizes."""

from __future__ import annotations

from holdall.record import record
from holdall.registry.server.web import words
from holdall.registry.server.web.html import Html, element, facts, join, link, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.registry.server.catalog_values import Summary, TagRow
    from holdall.registry.server.storage import Catalog
    from holdall.registry.server.web.reading import Brief, Reader

PAGE = 50
SORTED = 5_000
"""Up to so many tags are put in order of time; of more, those of a page come by name."""
AT_ONCE = 1_000
MAX_SHOWN_PLATFORMS = 8


@record
class Tags:
    """A page of tags, `number` (from 0) of `pages` in order of time; or by name, `after` the one before."""

    summary: Summary
    rows: tuple[tuple[TagRow, Brief], ...]
    number: int = 0
    pages: int = 1
    by_name: bool = False
    more: bool = False


def find(catalog: Catalog, reader: Reader, name: str, number: int, after: str) -> Tags | None:
    """The tags of a page; None when there is no such repository. Synchronous, for a thread."""
    summaries = catalog.summaries([name])
    if not summaries:
        return None
    (summary,) = summaries
    if summary.tags > SORTED:
        rows = list(catalog.tag_rows(name, after, PAGE + 1))
        return Tags(summary, _briefs(reader, name, rows[:PAGE]), by_name=True, more=len(rows) > PAGE)
    rows = []
    while page := catalog.tag_rows(name, rows[-1].name if rows else "", AT_ONCE):
        rows += page
    rows.sort(key=lambda row: (-row.updated, row.name))
    pages = max((len(rows) + PAGE - 1) // PAGE, 1)
    number = min(number, pages - 1)
    return Tags(summary, _briefs(reader, name, rows[number * PAGE : (number + 1) * PAGE]), number, pages)


def _briefs(reader: Reader, name: str, rows: Sequence[TagRow]) -> tuple[tuple[TagRow, Brief], ...]:
    return tuple([(row, reader.brief(name, row.digest)) for row in rows])


def body(found: Tags, host: str, upstream: str) -> Html:
    """The page. `upstream` is what the repository mirrors, or ""."""
    summary = found.summary
    newest = found.rows[0][0].name if found.rows else ""
    parts: list[str] = [element("h1", summary.name)]
    if upstream:
        parts.append(element("p", f"A mirror of {upstream}: this is what was asked for so far.", class_="note"))
    parts.append(
        facts(
            [
                ("Tags", f"{summary.tags:,}"),
                ("Size", words.size(summary.octets)),
                ("Changed", words.moment(summary.updated)),
            ]
        )
    )
    if newest:
        parts.append(commands(f"{host}/{summary.name}:{newest}"))
    parts.append(element("h2", "Tags"))
    if found.rows:
        heads = ("Tag", "Platforms", "Size", "Pushed", "Pulled", "Digest")
        parts.append(table(heads, [_row(summary.name, row, brief) for row, brief in found.rows]))
    else:
        parts.append(element("p", "No tags; manifests can be pulled by digest."))
    return join([*parts, _pages(found)])


def _row(repository: str, row: TagRow, brief: Brief) -> Sequence[str]:
    shown = ", ".join(brief.platforms[:MAX_SHOWN_PLATFORMS])
    if len(brief.platforms) > MAX_SHOWN_PLATFORMS:
        shown += f" and {len(brief.platforms) - MAX_SHOWN_PLATFORMS} more"
    return (
        link(row.name, words.image_at(repository, row.name)),
        shown,
        words.size(brief.octets) if brief.octets else "",
        words.moment(row.updated),
        words.moment(row.pulled),
        element("code", words.short(row.digest), title=row.digest),
    )


def commands(reference: str) -> Html:
    """How to pull it."""
    lines = [element("li", element("code", f"{tool} pull {reference}")) for tool in ("docker", "podman", "holdall")]
    return element("ul", *lines, class_="commands", aria_label="Pull")


def _pages(found: Tags) -> Html:
    name, links = found.summary.name, []
    if found.by_name and found.more:
        links.append(link("Next page", words.repository_at(name, after=found.rows[-1][0].name), rel="next"))
    if not found.by_name and found.number:
        earlier = str(found.number) if found.number > 1 else ""
        links.append(link("Newer", words.repository_at(name, page=earlier), rel="prev"))
    if not found.by_name and found.number + 1 < found.pages:
        links.append(link("Older", words.repository_at(name, page=str(found.number + 2)), rel="next"))
    if found.pages > 1:
        links.append(element("span", f"page {found.number + 1} of {found.pages}", class_="dim"))
    return element("nav", *links, aria_label="Pages") if links else Html("")
