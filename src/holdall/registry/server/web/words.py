"""Numbers, times and links as the pages show them."""

from __future__ import annotations

import time
from urllib.parse import quote, urlencode

from holdall.registry.server.web.html import Html, element

ROOT = "/ui/"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(octets: float) -> str:
    """Bytes in three digits: "12.3 MB"."""
    value = float(octets)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    digits = 0 if unit == "B" or value >= 100 else 1
    return f"{value:.{digits}f} {unit}"


def moment(seconds: float) -> Html:
    """A time as a date; the hover text has it whole. Nothing for 0."""
    if seconds <= 0:
        return Html("")
    try:
        whole = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return Html("")
    return element("time", whole[:10], datetime=whole, title=whole)


def count(number: int, one: str, many: str = "") -> str:
    """ "1 tag", "3 tags"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def short(digest: str) -> str:
    """A digest's first twelve digits."""
    return digest.partition(":")[2][:12]


def repositories_at(search: str = "", after: str = "") -> str:
    """Where the list of repositories is."""
    return _with(ROOT, {"q": search, "after": after})


def repository_at(name: str, **query: str) -> str:
    """Where a repository's page is."""
    return _with(f"{ROOT}repository/{quote(name)}", query)


def image_at(repository: str, reference: str) -> str:
    """Where an image's page is, by tag or digest."""
    return _with(f"{ROOT}image/{quote(repository)}", {"ref": reference})


def _with(path: str, query: dict[str, str]) -> str:
    given = {key: value for key, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
