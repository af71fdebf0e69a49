"""PAX records and times."""

from __future__ import annotations

import pytest

from holdall.errors import InvalidArchive, LimitExceeded
from holdall.layer import pax


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0", 0),
        (b"1.5", 1_500_000_000),
        (b"1.", 1_000_000_000),
        (b".5", 500_000_000),
        (b"-1.5", -1_500_000_000),
        (b"-0.000000001", -1),
        (b"1.0000000019", 1_000_000_001),
        (b"-1.0000000001", -1_000_000_001),
        (b"9223372036854775807", 9223372036854775807 * 10**9),
    ],
)
def test_times(text: bytes, value: int) -> None:
    assert pax.nanoseconds(text) == value


@pytest.mark.parametrize("value", [0, 1, -1, 10**9, -(10**9), 1_500_000_000, -1_500_000_000, 1234567890_123456789])
def test_times_survive(value: int) -> None:
    assert pax.nanoseconds(pax.time(value)) == value


@pytest.mark.parametrize(
    "size", [*range(12), 88, 89, 90, 91, 92, 93, 94, 95, 96, 988, 989, 990, 991, 992, 9984, 9985, 9986]
)
def test_record_lengths_count_their_own_digits(size: int) -> None:
    data = pax.build({b"key": b"v" * size})
    assert pax.parse(data, 1) == [(b"key", b"v" * size)]
    assert int(data.partition(b" ")[0]) == len(data)


def test_records_are_sorted_and_may_hold_anything() -> None:
    records = {b"b": b"=\n\0", b"a": b"", "ä".encode(): b"\xff"}
    assert pax.parse(pax.build(records), 3) == sorted(records.items())


def test_repeated_keys_are_kept() -> None:
    assert pax.parse(b"6 a=1\n6 a=2\n", 9) == [(b"a", b"1"), (b"a", b"2")]


def test_zeros_behind_the_records() -> None:
    assert pax.parse(b"6 a=1\n\0\0\0", 9) == [(b"a", b"1")]


@pytest.mark.parametrize(
    "data", [b"6 a=1", b"7 a=1\n", b"5 a=1\n", b"a=1\n", b"0 a=1\n", b"4 a\n", b"5 =1\n", b"6 \0=1\n"]
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(InvalidArchive):
        pax.parse(data, 9)


def test_too_many() -> None:
    with pytest.raises(LimitExceeded):
        pax.parse(b"6 a=1\n" * 3, 2)
