"""How layers are compressed on their way out: the attributes compression, compression-level and force-compression."""

from __future__ import annotations

from holdall.build import fields
from holdall.errors import InvalidOption
from holdall.record import record

UNCOMPRESSED, GZIP, ZSTD, CHUNKED = "uncompressed", "gzip", "zstd", "zstd:chunked"
LEVELS = {UNCOMPRESSED: (0, 0), GZIP: (0, 9), ZSTD: (0, 22), CHUNKED: (0, 22)}


@record
class Compression:
    """`kind` is "" for what the layers have; `level` None for the usual one. With `force` the layers of base images
    are made so too; without it they stay as they came.
    """

    kind: str = ""
    level: int | None = None
    force: bool = False


def take(values: dict[str, str], option: str) -> Compression:
    """Take the three attributes off `values`. Raises InvalidOption."""
    kind = values.pop("compression", "")
    force = fields.flag(values, "force-compression", option)
    level = fields.number(values, "compression-level", option)
    if kind == "estargz":
        raise InvalidOption(f'compression "estargz" is not supported in {option}', hint="use zstd:chunked")
    if kind and kind not in LEVELS:
        raise InvalidOption(
            f'invalid value "{kind}" for compression in {option}', hint=f"use one of {', '.join(LEVELS)}"
        )
    low, high = LEVELS[kind or GZIP]
    if level is not None and not low <= level <= high:
        raise InvalidOption(f'invalid compression-level {level} for "{kind or GZIP}"', hint=f"use {low} to {high}")
    if (level is not None or force) and not kind:
        kind = GZIP
    return Compression(kind, level, force)
