from __future__ import annotations

import pytest

from holdall.erofs.xattr import MAX_BODY, Shared, decode, decode_body, encode
from holdall.errors import InvalidArchive, LimitExceeded, Unsupported

ALL = {
    b"user.a": b"1",
    b"trusted.overlay.opaque": b"y",
    b"security.capability": bytes(20),
    b"system.posix_acl_access": b"acl",
    b"system.posix_acl_default": b"",
}


def read(shared: Shared, body: bytes) -> dict[bytes, bytes]:
    area = b"".join(shared.area())
    return decode_body(body, lambda offset: area[offset:])


def test_all_prefixes_come_back() -> None:
    shared = Shared(512)
    body = shared.body(ALL)
    assert read(shared, body) == ALL
    assert not shared.area()


def test_what_was_met_before_is_shared() -> None:
    shared = Shared(512)
    first, second, third = shared.body(ALL), shared.body(ALL), shared.body(ALL | {b"user.a": b"2"})
    assert len(second) == 12 + 4 * len(ALL) < len(first)
    assert [read(shared, body) for body in (first, second, third)] == [ALL, ALL, ALL | {b"user.a": b"2"}]
    assert sum(map(len, shared.area())) == shared.size


def test_shared_entries_do_not_cross_a_block_where_they_fit() -> None:
    shared = Shared(512)
    pairs = [{b"user.%d" % number: b"v" * 150} for number in range(9)] + [{b"user.big": b"v" * 3000}]
    bodies = [shared.body(pair) for pair in (*pairs, *pairs)]
    assert [read(shared, body) for body in bodies] == [*pairs, *pairs]
    area = b"".join(shared.area())
    for body in bodies[len(pairs) : -1]:
        at = int.from_bytes(body[12:16], "little") * 4
        assert at // 512 == (decode(area, at)[2] - 1) // 512


def test_more_than_255_shared_ones_stand_inline() -> None:
    shared = Shared(512)
    many = {b"user.%03d" % number: b"" for number in range(300)}
    shared.body(many)
    body = shared.body(many)
    assert body[4] == 255
    assert read(shared, body) == many


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b"nothing",
        b"system.other",
        b"system.posix_acl_access2",
        b"user",
        b"user.",
        b"user.a\0b",
        b"btrfs.lzo",
    ],
)
def test_names_without_a_place_are_refused(name: bytes) -> None:
    with pytest.raises(Unsupported):
        encode(name, b"")


@pytest.mark.parametrize(("name", "value"), [(b"user." + b"x" * 251, b""), (b"user.x", bytes(65536))])
def test_long_ones_are_refused(name: bytes, value: bytes) -> None:
    with pytest.raises(LimitExceeded):
        encode(name, value)


def test_the_longest_are_kept() -> None:
    raw = encode(b"user." + b"x" * 250, b"v" * 65535)
    assert decode(raw, 0) == (b"user." + b"x" * 250, b"v" * 65535, len(raw))


def test_a_body_has_a_bound() -> None:
    most = {b"user.%d" % number: bytes(65000) for number in range(4)}
    assert len(Shared(512).body(most)) <= MAX_BODY
    with pytest.raises(LimitExceeded):
        Shared(512).body(most | {b"user.5": bytes(65000)})


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (bytes(4) + b"\x02" + bytes(7), InvalidArchive),
        (bytes(12) + b"\1\1\0", InvalidArchive),
        (bytes(12) + b"\5\1\0\0abc\0", InvalidArchive),
        (bytes(12) + b"\1\1\4\0abc\0", InvalidArchive),
        (bytes(12) + b"\0\1\0\0", InvalidArchive),
        (bytes(12) + b"\1\2\0\0a\0\0\0", InvalidArchive),
        (bytes(12) + b"\1\7\0\0a\0\0\0", InvalidArchive),
        (bytes(12) + b"\1\x81\0\0a\0\0\0", Unsupported),
        (bytes(12) + encode(b"user.a", b"1") * 2, InvalidArchive),
        (bytes(4) + b"\1" + bytes(7) + b"\xff\xff\xff\xff", InvalidArchive),
    ],
)
def test_malformed_ones_are_refused(raw: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode_body(raw, lambda _: b"")
