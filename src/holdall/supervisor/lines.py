"""A stream of bytes cut into log entries as Docker's json-file driver does: pure.

Every line is one entry that ends in a newline. A line of 16 KiB or more comes in pieces, all but the last without
newline, cut between characters where it is UTF-8; so does what stands after the last newline when the stream ends.
"""

from __future__ import annotations

from json.encoder import encode_basestring, encode_basestring_ascii

MAX_ENTRY = 16 << 10


def cut(data: bytes) -> tuple[list[bytes], bytes]:
    """(entries, rest): `data` begins where an entry begins; `rest` has no newline, less than MAX_ENTRY bytes."""
    parts = data.split(b"\n")
    rest = parts.pop()
    entries: list[bytes] = []
    for part in parts:
        if len(part) >= MAX_ENTRY:
            part = _pieces(part, entries)
        entries.append(part + b"\n")
    return entries, _pieces(rest, entries)


def _pieces(content: bytes, entries: list[bytes]) -> bytes:
    """Append full pieces to `entries` and return what is left, so that it does not matter how the stream was read."""
    while len(content) >= MAX_ENTRY:
        size = MAX_ENTRY - _unfinished(content[MAX_ENTRY - 3 : MAX_ENTRY])
        entries.append(content[:size])
        content = content[size:]
    return content


def _unfinished(tail: bytes) -> int:
    """How many bytes at the end of `tail` begin a UTF-8 character that goes on behind it."""
    for back in range(1, len(tail) + 1):
        byte = tail[-back]
        if byte < 0x80:
            return 0
        if byte >= 0xC0:
            needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2
            return back if needed > back else 0
    return 0


def encode(entries: list[bytes], stream: str, time: str) -> list[bytes]:
    """The entries as lines of the json-file format. Bytes that are not UTF-8 become lone surrogates (PEP 383)."""
    tail = f',"stream":"{stream}","time":"{time}"}}\n'
    return [_encode_one(entry, tail) for entry in entries]


def _encode_one(entry: bytes, tail: str) -> bytes:
    try:
        return ('{"log":' + encode_basestring(entry.decode()) + tail).encode()
    except UnicodeDecodeError:
        text = entry.decode("utf-8", "surrogateescape")
        return ('{"log":' + encode_basestring_ascii(text) + tail).encode()
