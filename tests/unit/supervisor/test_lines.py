"""Bytes to log entries."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from holdall.supervisor.lines import MAX_ENTRY, cut, encode


def entries_of(chunks: list[bytes]) -> list[bytes]:
    found: list[bytes] = []
    rest = b""
    for chunk in chunks:
        entries, rest = cut(rest + chunk)
        assert len(rest) < MAX_ENTRY
        assert b"\n" not in rest
        found += entries
    return [*found, rest] if rest else found


def test_lines_are_entries() -> None:
    assert cut(b"a\nb\n\nc") == ([b"a\n", b"b\n", b"\n"], b"c")
    assert cut(b"a\rb\r\nc") == ([b"a\rb\r\n"], b"c")
    assert cut(b"") == ([], b"")


def test_long_lines_come_in_pieces() -> None:
    line = b"x" * MAX_ENTRY * 2 + b"yz\n"
    assert cut(line) == ([b"x" * MAX_ENTRY, b"x" * MAX_ENTRY, b"yz\n"], b"")
    assert cut(b"x" * MAX_ENTRY + b"\n") == ([b"x" * MAX_ENTRY, b"\n"], b"")
    assert cut(b"x" * (MAX_ENTRY - 1)) == ([], b"x" * (MAX_ENTRY - 1))


def test_pieces_end_between_characters() -> None:
    for lead in range(5):
        for character in "é€😀":
            entries, rest = cut(b"x" * (MAX_ENTRY - lead) + character.encode() * 10)
            assert (b"".join(entries) + rest).decode()
            for entry in (*entries, rest):
                entry.decode()


@given(st.lists(st.binary(max_size=MAX_ENTRY * 2), max_size=6), st.integers(1, 5000))
def test_it_does_not_matter_how_the_stream_was_read(parts: list[bytes], size: int) -> None:
    data = b"".join(parts)
    whole = entries_of([data])
    assert b"".join(whole) == data
    assert entries_of([data[at : at + size] for at in range(0, len(data), size)]) == whole


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_encoded_entries_give_back_every_byte(entries: list[bytes]) -> None:
    for entry, line in zip(entries, encode(entries, "stdout", "T"), strict=True):
        assert line.endswith(b'"}\n')
        assert line.count(b"\n") == 1
        value = json.loads(line)
        assert list(value) == ["log", "stream", "time"]
        assert value["log"].encode("utf-8", "surrogateescape") == entry
