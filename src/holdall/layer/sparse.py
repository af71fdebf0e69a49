"""Sparse files in tar: GNU's old format and PAX formats 0.0, 0.1 and 1.0, and the rules every map must keep."""

from __future__ import annotations

from holdall.errors import InvalidArchive, LimitExceeded
from holdall.layer import header, pax

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from holdall.layer.limits import Limits

    Regions = tuple[tuple[int, int], ...]

_DIGITS = 20


def checked(regions: Sequence[tuple[int, int]], size: int, stored: int, limits: Limits) -> Regions:
    """Return the map if sorted, free of overlaps, inside `size` and adding up to `stored`. Raises InvalidArchive."""
    if len(regions) > limits.regions:
        raise LimitExceeded(f"sparse file has more than {limits.regions} regions")
    end = total = 0
    for offset, length in regions:
        if offset < end:
            raise InvalidArchive("sparse map has regions that overlap or are out of order")
        end = offset + length
        total += length
        if end > size:
            raise InvalidArchive("sparse map passes the end of its file")
    if total != stored:
        raise InvalidArchive("sparse map does not match the data that is stored")
    return tuple((offset, length) for offset, length in regions if length)


def from_records(records: list[tuple[bytes, bytes]], limits: Limits) -> list[tuple[int, int]] | None:
    """The map of formats 0.0 (repeated offset and numbytes) and 0.1 (`map`); None if there is neither."""
    numbers: list[int] = []
    pending: int | None = None
    seen = False
    for key, value in records:
        if key == b"GNU.sparse.map":
            words = value.split(b",") if value else []
            if len(words) > 2 * limits.regions:
                raise LimitExceeded(f"sparse file has more than {limits.regions} regions")
            numbers = [pax.integer(word, "sparse map") for word in words]
            seen = True
        elif key == b"GNU.sparse.offset":
            if pending is not None:
                raise InvalidArchive("sparse map has an offset without a length")
            pending = pax.integer(value, "sparse offset")
            seen = True
        elif key == b"GNU.sparse.numbytes":
            if pending is None:
                raise InvalidArchive("sparse map has a length without an offset")
            numbers += (pending, pax.integer(value, "sparse length"))
            pending = None
    if not seen:
        return None
    if pending is not None or len(numbers) % 2:
        raise InvalidArchive("sparse map has an offset without a length")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def from_header(block: bytes, limits: Limits) -> Generator[int, bytes, tuple[list[tuple[int, int]], int, int]]:
    """The old GNU map: in the header and in blocks behind it, which are asked for (see `assemble`).

    Gives the regions, the real size and the bytes asked for. Raises InvalidArchive, LimitExceeded.
    """
    regions, real, more = header.old_sparse(block)
    used = 0
    while more:
        block = yield 512
        if len(block) != 512:
            raise InvalidArchive("tar stream is cut off in a sparse map")
        used += 512
        extra, more = header.sparse_extension(block)
        regions += extra
        if len(regions) > limits.regions or not extra:
            raise LimitExceeded(f"sparse file has more than {limits.regions} regions")
    return regions, real, used


def from_data(limits: Limits, room: int) -> Generator[int, bytes, tuple[list[tuple[int, int]], int]]:
    """The map of format 1.0, which precedes the data in whole blocks: decimal lines, the first one the count.

    Asks for blocks (see `assemble`). Gives the regions and the bytes asked for, at most `room`. Raises InvalidArchive,
    LimitExceeded.
    """
    buffer = b""
    used = 0
    wanted = 1
    numbers: list[int] = []
    while len(numbers) < wanted:
        line, newline, rest = buffer.partition(b"\n")
        if newline:
            numbers.append(pax.integer(line, "sparse map"))
            buffer = rest
            if len(numbers) == 1:
                if numbers[0] > limits.regions:
                    raise LimitExceeded(f"sparse file has more than {limits.regions} regions")
                wanted += 2 * numbers[0]
            continue
        if len(buffer) > _DIGITS:
            raise InvalidArchive("sparse map has a malformed number")
        if used + 512 > room:
            raise InvalidArchive("sparse map is longer than its entry")
        piece = yield 512
        if len(piece) != 512:
            raise InvalidArchive("tar stream is cut off in a sparse map")
        buffer += piece
        used += 512
    return list(zip(numbers[1::2], numbers[2::2], strict=True)), used
