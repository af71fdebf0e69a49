"""The tar reader turned inside out: pieces of a stream are put in, entries come out, and no content is ever copied.

What the blocks of an entry mean is `assemble`'s business, as for `tar.TarReader`. This module cuts them out of the
pieces and counts past the data; most entries are one block that says all, and those it hands over as they are.
"""

from __future__ import annotations

from holdall.errors import HoldallError, InvalidArchive
from holdall.layer import header, pax
from holdall.layer.assemble import NO_ID, NS, TIME_BOUND, Assembler
from holdall.layer.limits import DEFAULT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Protocol

    from holdall.layer.entry import Entry
    from holdall.layer.limits import Limits

    Piece = bytes | bytearray | memoryview

    class Taker(Protocol):
        """Who wants the entries."""

        def file(self, name: bytes, mode: int, uid: int, gid: int, size: int, mtime_ns: int, offset: int, /) -> None:
            """A regular file in one piece without attributes; its data is at `offset` of the stream."""

        def folder(self, name: bytes, mode: int, uid: int, gid: int, mtime_ns: int, /) -> None:
            """A directory without attributes; its name may end in slashes."""

        def entry(self, entry: Entry, /) -> None:
            """Any other entry, and any of those too."""


_PLAIN = b"0\x005"
_FOLDER, _PAX, _SLASH = b"5x/"
_USUAL = frozenset((b"path", b"mtime", b"atime", b"ctime", b"uname", b"gname"))
"""What most PAX headers say; owners by name are as little a layer's business as in a plain header."""
_FIRST, _END = -TIME_BOUND * NS, TIME_BOUND * NS
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
        """The entry in the making, if any: `_wanted` bytes are next (negative: passed over), `_held` are here."""
        self._wanted = 512
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
        if self._skip or self._wanted < 0:
            raise InvalidArchive("tar stream is cut off in the middle of an entry")
        while not self._ended:
            data = bytes(self._held)
            self._held.clear()
            self._answer(data, self.position - len(data))

    def _scan(self, data: Piece, at: int, end: int) -> int:
        """Take what is between; gives where it stopped, which is behind the end when data is to be passed over."""
        base, held = self.position, self._held
        while at < end:
            wanted = self._wanted
            if self._work is None and not held:
                if self._ended:
                    if bytes(data[at:]).strip(b"\0"):
                        raise InvalidArchive("tar stream has garbage behind its end mark")
                    return end
                at = self._plain(data, at, end)
                if at >= end:
                    break
            if wanted < 0:
                at -= wanted
                if at > end:
                    self._wanted = end - at
                    return end
                answer = b""
            elif not held and at + wanted <= end:
                answer = bytes(data[at : at + wanted])
                at += wanted
            else:
                step = min(wanted - len(held), end - at)
                held += data[at : at + step]
                at += step
                if len(held) < wanted:
                    return end
                answer = bytes(held)
                held.clear()
            at += self._answer(answer, base + at - len(answer))
        return at

    def _answer(self, data: bytes, position: int) -> int:
        """Begin an entry, or go on with the one in the making; gives the bytes to pass over when it is done."""
        work = self._work
        try:
            if work is None:
                work = self._work = self._assembler.entry(data, position)
                self._wanted = next(work)
            else:
                self._wanted = work.send(data)
            return 0
        except StopIteration as done:
            entry: Entry | None = done.value
        self._work = None
        self._wanted = 512
        if entry is None:
            self._ended = True
            return 0
        self._taker.entry(entry)
        return self._assembler.left + self._assembler.padding

    def _plain(self, data: Piece, at: int, end: int) -> int:
        """Take files and directories of one block, or with the usual PAX header in front; gives where to go on.

        Whatever is out of bounds or less plain is left to the assembler, which knows what to say.
        """
        assembler, base, parse = self._assembler, self.position, header.parse
        if assembler.globals or not self._short:
            return at
        limits, total = assembler.limits, assembler.total
        file, folder = self._taker.file, self._taker.folder
        room = limits.entries - assembler.headers
        while at + 512 <= end and room >= 2:
            block = bytes(data[at : at + 512])
            kind = block[156]
            after, records = at + 512, None
            if kind == _PAX:
                front = parse(block)
                after += front.size + -front.size % 512 + 512
                if front.size > limits.header or after > end:
                    break
                records = dict(pax.parse(bytes(data[at + 512 : at + 512 + front.size]), limits.records))
                if not records.keys() <= _USUAL or not all(records.values()):
                    break
                block = bytes(data[after - 512 : after])
                kind = block[156]
            if kind not in _PLAIN or not block[0]:
                break
            name, _, mode, uid, gid, size, mtime, _, _, _, _ = parse(block)
            time = mtime * NS
            if records:
                if b"path" in records:
                    name = pax.text(records[b"path"], "path")
                if b"mtime" in records:
                    time = pax.nanoseconds(records[b"mtime"])
            if uid >= NO_ID or gid >= NO_ID or not _FIRST <= time < _END or len(name) > limits.name:
                break
            if kind == _FOLDER:
                at = after
                folder(name, mode, uid, gid, time)
            elif name[-1] == _SLASH or size > limits.file or total + size > limits.total:
                break
            else:
                total += size
                at = after + size + -size % 512
                file(name, mode, uid, gid, size, time, base + after)
            room -= 1 if records is None else 2
        assembler.headers = limits.entries - room
        assembler.total = total
        return at
