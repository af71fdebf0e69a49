"""A finished layer searched for secrets while it is written; the tar's headers say which file has one."""

from __future__ import annotations

import os

from holdall.errors import DockerfileError, InvalidArchive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.build.needles import Needles
    from holdall.layer.hashing import Writable

PIECE = 1 << 20
BLOCK = 512
MAX_PAX = 1 << 20
_EXTENDED = b"x"


class Searched:
    """A Writable that passes everything on and searches it. Call `finish` at the end."""

    def __init__(self, out: Writable, needles: Needles) -> None:
        self._out = out
        self._needles = needles
        self._names = Names()
        self._gathered: list[bytes] = []
        self._size = 0
        self._tail = b""
        self._at = 0

    def write(self, data: bytes | memoryview, /) -> object:
        """Take bytes of the tar. Raises DockerfileError when a secret is in it."""
        count = self._out.write(data)  # type: ignore[arg-type]  # every tar goes on as bytes or a view of them
        self._gathered.append(bytes(data))
        self._size += len(data)
        if self._size >= PIECE:
            self._search()
        return count

    def finish(self) -> None:
        """Search what is left. Raises DockerfileError."""
        self._search()

    def _search(self) -> None:
        piece = b"".join(self._gathered)
        self._gathered, self._size = [], 0
        self._names.feed(piece)
        data = self._tail + piece
        found = self._needles.search(data)
        if found is not None:
            at, name = found
            raise leaked(name, f'"/{self._names.at(self._at - len(self._tail) + at)}" of the layer')
        self._at += len(piece)
        keep = self._needles.longest - 1
        self._tail = data[-keep:] if keep > 0 else b""
        self._names.forget(self._at - len(self._tail))


def leaked(name: str, where: str) -> DockerfileError:
    """The error for a secret found somewhere."""
    return DockerfileError(
        f'the secret "{name}" is in {where}', hint="read it where it is needed, and write it to no file that stays"
    )


class Names:
    """Which entry of a tar has the byte at an offset; fed with the tar as it goes by."""

    def __init__(self) -> None:
        self._starts: list[tuple[int, str]] = []
        self._rest = b""
        self._at = 0
        self._skip = 0
        self._pax = 0
        self._path = ""
        self._start = -1

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        data = self._rest + data
        at = 0
        while True:
            jump = min(self._skip, len(data) - at)
            at, self._skip = at + jump, self._skip - jump
            wanted = self._pax or BLOCK
            if self._skip or len(data) - at < wanted:
                break
            self._take(data[at : at + wanted], self._at + at)
            at += wanted
        self._rest = data[at:]
        self._at += at

    def _take(self, block: bytes, at: int) -> None:
        if self._pax:
            self._pax, self._path = 0, _path_of(block)
            return
        if not block.strip(b"\0"):
            return
        size = _number(block[124:136])
        padded = -(-size // BLOCK) * BLOCK
        if block[156:157] == _EXTENDED and size <= MAX_PAX:
            self._start, self._pax = at, padded
            return
        self._starts.append((at if self._start < 0 else self._start, self._path or _name(block)))
        self._start, self._path, self._skip = -1, "", padded

    def at(self, offset: int) -> str:
        """The name of the entry there."""
        name = ""
        for start, one in self._starts:
            if start > offset:
                break
            name = one
        return name

    def forget(self, offset: int) -> None:
        """Nothing before this offset will be asked for."""
        while len(self._starts) > 1 and self._starts[1][0] <= offset:
            del self._starts[0]


def _number(field: bytes) -> int:
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError as err:
        raise InvalidArchive("a tar header has no size") from err


def _name(block: bytes) -> str:
    name, prefix = block[:100].rstrip(b"\0"), block[345:500].rstrip(b"\0")
    return os.fsdecode(prefix + b"/" + name if prefix else name)


def _path_of(body: bytes) -> str:
    """The path of a pax extended header (pax(1)): lines "LENGTH KEY=VALUE"."""
    while body[:1].isdigit():
        length, _, _rest = body.partition(b" ")
        line, body = body[: int(length)], body[int(length) :]
        key, _, value = line[len(length) + 1 : -1].partition(b"=")
        if key == b"path":
            return os.fsdecode(value)
    return ""
