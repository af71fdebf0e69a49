from __future__ import annotations

import base64
import json
import time

import jwt
import pytest

from holdall.errors import StoreCorrupt
from holdall.registry.server import signing
from holdall.registry.server.signing import KeyRing, TokenInvalid, UnknownKey

NOW = time.time()
LONG = 100_000
"""Seconds, more than all tests take: this file may be read long before they run."""


def claims(**changes: object) -> dict[str, object]:
    return {"iss": "holdall", "sub": "a", "aud": "here", "iat": NOW, "nbf": NOW - 1, "exp": NOW + LONG, **changes}


@pytest.fixture(scope="module")
def document() -> bytes:
    return signing.first(b"", NOW)


def test_what_is_signed_is_believed(document: bytes) -> None:
    ring = KeyRing(document)
    token = ring.sign(claims(x=[1]))
    assert ring.verify(token, "here")["x"] == [1]
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": signing.first_id(document), "typ": "JWT"}
    assert KeyRing(document).verify(token, "here")["sub"] == "a"
    assert signing.first(document, NOW) is document


@pytest.mark.parametrize(
    "changes",
    [{"aud": "there"}, {"exp": NOW - 60}, {"nbf": NOW + LONG}, {"iss": "other"}, {"aud": ["x", "y"]}, {"exp": "soon"},
     {"sub": 5}, {"iat": NOW + LONG}],
)  # fmt: skip
def test_other_claims_are_not(document: bytes, changes: dict[str, object]) -> None:
    ring = KeyRing(document)
    token = ring.sign(claims(**changes))
    with pytest.raises(TokenInvalid):
        ring.verify(token, "here")


@pytest.mark.parametrize("missing", ["iss", "sub", "aud", "exp", "iat"])
def test_each_claim_is_needed(document: bytes, missing: str) -> None:
    ring = KeyRing(document)
    token = ring.sign({key: value for key, value in claims().items() if key != missing})
    with pytest.raises(TokenInvalid):
        ring.verify(token, "here")


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_forged_tokens_are_refused(document: bytes) -> None:
    ring = KeyRing(document)
    kid = signing.first_id(document)
    head, body, mark = ring.sign(claims()).split(".")
    other = KeyRing(signing.first(b"", NOW)).sign(claims()).split(".")
    public = ring._public[kid].public_bytes(
        encoding=signing.serialization.Encoding.PEM, format=signing.serialization.PublicFormat.SubjectPublicKeyInfo
    )
    shared = jwt.api_jws.PyJWS().get_algorithm_by_name("HS256")
    confused = f"{part({'alg': 'HS256', 'kid': kid})}.{body}"
    confused += "." + base64.urlsafe_b64encode(shared.sign(confused.encode(), public)).decode().rstrip("=")
    forged = [
        f"{head}.{part(claims(sub='root'))}.{mark}",
        f"{part({'alg': 'none', 'kid': kid})}.{body}.",
        f"{part({'alg': 'ES256', 'kid': kid})}.{body}.",
        f"{head}.{body}.{other[2]}",
        f"{part({'alg': 'ES256', 'kid': [kid]})}.{body}.{mark}",
        confused,
        "",
        "a.b",
        "a.b.c",
        "." * 1000,
        "x" * 20_000,
        head + "." + "[" * 3000 + "." + mark,
        "é.ü.ß",
    ]
    for token in forged:
        with pytest.raises(TokenInvalid):
            ring.verify(token, "here")
    with pytest.raises(UnknownKey):
        ring.verify(".".join(other), "here")


def test_old_keys_are_believed_until_their_tokens_have_ended(document: bytes) -> None:
    old = KeyRing(document).sign(claims())
    after = signing.rotated(document, NOW, 100)
    ring = KeyRing(after)
    assert signing.first_id(after) != signing.first_id(document)
    assert ring.verify(old, "here")
    assert ring.verify(ring.sign(claims()), "here")
    later = signing.rotated(after, NOW + 99, 100)
    assert KeyRing(later).verify(old, "here")
    # the key that came second took over at NOW
    much_later = signing.rotated(later, NOW + 101, 100)
    assert len(json.loads(much_later)["keys"]) == 3
    with pytest.raises(UnknownKey):
        KeyRing(much_later).verify(old, "here")
    with pytest.raises(UnknownKey):
        KeyRing(signing.rotated(document, NOW, 0)).verify(old, "here")


def test_there_are_never_too_many_keys(document: bytes) -> None:
    for _ in range(signing.MAX_KEYS + 3):
        document = signing.rotated(document, NOW, 1e9)
    assert len(json.loads(document)["keys"]) == signing.MAX_KEYS


@pytest.mark.parametrize(
    "raw",
    [b"x", b"{}", b'{"keys":[]}', b'{"keys":[{"id":"a","made":1,"key":"x"}]}', b'{"keys":[{"id":"a","key":""}]}'],
)
def test_a_damaged_document_is_said(raw: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        KeyRing(raw)
