from __future__ import annotations

import hashlib

import pytest

from holdall.errors import InvalidDigest
from holdall.oci.digest import Digest

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_text_form_parses_back() -> None:
    assert str(Digest.parse(EMPTY)) == EMPTY
    assert Digest.of(b"") == Digest.parse(EMPTY)
    long = Digest.of(b"x", "sha512")
    assert Digest.parse(str(long)) == long
    assert long.encoded == hashlib.sha512(b"x").hexdigest()


def test_hasher_and_short() -> None:
    digest = Digest.parse(EMPTY)
    hasher = digest.hasher()
    hasher.update(b"abc")
    assert Digest.from_hasher(hasher) == Digest.of(b"abc")
    assert digest.short == "e3b0c44298fc"


def test_digests_are_values() -> None:
    assert len({Digest.parse(EMPTY), Digest.of(b"")}) == 1
    with pytest.raises(AttributeError):
        Digest.of(b"").encoded = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no algorithm"),
        ("e3b0c442", "no algorithm"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", "unknown algorithm"),
        (":" + "a" * 64, "unknown algorithm"),
        ("sha256:", "64 hex digits, not 0"),
        ("sha256:" + "a" * 63, "not 63"),
        ("sha256:" + "a" * 65, "not 65"),
        ("sha512:" + "a" * 64, "128 hex digits"),
        (EMPTY.upper(), "unknown algorithm"),
        ("sha256:" + "A" * 64, "lower-case"),
        ("sha256:" + "a" * 31 + "/" + "a" * 32, "lower-case"),
        ("sha256:" + "٣" * 64, "lower-case"),
        (EMPTY + "\n", "not 65"),
        ("sha256:" + "a" * 63 + "\n", "lower-case"),
        (" " + EMPTY, "unknown algorithm"),
    ],
)
def test_malformed_digests_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidDigest, match=reason) as caught:
        Digest.parse(text)
    assert caught.value.message.isprintable()
