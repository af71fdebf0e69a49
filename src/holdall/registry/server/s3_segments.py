"""The pieces of an upload in an object store: how long they are, which of them count, a note that stands for them."""

from __future__ import annotations

import base64
import hashlib

from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SMALLEST = 16 << 20
STEP = 512
NOTE, SEAL = "holdall-note", "holdall-seal"
MAX_NOTE = 1_024


@record
class Segment:
    """An object with the bytes of an upload from `offset` on. `tag` (the ETag) changes with its bytes."""

    offset: int
    size: int
    tag: str

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.offset + self.size

    @property
    def name(self) -> str:
        """The last part of its key; in the order of the bytes."""
        return name_of(self.offset)


def name_of(offset: int) -> str:
    """What a segment with this offset is called."""
    return f"{offset:016d}"


def chain(found: Sequence[Segment]) -> tuple[list[Segment], list[Segment]]:
    """The segments that follow each other from the start, and the others: what a killed writer left behind a gap."""
    chained: list[Segment] = []
    rest: list[Segment] = []
    end = 0
    for one in sorted(found, key=lambda segment: segment.offset):
        if one.offset == end and one.size:
            chained.append(one)
            end = one.end
        else:
            rest.append(one)
    return chained, rest


def full_size(offset: int) -> int:
    """How long a segment that begins here gets. 1 TiB is about 3,600 of them; a store takes 10,000 parts."""
    size, start = SMALLEST, 0
    while offset >= start + STEP * size:
        start += STEP * size
        size *= 2
    return size


def is_short(segment: Segment) -> bool:
    """Whether a last segment is taken back and made longer when the upload goes on (parts have 5 MiB at least)."""
    return segment.size < full_size(segment.offset) // 2


def metadata(before: Sequence[Segment], note: bytes) -> dict[str, str]:
    """What goes with the last segment so that whoever takes the upload next can trust the note."""
    if not note or len(note) > MAX_NOTE:
        return {}
    return {NOTE: base64.b64encode(note).decode(), SEAL: _seal(before)}


def note_in(found: Mapping[str, str], before: Sequence[Segment]) -> bytes:
    """The note in a last segment's metadata, if the segments before it still are the ones it was written for."""
    if NOTE not in found or found.get(SEAL) != _seal(before):
        return b""
    try:
        return base64.b64decode(found[NOTE], validate=True)
    except ValueError:
        return b""


def _seal(segments: Sequence[Segment]) -> str:
    text = "\n".join(f"{one.offset} {one.size} {one.tag}" for one in segments)
    return hashlib.sha256(text.encode()).hexdigest()
