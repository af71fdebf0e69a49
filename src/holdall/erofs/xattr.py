"""Extended attributes as an inode carries them: those met before by reference to a shared area, the others inline."""

from __future__ import annotations

from holdall.erofs.format import BLOCK, PREFIXES, WHOLE_NAMES, XATTR, XATTR_HEADER
from holdall.errors import LimitExceeded, Unsupported

MAX_BODY = (0xFFFF - 1) * 4
MAX_SHARED = 255
MAX_VALUE = 0xFFFF


class Shared:
    """The shared area: each pair of name and value that more than one inode has, once. `size` is in bytes."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._entries: list[bytes] = []
        self.size = 0

    def body(self, xattrs: dict[bytes, bytes]) -> bytes:
        """What follows the inode, a multiple of 4 bytes. Raises Unsupported (a name), LimitExceeded."""
        numbers: list[int] = []
        inline: list[bytes] = []
        for name in sorted(xattrs):
            entry = encode(name, xattrs[name])
            number = self._numbers.get(entry)
            if number is None or len(numbers) == MAX_SHARED:
                self._numbers.setdefault(entry, -1)
                inline.append(entry)
                continue
            if number < 0:
                number = self._numbers[entry] = self._keep(entry)
            numbers.append(number)
        references = b"".join([number.to_bytes(4, "little") for number in numbers])
        body = b"".join([XATTR_HEADER.pack(0, len(numbers)), references, *inline])
        if len(body) > MAX_BODY:
            raise LimitExceeded(f"a file has {len(body)} bytes of extended attributes, {MAX_BODY} are allowed")
        return body

    def _keep(self, entry: bytes) -> int:
        # kept within a block where it fits: the kernel reads an entry's head and body by blocks
        left = BLOCK - self.size % BLOCK
        if left < len(entry) <= BLOCK:
            self._entries.append(bytes(left))
            self.size += left
        number = self.size // 4
        self._entries.append(entry)
        self.size += len(entry)
        return number

    def area(self) -> bytes:
        """All of it."""
        return b"".join(self._entries)


def encode(name: bytes, value: bytes) -> bytes:
    """One entry with its padding. Raises Unsupported (a name the format has no place for), LimitExceeded."""
    for prefix, index in PREFIXES:
        if name.startswith(prefix):
            rest = name[len(prefix) :]
            if (index in WHOLE_NAMES) != (not rest):
                break
            if len(rest) > 255 or len(value) > MAX_VALUE:
                raise LimitExceeded(f"an extended attribute has a value of {len(value)} bytes, {MAX_VALUE} are allowed")
            entry = XATTR.pack(len(rest), index, len(value)) + rest + value
            return entry + bytes(-len(entry) % 4)
    raise Unsupported(f'extended attribute "{name.decode(errors="replace")}" has no place in EROFS')
