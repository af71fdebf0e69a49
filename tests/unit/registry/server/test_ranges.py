from __future__ import annotations

import pytest

from holdall.registry.server import ranges
from holdall.registry.server.refusal import Refusal


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-99", (0, 100)),
        ("bytes=5-", (5, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=90-500", (90, 100)),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("", None),
    ],
)
def test_one_range_is_honoured_and_nonsense_ignored(header: str, wanted: tuple[int, int] | None) -> None:
    assert ranges.parse(header, 100) == wanted


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=5-4", "bytes=-0"])
def test_what_no_byte_satisfies_is_refused(header: str) -> None:
    with pytest.raises(Refusal) as caught:
        ranges.parse(header, 100)
    assert caught.value.status == 416
    assert caught.value.headers == {"Content-Range": "bytes */100"}


def test_an_empty_blob_has_no_ranges() -> None:
    with pytest.raises(Refusal):
        ranges.parse("bytes=0-0", 0)
