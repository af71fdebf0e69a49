"""nftables by netlink (linux/netfilter/nf_tables.h): atomic batches out; tables, chains, rules and elements in.

A `Batch` is one transaction of the kernel: all of it happens or nothing. Families are the kernel's NFPROTO numbers.
"""

from __future__ import annotations

import errno
import os
import struct

from holdall.linux import netlink
from holdall.linux.netlink import (
    APPEND,
    CREATE,
    EXCLUSIVE,
    Connection,
    Message,
    as_text,
    attribute,
    attributes,
    be32,
    nested,
    pairs,
    text,
)
from holdall.linux.nftexpr import LIST_ELEMENT, value
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

INET, IPV4, IPV6 = 1, 2, 10
PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = 0, 1, 2, 3, 4
RAW, DSTNAT, FILTER, SRCNAT = -300, -100, 0, 100
"""Chain priorities (nft(8), table 6)."""

TYPE_IPV4, TYPE_PROTOCOL, TYPE_SERVICE, TYPE_IFNAME = 7, 12, 13, 41
"""nft's numbers of data types; the kernel only stores them."""

_SUBSYSTEM = 10 << 8
_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN = 0, 1, 2, 3, 4
_NEWRULE, _GETRULE, _DELRULE, _NEWSET, _NEWSETELEM, _GETSETELEM, _DELSETELEM = 6, 7, 8, 9, 12, 13, 14
_GETGEN = 16
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_SET_INTERVAL, _SET_MAP = 0x4, 0x8
INTERVAL_END = 1
ELEMENTS_PER_MESSAGE = 400
_COMMENT = 0  # NFTNL_UDATA_RULE_COMMENT and NFTNL_UDATA_SET_ELEM_COMMENT
_HOST_ORDER = struct.pack("=BBI", 0, 4, 1)  # NFTNL_UDATA_SET_KEYBYTEORDER: nft(8) prints names wrongly without
MAX_COMMENT = 127
_SHARED: dict[tuple[int, int], Connection] = {}


@record
class Element:
    """One element of a set or map: packed key and value (network order), `end` for the end of an interval."""

    key: bytes
    data: bytes = b""
    end: bool = False
    comment: str = ""


@record
class Chain:
    """One chain. `hook` is -1 for a chain that is only jumped to; `policy` is DROP (0) or ACCEPT (1)."""

    family: int
    table: str
    name: str
    hook: int
    policy: int


@record
class Rule:
    """One rule: its handle, comment and the bytes of its expressions (`nftexpr.names` reads them)."""

    handle: int
    comment: str
    expressions: bytes


def _header(family: int, resource: int = 0) -> bytes:
    return struct.pack(">BBH", family, 0, resource)


def _comment(comment: str) -> bytes:
    data = comment.encode()[:MAX_COMMENT] + b"\0"
    return bytes([_COMMENT, len(data)]) + data


def _parse_comment(data: bytes | None) -> str:
    at = 0
    while data is not None and at + 2 <= len(data):
        kind, length = data[at], data[at + 1]
        if kind == _COMMENT:
            return data[at + 2 : at + 2 + length].split(b"\0")[0].decode(errors="replace")
        at += 2 + length
    return ""


