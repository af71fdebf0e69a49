from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdall.errors import InvalidManifest
from holdall.oci import timestamp


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000_000_000),
        ("2023-11-14t22:13:20.5z", 1_700_000_000_500_000_000),
        ("2000-02-29T00:00:00Z", 951_782_400_000_000_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000_000),
        ("2023-11-14T22:13:20.1234567899Z", 1_700_000_000_123_456_789),
    ],
)
def test_parse(text: str, nanoseconds: int) -> None:
    assert timestamp.parse(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2023",
        "2023-11-14 22:13:20Z",
        "2023-11-14T22:13:20",
        "2023-13-01T00:00:00Z",
        "2023-00-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2023-01-01T24:00:00Z",
        "2023-01-01T00:60:00Z",
        "2023-01-01T00:00:00+24:00",
        "2023-01-01T00:00:00Z\n",
        "٢٠٢٣-01-01T00:00:00Z",
    ],
)
def test_malformed_times_are_refused(text: str) -> None:
    with pytest.raises(InvalidManifest, match="invalid time"):
        timestamp.parse(text)


@given(st.datetimes(min_value=dt.datetime(1, 1, 1), max_value=dt.datetime(9999, 12, 31)))  # noqa: DTZ001
def test_agrees_with_datetime(moment: dt.datetime) -> None:
    aware = moment.replace(tzinfo=dt.UTC)
    delta = aware - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    nanoseconds = (delta.days * 86_400 + delta.seconds) * 10**9 + delta.microseconds * 1000
    assert timestamp.parse(aware.isoformat()) == nanoseconds
    assert timestamp.parse(timestamp.render(nanoseconds)) == nanoseconds


def test_render() -> None:
    assert timestamp.render(0) == "1970-01-01T00:00:00Z"
    assert timestamp.render(1_700_000_000_120_000_000) == "2023-11-14T22:13:20.12Z"
