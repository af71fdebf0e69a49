from __future__ import annotations

import json

import pytest

from holdall.errors import ManifestUnknown, RegistryError, Unauthorized
from holdall.registry.failures import BadStatus, TooManyRequests, details, from_answer, shown


def body(code: str, message: str = "") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message, "detail": None}]}).encode()


@pytest.mark.parametrize(
    ("status", "raw", "kind"),
    [
        (404, body("MANIFEST_UNKNOWN", "manifest unknown"), ManifestUnknown),
        (404, body("NAME_UNKNOWN"), ManifestUnknown),
        (404, b"", ManifestUnknown),
        (404, body("BLOB_UNKNOWN"), BadStatus),
        (401, body("UNAUTHORIZED"), Unauthorized),
        (403, b"<html>", Unauthorized),
        (400, body("DENIED"), Unauthorized),
        (429, b"", TooManyRequests),
        (503, body("TOOMANYREQUESTS"), TooManyRequests),
        (500, b"\xff", BadStatus),
        (400, body("MANIFEST_INVALID", "bad"), BadStatus),
    ],
)
def test_status_and_code_choose_the_class(status: int, raw: bytes, kind: type[RegistryError]) -> None:
    assert type(from_answer(status, raw, "r.example")) is kind


def test_a_pause_that_was_asked_for_is_told() -> None:
    err = from_answer(429, b"", "r.example", retry_after=17.0)
    assert isinstance(err, TooManyRequests)
    assert err.retry_after == 17.0


def test_messages_name_the_registry_and_the_reason() -> None:
    err = from_answer(400, body("MANIFEST_INVALID", "layer 3 is odd"), "r.example")
    assert err.message == 'registry "r.example" answered 400: layer 3 is odd'
    assert isinstance(err, BadStatus)
    assert err.status == 400
    assert from_answer(404, body("MANIFEST_UNKNOWN"), "r").message == "manifest unknown"


def test_hints_say_what_to_do() -> None:
    assert "holdall login r.example" in (from_answer(401, b"", "r.example").hint or "")
    assert "in 90 s" in (from_answer(429, b"", "r.example", retry_after=90.0).hint or "")


def test_text_from_outside_cannot_touch_the_terminal() -> None:
    err = from_answer(400, body("X", "\x1b[2J\nroot\u202e" + "a" * 1000), "r")
    assert err.message.isprintable()
    assert err.message.isascii()
    assert len(err.message) < 500
    assert shown("it's") == "it's"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"errors":{}}', b'{"errors":[1]}', b"[" * 100_000, b"null"])
def test_odd_bodies_say_nothing(raw: bytes) -> None:
    assert details(raw) == ()


def test_bodies_of_docker_hub() -> None:
    assert details(b'{"details":"incorrect username or password"}') == (("", "incorrect username or password"),)
