"""Tables as Docker prints them: upper-case heads, columns three blanks apart, or one template per row."""

from __future__ import annotations

import re

from holdall.cli.format.template import Template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from holdall.cli.state import State

GAP = 3
SPECIAL = {
    "CreatedAt": "CREATED AT",
    "CreatedSince": "CREATED",
    "RunningFor": "CREATED",
    "LocalVolumes": "LOCAL VOLUMES",
}


def show(
    state: State,
    rows: Iterable[Mapping[str, Any]],
    *,
    default: str,
    heads: Mapping[str, str],
    pattern: str | None = None,
) -> None:
    """Print rows by `pattern`: "json", "table …", a template, or `default` (a table) when None.

    `heads` gives the title of each field a table may show.
    """
    chosen = {None: default, "table": default, "json": "{{json .}}"}.get(pattern, pattern) or default
    text = chosen.replace("\\t", "\t").replace("\\n", "\n")
    if not text.startswith("table "):
        template = Template(text)
        for row in rows:
            state.print(template.render(dict(row)))
        return
    body = text.removeprefix("table ")
    template = Template(body)
    lines = [[head(field, heads) for field in body.split("\t")]]
    lines += [template.render(dict(row)).split("\t") for row in rows]
    for line in columns(lines):
        state.print(line)


def head(cell: str, heads: Mapping[str, str]) -> str:
    """Title of one column of a template."""
    names = re.findall(r"\.(\w+)", cell)
    if not names:
        return cell
    name = names[-1]
    return heads.get(name) or SPECIAL.get(name) or name.upper()


def columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lay cells out in columns as wide as their widest cell; the last one is not padded."""
    count = max((len(line) for line in lines), default=0)
    widths = [max((len(line[i]) for line in lines if i < len(line)), default=0) for i in range(count)]
    result = []
    for line in lines:
        cells = [cell.ljust(widths[i] + GAP) for i, cell in enumerate(line[:-1])]
        result.append(("".join(cells) + (line[-1] if line else "")).rstrip())
    return result
