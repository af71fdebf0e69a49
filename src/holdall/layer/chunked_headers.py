"""Tar headers as Go's archive/tar reads them, which is what clients compare the table of a zstd:chunked layer with.

Only the forms that image builders write: ustar and GNU headers, PAX headers in front of them, GNU's long names. A tar
with anything else (sparse files, global headers, times of access) is kept as a plain zstd layer.
"""

from __future__ import annotations

import base64
import time

from holdall.errors import HoldallError, InvalidArchive
from holdall.layer import header, pax
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ZERO = bytes(512)
KINDS = {
    b"0": "reg", b"\0": "reg", b"1": "hardlink", b"2": "symlink", b"3": "char", b"4": "block", b"5": "dir",
    b"6": "fifo",
}  # fmt: skip
MAX_EXTENSION = 1 << 20
MAX_RECORDS = 1000
_KNOWN = frozenset((b"path", b"linkpath", b"uid", b"gid", b"size", b"mtime", b"uname", b"gname", b"hdrcharset"))


class NotChunkable(HoldallError):
    """A tar that the table of a zstd:chunked layer cannot describe."""


@record
class Member:
    """One member: its fields as the table has them; `time` is RFC 3339."""

    kind: str
    name: str
    link: str
    mode: int
    size: int
    uid: int
    gid: int
    time: str
    major: int
    minor: int
    xattrs: Mapping[str, str]


def is_zero(block: bytes) -> bool:
    """Whether it is a block of the end mark."""
    return block == ZERO


class HeaderReader:
    """Puts extension headers and the header they belong to together."""

    def __init__(self) -> None:
        self._records: dict[bytes, bytes] = {}
        self._flag = b""
        self._size = 0

    def extension(self, block: bytes) -> int | None:
        """How many bytes, padding included, belong to an extension header; None for a member's own header."""
        flag = block[156:157]
        if flag in b"xLK":
            size = header.number(block[124:136], "size")
            if size > MAX_EXTENSION:
                raise NotChunkable("an extension header is too large")
            self._flag, self._size = flag, size
            return size + -size % 512
        if flag not in KINDS:
            raise NotChunkable(f"a member has the type {flag!r}")
        return None

    def extend(self, data: bytes) -> None:
        """Take an extension header with its data. Raises InvalidArchive, NotChunkable."""
        header.parse(data[:512])
        body = data[512 : 512 + self._size]
        if self._flag in b"LK":
            self._records[b"path" if self._flag == b"L" else b"linkpath"] = body.partition(b"\0")[0]
            return
        for key, value in pax.parse(body, MAX_RECORDS):
            if key not in _KNOWN and not key.startswith(pax.XATTR):
                raise NotChunkable(f'a PAX header has "{key.decode("ascii", "replace")}"')
            self._records[key] = value

    def member(self, block: bytes) -> Member:
        """The member whose own header this is. Raises InvalidArchive, NotChunkable."""
        found, records = header.parse(block), self._records
        self._records = {}
        kind = KINDS[block[156:157]]
        name = records.get(b"path") or found.name
        if kind == "reg" and name.endswith(b"/"):
            raise NotChunkable("a file's name ends with a slash")
        link = records.get(b"linkpath") or found.link
        size = pax.integer(records[b"size"], "size") if b"size" in records else found.size
        if kind != "reg" and size:
            raise NotChunkable("a member that is no file has content")
        return Member(
            kind,
            _text(name),
            _text(link),
            header.number(block[100:108], "mode"),
            size,
            pax.integer(records[b"uid"], "uid") if b"uid" in records else found.uid,
            pax.integer(records[b"gid"], "gid") if b"gid" in records else found.gid,
            _time(records.get(b"mtime"), found.mtime),
            header.number(block[329:337], "device number"),
            header.number(block[337:345], "device number"),
            {
                _text(key[len(pax.XATTR) :]): base64.b64encode(value).decode()
                for key, value in records.items()
                if key.startswith(pax.XATTR)
            },
        )

    def check_end(self, *, ended: bool) -> None:
        """Raises InvalidArchive when the tar is not over."""
        if not ended or self._records:
            raise InvalidArchive("tar stream is cut off")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as err:
        raise NotChunkable("a name is not UTF-8") from err


def _time(record: bytes | None, seconds: int) -> str:
    fraction = ""
    if record is not None:
        whole, _, rest = record.partition(b".")
        if not whole.isdigit() or (rest and not rest.isdigit()):
            raise NotChunkable("a time is before 1970")
        seconds, fraction = int(whole), rest.decode()[:9].rstrip("0")
    if not 0 <= seconds < 1 << 37:
        raise NotChunkable("a time is before 1970 or far away")
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"
