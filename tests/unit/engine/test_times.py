"""Times and sizes as Docker writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdall.engine import times
from holdall.errors import InvalidOption

S = 10**9


@pytest.mark.parametrize(
    ("text", "ns"), [("1h30m", 5400 * S), ("90s", 90 * S), ("1.5h", 5400 * S), ("10ms", S // 100), ("2d", 172800 * S)]
)
def test_durations(text: str, ns: int) -> None:
    assert times.parse_duration(text) == ns


@pytest.mark.parametrize("text", ["", "5", "1x", "1h ", "h", "-1s"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(InvalidOption):
        times.parse_duration(text)


def test_times() -> None:
    assert times.parse_time("1970-01-02T00:00:00Z") == 86400 * S
    assert times.parse_time("1970-01-01T01:00:00.5+01:00") == S // 2
    assert times.parse_time("1700000000.25") == 1_700_000_000 * S + S // 4
    assert times.parse_time("10s", now=100 * S) == 90 * S
    with pytest.raises(InvalidOption):
        times.parse_time("yesterday")


@given(st.integers(min_value=1, max_value=4 * 10**18))
def test_rfc3339_goes_round(ns: int) -> None:
    assert times.parse_time(times.rfc3339(ns)) == ns


def test_no_time_is_go_s_zero() -> None:
    assert times.rfc3339(None) == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (150, "2 minutes"),
     (3600, "About an hour"), (7200, "2 hours"), (86400 * 3, "3 days"), (86400 * 21, "3 weeks"),
     (86400 * 90, "3 months"),
     (86400 * 800, "2 years")],
)  # fmt: skip
def test_spans(seconds: int, text: str) -> None:
    assert times.span(seconds) == text


def test_sizes() -> None:
    assert (times.size(0), times.size(999), times.size(75_200_000)) == ("0B", "999B", "75.2MB")
    assert (times.binary_size(1536), times.binary_size(64 << 20)) == ("1.5KiB", "64MiB")
