"""Names of repositories and tags as they come in URLs, by the grammar of `oci/reference` and nothing looser."""

from __future__ import annotations

from functools import lru_cache

from holdall.errors import InvalidReference
from holdall.oci.reference import Reference

_HOST = "localhost"
_SAMPLE = Reference(_HOST, "sample")


@lru_cache(maxsize=4096)
def is_repository(text: str) -> bool:
    """Whether `text` is a repository's name (distribution-spec "Pulling manifests"), at most 255 characters."""
    if ":" in text or "@" in text:
        return False
    try:
        return Reference.parse(f"{_HOST}/{text}").path == text
    except InvalidReference:
        return False


@lru_cache(maxsize=4096)
def is_tag(text: str) -> bool:
    """Whether `text` is a tag of at most 128 characters."""
    try:
        return _SAMPLE.with_tag(text).tag == text
    except InvalidReference:
        return False
