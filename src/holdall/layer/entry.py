"""One member of a tar stream as a value: what the reader yields and the writer takes."""

from __future__ import annotations

import enum

from holdall.record import record


class Kind(enum.Enum):
    """What an entry is; the value is its ustar type flag."""

    FILE = b"0"
    HARDLINK = b"1"
    SYMLINK = b"2"
    CHAR = b"3"
    BLOCK = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"


@record
class Entry:
    """A file, directory, link, device or FIFO in a tar stream.

    `name` is as stored, without the slash behind a directory's; nothing about it is safe yet (see `names.clean`).
    `size` is the file's size with holes, `stored` what the stream holds of it, `offset` where that begins in the
    stream. `mtime_ns` counts nanoseconds since 1970 and may be negative. `sparse` lists (offset, length) of the
    regions that hold data, None for a file without holes. `xattrs` are as stored: not filtered.
    """

    name: bytes
    kind: Kind = Kind.FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[bytes, bytes] = {}
    offset: int = 0
    stored: int = 0
    sparse: tuple[tuple[int, int], ...] | None = None

    @property
    def shown(self) -> str:
        """The name for messages: printable ASCII, cut short."""
        return show(self.name)


def show(name: bytes) -> str:
    """A name from outside as printable ASCII of bounded length, for messages."""
    text = ascii(name[:200].decode("utf-8", "backslashreplace"))[1:-1]
    return text if len(name) <= 200 else text + "..."
