"""Names made safe."""

from __future__ import annotations

import pytest

from holdall.errors import InvalidArchive, LimitExceeded
from holdall.layer import names
from holdall.layer.limits import DEFAULT, Limits


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [(b"a/b", b"a/b"), (b"./a//b/", b"a/b"), (b"/a", b"a"), (b"./", b""), (b"/", b""), (b"", b""), (b"a/./b", b"a/b")],
)
def test_clean(raw: bytes, cleaned: bytes) -> None:
    assert names.clean(raw, DEFAULT) == cleaned


@pytest.mark.parametrize("raw", [b"..", b"a/..", b"../a", b"/..", b"a\0b"])
def test_refused(raw: bytes) -> None:
    with pytest.raises(InvalidArchive):
        names.clean(raw, DEFAULT)


@pytest.mark.parametrize("raw", [b"abcde", b"a/b/c/d", b"abcdefghijk"])
def test_bounds(raw: bytes) -> None:
    with pytest.raises(LimitExceeded):
        names.clean(raw, Limits(name=10, depth=3, component=4))


@pytest.mark.parametrize(
    ("base", "hidden"), [(b".wh.a", b"a"), (b"a", None), (b".wha", None), (b".wh..a", b".a"), (b".wh....", b"...")]
)
def test_hidden(base: bytes, hidden: bytes | None) -> None:
    assert names.hidden(base) == hidden


@pytest.mark.parametrize("base", [b".wh.", b".wh..", b".wh..."])
def test_whiteouts_of_nothing(base: bytes) -> None:
    with pytest.raises(InvalidArchive):
        names.hidden(base)
