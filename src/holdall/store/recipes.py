"""Recipes: how a compressed layer can be made again, bit by bit, from its uncompressed tar.

A recipe names the compressor, its settings and the gzip header. `version` and `probe` (a checksum of what the
compressor makes of a fixed sample) say whose output it was: another library, or another processor for which the
library has another code path, may compress differently. Then the whole result is checked before any of it is used.
"""

from __future__ import annotations

import json
import time
import zlib

from holdall.errors import InvalidInput
from holdall.layer.encoders import GZIP_HEADER, PIECE, isal_gzip, zlib_gzip, zstd_frame
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from holdall.layer.compression import Encoder

NONE, ISAL, ZLIB, ZSTD = "none", "isal", "zlib", "zstd"
LEVELS = {NONE: (0, 0), ISAL: (0, 3), ZLIB: (0, 9), ZSTD: (1, 22)}
MAX_HEADER = 4096
MAX_PIECE = 64 << 20
SAMPLE = 1 << 20
"""Bytes of the tar by which candidates are told apart."""

FIND_SECONDS = 20.0
ZSTD_LEVELS = (3, 1, 2, *range(4, 13), 19)
"""What is tried: the others' tables take longer to set up than a whole layer at these."""

READ = 1 << 20


@record
class Recipe:
    """How to make a compressed blob from its tar.

    `header` is the gzip header in hex; `piece` how many bytes the compressor is given at a time; `memory` zlib's
    memLevel; `checksum`, `sized` and `threads` are zstd's: a checksum at the end, the size in the frame's header,
    the library's multi-threaded form (0: not used).
    """

    compressor: str
    level: int
    piece: int = PIECE
    header: str = ""
    memory: int = 8
    checksum: bool = True
    sized: bool = False
    threads: int = 0
    version: str = ""
    probe: int = 0

    def __post_init__(self) -> None:
        low, high = LEVELS.get(self.compressor, (1, 0))
        if not (low <= self.level <= high and 1 <= self.piece <= MAX_PIECE and 1 <= self.memory <= 9):
            raise InvalidInput(f'no recipe "{self.compressor}" at level {self.level}')
        if len(self.header) > 2 * MAX_HEADER or not 0 <= self.threads <= 1:
            raise InvalidInput(f'no such recipe "{self.compressor}"')

    def to_json(self) -> str:
        """As the table `compressed` keeps it: only what differs from the default."""
        values = {name: value for name, value in self.__dict__.items() if value != getattr(Recipe, name, None)}
        return json.dumps(values, separators=(",", ":"), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Recipe | None:
        """Read what `to_json` wrote; None for "" and for what this Holdall does not know."""
        try:
            values = json.loads(text) if text else None
            return cls(**values) if isinstance(values, dict) else None
        except (ValueError, TypeError, InvalidInput):
            return None

    def encoder(self, size: int | None = None) -> Encoder:
        """What turns a tar of `size` bytes into the blob."""
        if self.compressor == ISAL:
            return isal_gzip(self.level, bytes.fromhex(self.header), self.piece)
        if self.compressor == ZLIB:
            return zlib_gzip(self.level, bytes.fromhex(self.header), self.piece, self.memory)
        if self.compressor == ZSTD:
            return zstd_frame(
                self.level,
                size=size if self.sized else None,
                checksum=self.checksum,
                threads=self.threads,
                piece=self.piece,
            )
        return _Plain()

    def is_known_here(self) -> bool:
        """Whether the compressor is the one that the recipe was noted with."""
        return self.version == _version(self.compressor) and self.probe == _probe(self)


class _Plain:
    def compress(self, data: bytes | bytearray | memoryview, /) -> bytes:
        return bytes(data)

    def flush(self) -> bytes:
        return b""


def own(kind: str, level: int) -> Recipe:
    """The recipe of what `layer.compression.compressor` writes as "gzip", "zstd" or "none" at a level; gzip at the
    levels that ISA-L does not have (4 to 9) is zlib's.
    """
    if kind == "gzip" and level > 3:
        return signed(Recipe(ZLIB, level, header=GZIP_HEADER.hex()))
    if kind == "gzip":
        return signed(Recipe(ISAL, level, header=GZIP_HEADER.hex()))
    if kind == "zstd":
        return signed(Recipe(ZSTD, level))
    return signed(Recipe(NONE, 0))


def signed(recipe: Recipe) -> Recipe:
    """The recipe with the version and probe of the compressor that is here."""
    from holdall.record import replace

    return replace(recipe, version=_version(recipe.compressor), probe=_probe(recipe))


def _version(compressor: str) -> str:
    if compressor == ISAL:
        import isal

        return f"isal {isal.__version__} {isal.ISAL_VERSION}"
    if compressor == ZLIB:
        return f"zlib {zlib.ZLIB_RUNTIME_VERSION}"
    if compressor == ZSTD:
        import zstandard

        return f"zstd {'.'.join(map(str, zstandard.ZSTD_VERSION))}"
    return ""


_probes: dict[Recipe, int] = {}


def _probe(recipe: Recipe) -> int:
    from holdall.record import replace

    plain = replace(recipe, header=GZIP_HEADER.hex(), version="", probe=0)
    known = _probes.get(plain)
    if known is None:
        sample = _sample()
        encoder = plain.encoder(len(sample))
        known = _probes[plain] = zlib.crc32(encoder.compress(sample) + encoder.flush())
    return known


def _sample() -> bytes:
    """80 KB that compress as files do: words that come again, and noise."""
    words, seed = [], 1
    for _ in range(20_000):
        seed = seed * 1103515245 + 12345 & 0x7FFFFFFF
        words.append(b"%x " % (seed >> (16 if seed & 0x10000 else 24)))
    return b"".join(words)


def find(blob: BinaryIO, tar: BinaryIO, tar_size: int, *, seconds: float = FIND_SECONDS) -> Recipe | None:
    """The recipe by which `blob` comes from `tar`, proven over every byte; None when there is none within `seconds`.
    Both are seekable, and read from their starts.

    Most blobs in the world come from compressors we do not have (Go's, pigz): that is found out within milliseconds.
    """
    until = time.monotonic() + seconds
    sample = _read(tar, 0, min(SAMPLE, tar_size))
    start = _read(blob, 0, SAMPLE + (SAMPLE >> 3) + MAX_HEADER)
    for recipe in _candidates(start, tar_size):
        began = time.monotonic()
        if began > until:
            break
        if not _fits(recipe, sample, start, tar_size):
            continue
        now = time.monotonic()
        is_affordable = (now - began) * tar_size <= (until - now) * max(1, len(sample))
        if is_affordable and _is_proven(recipe, blob, tar, tar_size, until):
            return signed(recipe)
    return None


def _read(stream: BinaryIO, at: int, count: int) -> bytes:
    stream.seek(at)
    parts = []
    while count and (data := stream.read(count)):
        parts.append(data)
        count -= len(data)
    return b"".join(parts)


def _candidates(start: bytes, tar_size: int) -> Iterator[Recipe]:
    """What may have written a blob that begins so, the likely ones first."""
    header = gzip_header(start)
    if header:
        best = {2: (9, 6), 4: (1, 6)}.get(header[8], (6, 9, 1))
        text = header.hex()
        for level in (2, 1, 3, 0):
            for piece in (PIECE, 1 << 17, 1 << 19, 1 << 20):
                yield Recipe(ISAL, level, piece, text)
        for memory in (8, 9):
            for level in (*best, *[level for level in (5, 4, 7, 8, 3, 2, 1, 9, 6) if level not in best]):
                yield Recipe(ZLIB, level, header=text, memory=memory)
        yield Recipe(ZLIB, 0, header=text)
    elif start[:4] == b"\x28\xb5\x2f\xfd" and len(start) > 5:
        yield from _zstd_candidates(start[4], start[5], tar_size)


def _zstd_candidates(flags: int, window: int, tar_size: int) -> Iterator[Recipe]:
    """By the frame's header (RFC 8878 section 3.1.1.1), which leaves only levels with the same window."""
    import zstandard

    single = bool(flags & 0x20)
    sized = flags >> 6 != 0 or single
    if flags & 3 or (sized and tar_size == 0):
        return
    size = tar_size if sized else 0
    for threads in (0, 1):
        for level in ZSTD_LEVELS:
            log = zstandard.ZstdCompressionParameters.from_level(level, source_size=size).window_log
            if single or window == (log - 10) << 3:
                yield Recipe(ZSTD, level, checksum=bool(flags & 4), sized=sized, threads=threads)


def gzip_header(start: bytes) -> bytes:
    """The header of a gzip member (RFC 1952 section 2.3), b"" when there is none or it is longer than 4 KiB."""
    if len(start) < 10 or start[:3] != b"\x1f\x8b\x08" or start[3] & 0xE0:
        return b""
    flags, at = start[3], 10
    if flags & 4:
        at += 2 + int.from_bytes(start[at : at + 2], "little")
    for flag in (8, 16):
        if flags & flag:
            end = start.find(b"\0", at, MAX_HEADER)
            if end < 0:
                return b""
            at = end + 1
    if flags & 2:
        at += 2
    return start[:at] if at <= min(MAX_HEADER, len(start)) else b""


def _fits(recipe: Recipe, sample: bytes, start: bytes, tar_size: int) -> bool:
    """Whether the first bytes are those of the blob; most candidates are out after some kilobytes."""
    encoder = recipe.encoder(tar_size)
    made = 0
    for at in range(0, len(sample), recipe.piece):
        out = encoder.compress(sample[at : at + recipe.piece])
        if out != start[made : made + len(out)]:
            return False
        made += len(out)
    if len(sample) == tar_size:
        out = encoder.flush()
        return start[made : made + len(out)] == out
    return True


def _is_proven(recipe: Recipe, blob: BinaryIO, tar: BinaryIO, tar_size: int, until: float) -> bool:
    encoder = recipe.encoder(tar_size)
    tar.seek(0)
    blob.seek(0)
    while data := tar.read(READ):
        out = encoder.compress(data)
        if time.monotonic() > until or (out and _exactly(blob, len(out)) != out):
            return False
    out = encoder.flush()
    return _exactly(blob, len(out)) == out and not blob.read(1)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    while 0 < len(data) < count and (more := stream.read(count - len(data))):
        data += more
    return data
