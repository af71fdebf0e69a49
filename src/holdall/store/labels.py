"""Labels as the database keeps them: one JSON object with sorted keys; and Docker's `label=` filters over them."""

from __future__ import annotations

import json

from holdall.errors import StoreCorrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def encode(labels: Mapping[str, str]) -> str:
    """The column's text for a mapping."""
    return json.dumps(dict(labels), sort_keys=True, ensure_ascii=False) if labels else "{}"


def decode(text: str) -> dict[str, str]:
    """The mapping of a column's text. Raises StoreCorrupt when it is not one."""
    if text == "{}":
        return {}
    try:
        labels = json.loads(text)
    except ValueError as error:
        raise StoreCorrupt(f"labels in the database are not JSON: {error}") from error
    if not isinstance(labels, dict):
        raise StoreCorrupt("labels in the database are not a JSON object")
    return labels


def match(labels: Mapping[str, str], wanted: Iterable[str], unwanted: Iterable[str] = ()) -> bool:
    """True when every filter of `wanted` ("key" or "key=value") fits and none of `unwanted` (`label!=`) does."""
    return all(_fits(labels, text) for text in wanted) and not any(_fits(labels, text) for text in unwanted)


def _fits(labels: Mapping[str, str], text: str) -> bool:
    key, equals, value = text.partition("=")
    return key in labels and (not equals or labels[key] == value)
