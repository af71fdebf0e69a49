"""Extended attributes as an inode carries them: those met before by reference to a shared area, the others inline."""

from __future__ import annotations

from holdall.erofs.format import PREFIXES, WHOLE_NAMES, XATTR, XATTR_ALIGN, XATTR_HEADER, XATTR_NAME_MAX
from holdall.errors import InvalidArchive, LimitExceeded, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BODY = XATTR_HEADER.size + (0xFFFF - 1) * XATTR_ALIGN
MAX_SHARED = 255
MAX_VALUE = 0xFFFF
LONG_PREFIX = 0x80
LONGEST_ENTRY = XATTR.size + 0xFF + MAX_VALUE
_PREFIX_OF = {index: prefix for prefix, index in PREFIXES}


class Shared:
    """The shared area: each pair of name and value that more than one inode has, once. `size` is in bytes."""

    def __init__(self, block: int) -> None:
        self.size = 0
        self._block = block
        self._numbers: dict[bytes, int] = {}
        self._entries: list[bytes] = []

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
        left = self._block - self.size % self._block
        if left < len(entry) <= self._block:
            # within one block where it fits: one buffer less for the kernel to get
            self._entries.append(bytes(left))
            self.size += left
        number = self.size // XATTR_ALIGN
        self._entries.append(entry)
        self.size += len(entry)
        return number

    def area(self) -> list[bytes]:
        """All of it, in pieces."""
        return self._entries


def encode(name: bytes, value: bytes) -> bytes:
    """One entry with its padding. Raises Unsupported (a name the format has no place for), LimitExceeded."""
    if len(name) > XATTR_NAME_MAX or len(value) > MAX_VALUE:
        raise LimitExceeded(
            f"an extended attribute has a name of {len(name)} and a value of {len(value)} bytes,"
            f" {XATTR_NAME_MAX} and {MAX_VALUE} are allowed"
        )
    for prefix, index in PREFIXES:
        if name.startswith(prefix):
            rest = name[len(prefix) :]
            if (index in WHOLE_NAMES) != (not rest) or b"\0" in rest:
                break
            entry = XATTR.pack(len(rest), index, len(value)) + rest + value
            return entry + bytes(-len(entry) % XATTR_ALIGN)
    raise Unsupported(f'extended attribute "{name.decode(errors="replace")}" has no place in EROFS')


def decode(raw: bytes, at: int) -> tuple[bytes, bytes, int]:
    """Name, value and end of the entry at offset `at`. Raises InvalidArchive, Unsupported (a long prefix)."""
    if at + XATTR.size > len(raw):
        raise InvalidArchive("an extended attribute is cut off")
    name_size, index, value_size = XATTR.unpack_from(raw, at)
    start = at + XATTR.size
    middle, end = start + name_size, start + name_size + value_size
    if end > len(raw):
        raise InvalidArchive("an extended attribute is cut off")
    if index & LONG_PREFIX:
        raise Unsupported("extended attributes with long prefixes are not read here")
    prefix = _PREFIX_OF.get(index)
    if prefix is None or (index in WHOLE_NAMES) != (not name_size):
        raise InvalidArchive(f"an extended attribute has a name of kind {index}, which is none")
    return prefix + raw[start:middle], raw[middle:end], end + -end % XATTR_ALIGN


def decode_body(raw: bytes, shared: Callable[[int], bytes]) -> dict[bytes, bytes]:
    """All attributes of an inode; `shared(offset)` gives the bytes from an offset of the shared area on."""
    _, count = XATTR_HEADER.unpack_from(raw)
    at = XATTR_HEADER.size + count * 4
    if at > len(raw):
        raise InvalidArchive("an inode's shared extended attributes are cut off")
    pairs = []
    for number in range(count):
        place = XATTR_HEADER.size + number * 4
        offset = int.from_bytes(raw[place : place + 4], "little") * XATTR_ALIGN
        name, value, _ = decode(shared(offset), 0)
        pairs.append((name, value))
    while at < len(raw):
        name, value, at = decode(raw, at)
        pairs.append((name, value))
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidArchive("an inode has an extended attribute twice")
    return found
