"""The two tables behind a zstd:chunked layer's contents: what files it has, and the tar without their contents."""

from __future__ import annotations

import base64
import json
import posixpath

from holdall.layer.chunked_headers import NotChunkable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.layer.chunked_headers import Member
    from holdall.layer.compression import Encoder

MAX_TABLE = 140 << 20
"""Readers refuse a table of more than 150 MiB."""
_FILE, _SEGMENT = 1, 2


class _Compressed:
    """Text on its way through an encoder."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._parts: list[bytes] = []
        self.size = 0

    def put(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > MAX_TABLE:
            raise NotChunkable("the table of a zstd:chunked layer would be too large")
        self._parts.append(self._encoder.compress(data))

    def close(self) -> bytes:
        return b"".join([*self._parts, self._encoder.flush()])


class Contents:
    """The table of contents: `FileMetadata` of pkg/chunked, one for each member."""

    def __init__(self, encoder: Encoder) -> None:
        self._out = _Compressed(encoder)
        self._names: set[str] = set()

    def check(self, member: Member) -> None:
        """Refuse a name that is there already: a client could not tell which of the two counts. Raises NotChunkable."""
        name = posixpath.normpath(member.name)
        if name in self._names:
            raise NotChunkable(f'"{ascii(member.name)[1:-1]}" is twice in the layer')
        self._names.add(name)

    def add(self, member: Member, *, digest: str = "", offset: int = 0, end: int = 0) -> None:
        """Add a member; its content is the frame between these bytes of the blob."""
        values: dict[str, object] = {
            "type": member.kind, "name": member.name, "linkName": member.link, "mode": member.mode, "size": member.size,
            "uid": member.uid, "gid": member.gid, "modtime": member.time, "devMajor": member.major,
            "devMinor": member.minor, "xattrs": member.xattrs, "digest": digest, "offset": offset, "endOffset": end,
        }  # fmt: skip
        text = json.dumps({key: value for key, value in values.items() if value}, separators=(",", ":"))
        self._out.put((b"," if self._out.size else b'{"version":1,"entries":[') + text.encode())

    def close(self, split: str) -> tuple[bytes, int]:
        """The table, compressed, and its size before; `split` is the digest of the other one."""
        head = b"" if self._out.size else b'{"version":1,"entries":['
        self._out.put(head + b'],"tarSplitDigest":"' + split.encode() + b'"}')
        return self._out.close(), self._out.size


class TarSplit:
    """Entries of tar-split's JSON storage: raw bytes between contents, and the contents' names, sizes, checksums."""

    def __init__(self, encoder: Encoder) -> None:
        self._out = _Compressed(encoder)
        self._position = 0

    def segment(self, data: bytes) -> None:
        """Bytes as they stand in the tar."""
        if data:
            self._put({"type": _SEGMENT, "payload": base64.b64encode(data).decode()})

    def file(self, name: str, size: int, checksum: bytes) -> None:
        """The content of a member stands here."""
        entry: dict[str, object] = {"type": _FILE, "name": name}
        if size:
            entry["size"] = size
        self._put({**entry, "payload": base64.b64encode(checksum).decode() if checksum else None})

    def close(self) -> tuple[bytes, int]:
        """The lines, compressed, and their size before."""
        return self._out.close(), self._out.size

    def _put(self, entry: dict[str, object]) -> None:
        entry["position"] = self._position
        self._position += 1
        self._out.put(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