class Batch:
    """One transaction on tables of one family; methods add steps, `run` sends them."""

    def __init__(self, family: int = IPV4) -> None:
        self._family = family
        self._steps: list[Message] = []

    def __len__(self) -> int:
        return len(self._steps)

    def _add(self, kind: int, body: bytes, flags: int, what: str) -> None:
        self._steps.append(Message(_SUBSYSTEM | kind, _header(self._family) + body, flags, what=what))

    def add_table(self, table: str, userdata: bytes = b"") -> None:
        """Create a table; the batch fails with EEXIST when it is there."""
        body = text(1, table) + be32(2, 0) + (attribute(6, userdata) if userdata else b"")
        self._add(_NEWTABLE, body, CREATE | EXCLUSIVE, table)

    def delete_table(self, table: str) -> None:
        """Delete a table with all in it; the batch fails with ENOENT when it is gone."""
        self._add(_DELTABLE, text(1, table), 0, table)

    def add_chain(self, table: str, chain: str, *, kind: str, hook: int, priority: int) -> None:
        """Create a base chain with policy accept."""
        place = nested(4, be32(1, hook), be32(2, priority))
        body = text(1, table) + text(3, chain) + place + be32(5, 1) + text(7, kind)
        self._add(_NEWCHAIN, body, CREATE, f"{table} {chain}")

    def add_rule(self, table: str, chain: str, expressions: bytes, comment: str = "") -> None:
        """Append a rule."""
        body = text(1, table) + text(2, chain) + nested(4, expressions)
        if comment:
            body += attribute(7, _comment(comment))
        self._add(_NEWRULE, body, CREATE | APPEND, f"{table} {chain}")

    def delete_rule(self, table: str, chain: str, handle: int) -> None:
        """Delete a rule by its handle; the batch fails with ENOENT when it is gone."""
        body = text(1, table) + text(2, chain) + attribute(3, struct.pack(">Q", handle))
        self._add(_DELRULE, body, 0, f"{table} {chain}")

    def add_set(
        self,
        table: str,
        name: str,
        keys: Sequence[tuple[int, int]],
        values: Sequence[tuple[int, int]] = (),
        *,
        interval: bool = False,
    ) -> None:
        """Create a set, or with `values` a map; parts are (nft type, bytes), concatenated when there are several."""
        flags = (_SET_INTERVAL if interval else 0) | (_SET_MAP if values else 0)
        key_type, key_size = _concatenate(keys)
        body = text(1, table) + text(2, name) + be32(3, flags) + be32(4, key_type) + be32(5, key_size)
        if values:
            data_type, data_size = _concatenate(values)
            body += be32(6, data_type) + be32(7, data_size)
        if key_type == TYPE_IFNAME:
            body += attribute(13, _HOST_ORDER)
        self._add(_NEWSET, body + be32(10, len(self._steps) + 1), CREATE, f"{table} {name}")

    def add_elements(self, table: str, name: str, elements: Sequence[Element], *, replace: bool = True) -> None:
        """Add elements. Those that are there already are fine; a map's key with another value fails with EBUSY."""
        self._elements(_NEWSETELEM, table, name, elements, CREATE if replace else CREATE | EXCLUSIVE)

    def delete_elements(self, table: str, name: str, elements: Sequence[Element]) -> None:
        """Delete elements by key; the batch fails with ENOENT when one is gone."""
        bare = [Element(element.key, end=element.end) for element in elements]
        self._elements(_DELSETELEM, table, name, bare, 0)

    def _elements(self, kind: int, table: str, name: str, elements: Sequence[Element], flags: int) -> None:
        head = text(1, table) + text(2, name)
        for at in range(0, len(elements), ELEMENTS_PER_MESSAGE):
            part = [_element(element) for element in elements[at : at + ELEMENTS_PER_MESSAGE]]
            self._add(kind, head + nested(3, *part), flags, f"{table} {name}")

    def extend(self, other: Batch) -> None:
        """Add the steps of another batch of the same family."""
        self._steps += other._steps

    def run(self, connection: Connection, generation: int | None = None) -> None:
        """Execute the batch; nothing when it is empty. Raises OSError with the kernel's errno and the step's object.

        With `generation` (see `generation`) it fails with ERESTART when any rule set changed since.
        """
        if not self._steps:
            return
        guard = be32(1, generation) if generation is not None else b""
        begin = Message(_BATCH_BEGIN, _header(0, 10) + guard, what="nftables")
        end = Message(_BATCH_END, _header(0, 10))
        connection.transact([begin, *self._steps, end], framed=True)


