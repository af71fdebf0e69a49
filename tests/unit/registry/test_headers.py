from __future__ import annotations

import pytest

from holdall.registry.headers import ContentRange, next_link, retry_after, upload_offset


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("bytes 0-9/10", ContentRange(0, 9, 10)),
        ("bytes 5-9/*", ContentRange(5, 9, None)),
        (" bytes  5-9/10 ", ContentRange(5, 9, 10)),
        ("bytes 9-5/10", None),
        ("bytes 0-10/10", None),
        ("bytes */10", None),
        ("bytes -1-3/10", None),
        ("items 0-9/10", None),
        ("bytes 0-" + "9" * 30 + "/*", None),
        ("", None),
    ],
)
def test_content_range(text: str, wanted: ContentRange | None) -> None:
    assert ContentRange.parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("0-99", 100), ("bytes=0-99", 100), ("0-0", 0), ("1-5", None), ("0-", None), ("", None), (None, None)],
)
def test_upload_offset(text: str | None, wanted: int | None) -> None:
    assert upload_offset(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Wed, 21 Oct 2015 07:28:10 GMT", 10.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("-3", None),
        ("soon", None),
        ("9" * 400, None),
        ("Wed, 99 Oct 2015 99:99:99 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_reads_seconds_and_dates(text: str | None, wanted: float | None) -> None:
    assert retry_after(text, now=1_445_412_480.0) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('</v2/a/tags/list?n=2&last=b>; rel="next"', "/v2/a/tags/list?n=2&last=b"),
        ("</x>; rel=next", "/x"),
        ('</p>; rel="prev", </n>; title="a, b"; rel="last next"', "/n"),
        ('</x>; rel="nextish"', None),
        ("</x>", None),
        ("/x; rel=next", None),
        ("", None),
        (None, None),
    ],
)
def test_next_link(text: str | None, wanted: str | None) -> None:
    assert next_link(text) == wanted
