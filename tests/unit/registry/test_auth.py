"""Playbooks: what a registry says, what we ask of the token server, what it replies, what we send in the end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from holdall.errors import LimitExceeded, RegistryError, Unauthorized
from holdall.registry.auth import (
    LEEWAY,
    MAX_LIFETIME,
    MAX_TOKEN,
    MIN_LIFETIME,
    Authenticator,
    Scope,
    TokenReply,
    TokenRequest,
    pull_scope,
    push_scope,
)
from holdall.registry.challenge import Challenge, parse
from holdall.registry.credential import Credential

if TYPE_CHECKING:
    from holdall.registry.auth import Flow

PULL = (pull_scope("team/app"),)
BEARER = parse(['Bearer realm="https://auth.example/token?x=1",service="reg",scope="repository:team/app:pull"'])
BASIC = parse(['Basic realm="reg"'])
USER = Credential("ann", "secret")
ANN = "Basic YW5uOnNlY3JldA=="


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def authenticator(
    credential: Credential | None = None, *, secure: bool = True, clock: Clock | None = None
) -> Authenticator:
    return Authenticator("reg.example", credential, secure=secure, clock=clock or Clock())


def play(flow: Flow, *replies: TokenReply) -> tuple[list[TokenRequest], str]:
    asked: list[TokenRequest] = []
    left = list(replies)
    try:
        request = next(flow)
        while True:
            asked.append(request)
            request = flow.send(left.pop(0))
    except StopIteration as stop:
        assert not left
        return asked, stop.value


def token(value: str = "tok", **more: object) -> TokenReply:
    return TokenReply(200, json.dumps({"token": value, **more}).encode())


def query(request: TokenRequest) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(request.url).query)


def test_anonymous_token() -> None:
    auth = authenticator()
    asked, header = play(auth.answer(BEARER, PULL), token())
    assert header == "Bearer tok"
    assert (asked[0].method, asked[0].headers, asked[0].form) == ("GET", {}, None)
    assert query(asked[0]) == [("x", "1"), ("service", "reg"), ("scope", "repository:team/app:pull")]


def test_user_and_password_go_to_the_token_server_as_basic() -> None:
    asked, _ = play(authenticator(USER).answer(BEARER, PULL), token())
    assert asked[0].headers == {"Authorization": ANN}
    assert ("account", "ann") in query(asked[0])


def test_identity_tokens_are_posted() -> None:
    auth = authenticator(Credential(identity_token="refresh"))
    asked, header = play(auth.answer(BEARER, PULL), TokenReply(200, b'{"access_token": "at"}'))
    assert header == "Bearer at"
    assert asked[0].method == "POST"
    assert asked[0].url == "https://auth.example/token?x=1"
    assert asked[0].form == {
        "grant_type": "refresh_token",
        "refresh_token": "refresh",
        "client_id": "holdall",
        "service": "reg",
        "scope": "repository:team/app:pull",
    }


def test_registry_tokens_are_sent_as_they_are() -> None:
    asked, header = play(authenticator(Credential(registry_token="rt")).answer(BEARER, PULL))
    assert (asked, header) == ([], "Bearer rt")


def test_basic() -> None:
    auth = authenticator(USER)
    assert auth.header(PULL) is None
    assert play(auth.answer(BASIC, PULL)) == ([], ANN)
    assert auth.header(()) == ANN


def test_bearer_is_preferred() -> None:
    _, header = play(authenticator(USER).answer((*BASIC, *BEARER), PULL), token())
    assert header == "Bearer tok"


def test_scopes_of_ours_and_of_the_challenge_are_joined() -> None:
    challenge = parse(['Bearer realm="https://a/t",scope="repository:team/app:push,pull registry:catalog:* nonsense"'])
    asked, _ = play(authenticator().answer(challenge, (*push_scope_of("team/app"), pull_scope("base"))), token())
    assert [value for key, value in query(asked[0]) if key == "scope"] == [
        "repository:team/app:pull,push",
        "repository:base:pull",
        "registry:catalog:*",
    ]


def push_scope_of(name: str) -> tuple[Scope, ...]:
    return (push_scope(name),)


def test_a_login_asks_for_no_scope() -> None:
    asked, _ = play(authenticator(USER).answer(BEARER, ()), token())
    assert [value for key, value in query(asked[0]) if key == "scope"] == []


def test_tokens_are_kept_for_each_scope_and_expire() -> None:
    clock = Clock()
    auth = authenticator(clock=clock)
    play(auth.answer(BEARER, PULL), token(expires_in=300))
    assert auth.header(PULL) == "Bearer tok"
    assert auth.header((push_scope("team/app"),)) is None
    clock.now = 300 - LEEWAY
    assert auth.header(PULL) is None


@pytest.mark.parametrize(
    ("lifetime", "usable"),
    [(1, MIN_LIFETIME), (-5, MIN_LIFETIME), ("x", MIN_LIFETIME), (True, MIN_LIFETIME), (10**12, MAX_LIFETIME)],
)
def test_a_lifetime_that_makes_no_sense_is_bounded(lifetime: object, usable: int) -> None:
    clock = Clock()
    auth = authenticator(clock=clock)
    play(auth.answer(BEARER, PULL), token(expires_in=lifetime))
    clock.now = usable - LEEWAY - 1
    assert auth.header(PULL) is not None
    clock.now += 1
    assert auth.header(PULL) is None


def test_the_next_scope_is_asked_for_ahead() -> None:
    auth = authenticator()
    assert auth.ahead(PULL) is None
    play(auth.answer(BEARER, PULL), token())
    flow = auth.ahead((pull_scope("other"),))
    assert flow is not None
    _, header = play(flow, token("second"))
    assert header == "Bearer second"


def test_a_rejected_token_is_forgotten() -> None:
    auth = authenticator()
    play(auth.answer(BEARER, PULL), token())
    asked, header = play(auth.answer(BEARER, PULL, "Bearer tok"), token("fresh"))
    assert len(asked) == 1
    assert auth.header(PULL) == header == "Bearer fresh"


def test_a_rejected_password_is_not_sent_again() -> None:
    auth = authenticator(USER)
    play(auth.answer(BASIC, PULL))
    with pytest.raises(Unauthorized, match="refuses the user or the password"):
        play(auth.answer(BASIC, PULL, ANN))
    assert auth.header(PULL) is None


def test_basic_without_credentials_says_how_to_log_in() -> None:
    with pytest.raises(Unauthorized) as caught:
        play(authenticator().answer(BASIC, PULL))
    assert caught.value.hint == 'log in with "holdall login reg.example"'


def test_a_token_server_that_refuses_the_password() -> None:
    reply = TokenReply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"bad password"}]}')
    with pytest.raises(Unauthorized, match=r'"auth\.example" refuses the user or the password: bad password'):
        play(authenticator(USER).answer(BEARER, PULL), reply)


def test_a_token_server_that_fails() -> None:
    with pytest.raises(RegistryError, match=r'token server "auth\.example" of registry "reg\.example" answered 500'):
        play(authenticator().answer(BEARER, PULL), TokenReply(500, b""))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": ""}',
        b'{"token": 1}',
        b'{"token": "a\\r\\nX-Evil: 1"}',
        b'{"token": "a b"}',
        b'{"token": "\xc3\xa4"}',
        b"<html>",
    ],
)
def test_a_token_server_that_lies(body: bytes) -> None:
    with pytest.raises(RegistryError, match=r'"auth\.example"'):
        play(authenticator().answer(BEARER, PULL), TokenReply(200, body))


def test_a_giant_token() -> None:
    with pytest.raises(LimitExceeded):
        play(authenticator().answer(BEARER, PULL), token("x" * (MAX_TOKEN + 1)))


@pytest.mark.parametrize(
    "realm",
    [
        "file:///etc/passwd",
        "/token",
        "https://user@auth.example/",
        "https://",
        "https://[::1",
        "https://a:99999/",
        "https://a/ b",
        "gopher://a/",
        "https://a/" + "x" * 5000,
        "",
    ],
)
def test_a_realm_that_is_no_place_to_send_a_password_to(realm: str) -> None:
    challenge = (Challenge("bearer", {"realm": realm}),)
    with pytest.raises(RegistryError, match="names a token server that is no URL"):
        play(authenticator(USER).answer(challenge, PULL))


def test_no_plain_token_server_behind_a_registry_with_tls() -> None:
    challenge = (Challenge("bearer", {"realm": "http://auth.example/token"}),)
    with pytest.raises(RegistryError, match="without tls"):
        play(authenticator(USER).answer(challenge, PULL))
    _, header = play(authenticator(USER, secure=False).answer(challenge, PULL), token())
    assert header == "Bearer tok"


@pytest.mark.parametrize("header", ["Negotiate", "Bearer", "Bearer service=x"])
def test_ways_we_do_not_know(header: str) -> None:
    with pytest.raises(Unauthorized, match=header.split(maxsplit=1)[0].lower()):
        play(authenticator(USER).answer(parse([header]), PULL))


def test_no_challenge_at_all() -> None:
    with pytest.raises(Unauthorized, match="none"):
        play(authenticator(USER).answer((), PULL))


@pytest.mark.parametrize("text", ["repository:a/b:pull", "repository(plugin):a:pull,push", "registry:catalog:*"])
def test_scopes_round_trip(text: str) -> None:
    assert str(Scope.parse(text)) == text


@pytest.mark.parametrize("text", ["", "a", "a:b", "a:b:", ":b:pull", 'a"b:c:pull', "a:b:pull,", "a:b:PULL"])
def test_malformed_scopes(text: str) -> None:
    assert Scope.parse(text) is None


def test_a_scope_may_name_a_port() -> None:
    assert Scope.parse("repository:reg:5000/a:pull") == Scope("reg:5000/a", ("pull",))


def test_credentials_do_not_show_themselves() -> None:
    shown = repr(Credential("ann", "secret", "identity", "registry"))
    assert "ann" in shown
    assert not any(word in shown for word in ("secret", "identity", "registry"))
