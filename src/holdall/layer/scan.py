"""The tar reader turned inside out: pieces of a stream are put in, entries come out, and no content is ever copied.

What the blocks of an entry mean is `assemble`'s business, as for `tar.TarReader`. This module cuts them out of the
pieces and counts past the data; most entries are one block that says all, and those it hands over as they are.
"""

from __future__ import annotations

from holdall.errors import HoldallError, InvalidArchive
from holdall.layer import header
from holdall.layer.assemble import NO_ID, TIME_BOUND, Assembler
from holdall.layer.limits import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Protocol

    from holdall.layer.entry import Entry
    from holdall.layer.header import Header
    from holdall.layer.limits import Limits

    Piece = bytes | bytearray | memoryview

    class Taker(Protocol):
        """Who wants the entries."""

        def file(self, found: Header, offset: int, /) -> None:
            """A regular file in one piece, all said by its header block; its data is at `offset` of the stream."""

        def folder(self, found: Header, /) -> None:
            """A directory, all said by its header block."""

        def entry(self, entry: Entry, /) -> None:
            """Any other entry, and any of those too."""


_FILE, _OLD_FILE, _FOLDER, _SLASH = b"0\x005/"
_LONGEST_NAME = 256
"""In a header block: prefix, slash, name."""


class Scanner:
    """Feeds on a tar stream and tells a `Taker` its entries, with the errors and bounds of a TarReader.

    After an error it gives that error again. `position` counts the bytes fed.
    """

    __slots__ = (
        "_assembler", "_ended", "_error", "_held", "_short", "_skip", "_taker", "_wanted", "_work", "position",
    )  # fmt: skip

    def __init__(self, taker: Taker, limits: Limits = DEFAULT, *, require_end: bool = True) -> None:
        self._taker = taker
        self._assembler = Assembler(limits, require_end=require_end)
        self._short = limits.name >= _LONGEST_NAME
        self.position = 0
        self._skip = 0
        self._work: Generator[int, bytes, Entry | None] | None = None
        """The entry in the making: it wants `_wanted` bytes (negative: passed over), `_held` are here."""
        self._wanted = 0
        self._held = bytearray()
        self._ended = False
        self._error: HoldallError | None = None

    def feed(self, data: Piece, /) -> None:
        """Take the next piece of the stream, of any size. Raises InvalidArchive, LimitExceeded."""
        if self._error is not None:
            raise self._error
        at, end = self._skip, len(data)
        if at < end:
            self._skip = 0
            try:
                at = self._scan(data, at, end)
            except HoldallError as err:
                self._error = err
                raise
        self._skip = at - end
        self.position += end

    def finish(self) -> None:
        """Say that there is no more. Raises InvalidArchive when the stream is cut off within an entry."""
        if self._error is not None:
            raise self._error
        if self._skip or (self._work is not None and self._wanted < 0):
            raise InvalidArchive("tar stream is cut off in the middle of an entry")
        if self._work is None and not self._ended:
            self._begin(self.position)
        while self._work is not None:
            self._answer(bytes(self._held))
            self._held.clear()

    def _scan(self, data: Piece, at: int, end: int) -> int:
        """Take what is between; gives where it stopped, which is behind the end when data is to be passed over."""
        base = self.position
        while at < end:
            if self._work is None:
                if self._ended:
                    if bytes(data[at:]).strip(b"\0"):
                        raise InvalidArchive("tar stream has garbage behind its end mark")
                    return end
                at = self._plain(data, at, end)
                if at >= end:
                    break
                self._begin(base + at)
            wanted, answer = self._wanted, b""
            if wanted < 0:
                at -= wanted
                if at > end:
                    self._wanted = end - at
                    return end
            elif not self._held and at + wanted <= end:
                answer = bytes(data[at : at + wanted])
                at += wanted
            else:
                step = min(wanted - len(self._held), end - at)
                self._held += data[at : at + step]
                at += step
                if len(self._held) < wanted:
                    return end
                answer = bytes(self._held)
                self._held.clear()
            at += self._answer(answer)
        return at

    def _begin(self, position: int) -> None:
        self._work = self._assembler.entry(position)
        self._wanted = next(self._work)

    def _answer(self, data: bytes) -> int:
        """Go on with the entry in the making; gives the bytes to pass over when it is done."""
        assert self._work is not None
        try:
            self._wanted = self._work.send(data)
        except StopIteration as done:
            entry: Entry | None = done.value
        else:
            return 0
        self._work = None
        if entry is None:
            self._ended = True
            return 0
        self._taker.entry(entry)
        return self._assembler.left + self._assembler.padding

    def _plain(self, data: Piece, at: int, end: int) -> int:
        """Take files and directories that one block describes, as long as there are any; gives where to go on.

        Whatever is out of bounds or not quite plain is left to the assembler, which knows what to say.
        """
        assembler, base = self._assembler, self.position
        if assembler.globals or not self._short:
            return at
        limits, total, room = assembler.limits, assembler.total, assembler.limits.entries - assembler.headers
        most, file, folder, parse = limits.file, self._taker.file, self._taker.folder, header.parse
        taken = 0
        while at + 512 <= end and taken < room:
            block = bytes(data[at : at + 512])
            kind = block[156]
            if kind not in (_FILE, _OLD_FILE, _FOLDER) or not block[0]:
                break
            found = parse(block)
            name, _, _, uid, gid, size, mtime, _, _, _, _ = found
            if uid >= NO_ID or gid >= NO_ID or not -TIME_BOUND <= mtime < TIME_BOUND or size > most:
                break
            at += 512
            if kind == _FOLDER:
                folder(found)
            elif name[-1] == _SLASH or total + size > limits.total:
                at -= 512
                break
            else:
                total += size
                file(found, base + at)
                at += size + -size % 512
            taken += 1
        assembler.headers += taken
        assembler.total = total
        return at