def _concatenate(parts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    if len(parts) == 1:
        return parts[0]
    kind = size = 0
    for part, length in parts:
        kind = kind << 6 | part
        size += length + (-length & 3)
    return kind, size


def _element(element: Element) -> bytes:
    parts = [value(1, element.key)]
    if element.data:
        parts.append(value(2, element.data))
    if element.end:
        parts.append(be32(3, INTERVAL_END))
    if element.comment:
        parts.append(attribute(6, _comment(element.comment)))
    return nested(LIST_ELEMENT, *parts)


def generation(connection: Connection) -> int:
    """The number of the present rule set, for `Batch.run`."""
    found = connection.get(Message(_SUBSYSTEM | _GETGEN, _header(0)))
    number: int = struct.unpack(">I", attributes((found or b"")[4:])[1])[0]
    return number


def table_userdata(connection: Connection, family: int, table: str) -> bytes | None:
    """The user data a table was made with, or None when there is no such table."""
    found = connection.get(Message(_SUBSYSTEM | _GETTABLE, _header(family) + text(1, table), what=table))
    return None if found is None else attributes(found[4:]).get(6, b"")


def tables(connection: Connection, family: int) -> list[str]:
    """The names of all tables of a family."""
    found = connection.dump(Message(_SUBSYSTEM | _GETTABLE, _header(family)))
    return [as_text(attributes(body[4:]).get(1)) for _, body in found]


def chain(connection: Connection, family: int, table: str, name: str) -> Chain | None:
    """One chain, or None."""
    body = _header(family) + text(1, table) + text(3, name)
    found = connection.get(Message(_SUBSYSTEM | _GETCHAIN, body, what=f"{table} {name}"))
    return None if found is None else _parse_chain(found)


def chains(connection: Connection, family: int) -> list[Chain]:
    """All chains of a family (0: of all families)."""
    return [_parse_chain(body) for _, body in connection.dump(Message(_SUBSYSTEM | _GETCHAIN, _header(family)))]


def _parse_chain(body: bytes) -> Chain:
    found = attributes(body[4:])
    hook = attributes(found.get(4, b""))
    return Chain(
        body[0],
        as_text(found.get(1)),
        as_text(found.get(3)),
        struct.unpack(">I", hook[1])[0] if 1 in hook else -1,
        struct.unpack(">I", found[5])[0] if 5 in found else 1,
    )


def rules(connection: Connection, family: int, table: str, name: str) -> list[Rule]:
    """The rules of one chain, in order; none when it does not exist."""
    body = _header(family) + text(1, table) + text(2, name)
    request = Message(_SUBSYSTEM | _GETRULE, body, what=f"{table} {name}", tolerate=(errno.ENOENT,))
    found = []
    for _, answer in connection.dump(request):
        values = attributes(answer[4:])
        if as_text(values.get(1)) == table and as_text(values.get(2)) == name:
            handle = struct.unpack(">Q", values[3])[0]
            found.append(Rule(handle, _parse_comment(values.get(7)), values.get(4, b"")))
    return found


def elements(
    connection: Connection, family: int, table: str, name: str, having: Sequence[bytes] = ()
) -> list[Element] | None:
    """The elements of a set or map, or None when it does not exist.

    With `having` only those in which one of these byte strings occurs (and perhaps some more): much quicker for few.
    """
    body = _header(family) + text(1, table) + text(2, name)
    request = Message(_SUBSYSTEM | _GETSETELEM, body, what=f"{table} {name}")
    found = []
    try:
        answers = connection.dump(request)
    except FileNotFoundError:
        return None
    for _, answer in answers:
        if not _has(answer, having):
            continue
        for kind, item in pairs(attributes(answer[4:]).get(3, b"")):
            if kind == LIST_ELEMENT and _has(item, having):
                found.append(_parse_element(item))
    return found


def _has(data: bytes, having: Sequence[bytes]) -> bool:
    return not having or any(part in data for part in having)


def _parse_element(item: bytes) -> Element:
    values = attributes(item)
    flags = struct.unpack(">I", values[3])[0] if 3 in values else 0
    return Element(
        attributes(values.get(1, b"")).get(1, b""),
        attributes(values.get(2, b"")).get(1, b""),
        bool(flags & INTERVAL_END),
        _parse_comment(values.get(6)),
    )


def shared() -> Connection:
    """The process's netfilter connection in the network namespace the caller is in now; it is never closed.

    When a netfilter socket closes, the kernel first waits until what anybody deleted has left all CPUs (10–30 ms).
    """
    here = (os.getpid(), os.stat("/proc/thread-self/ns/net").st_ino)
    if here not in _SHARED:
        for connection in _SHARED.values():
            connection.close()  # of another namespace, or the parent's, copied by fork(2)
        _SHARED.clear()
        _SHARED[here] = Connection(netlink.NETFILTER)
    return _SHARED[here]
