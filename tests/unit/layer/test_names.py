"""Names made safe."""

from __future__ import annotations

import pytest

from holdall.errors import InvalidArchive, LimitExceeded
from holdall.layer import names
from holdall.layer.limits import DEFAULT, Limits
from holdall.layer.names import Mark, mark


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


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (b"a/b", (Mark.NONE, b"", b"")),
        (b"a/x.wh.b", (Mark.NONE, b"", b"")),
        (b"a/.wh.b", (Mark.WHITEOUT, b"a", b"b")),
        (b".wh.b", (Mark.WHITEOUT, b"", b"b")),
        (b"a/.wh..wh..opq", (Mark.OPAQUE, b"a", b"")),
        (b".wh..wh.plnk/1", (Mark.PASSED, b"", b"")),
        (b".wh..wh.aufs", (Mark.PASSED, b"", b"")),
    ],
)
def test_mark(path: bytes, wanted: tuple[Mark, bytes, bytes]) -> None:
    assert mark(path) == wanted


@pytest.mark.parametrize("path", [b".wh.a/b", b".wh..wh.plnk/.wh..wh..opq", b".wh.", b"a/.wh.."])
def test_marks_that_mean_nothing(path: bytes) -> None:
    with pytest.raises(InvalidArchive):
        mark(path)
