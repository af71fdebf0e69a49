"""Scopes, claims, tokens, credentials, forwarding headers and access files of any shape: an answer, no crash."""

from __future__ import annotations

import ipaddress
import os
import time

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from holdall.errors import InvalidInput, LimitExceeded
from holdall.registry import challenge
from holdall.registry.server import accessfile, scopes, signing
from holdall.registry.server.clients import caller
from holdall.registry.server.identity import basic
from holdall.registry.server.names import is_repository
from holdall.registry.server.refusal import Refusal
from holdall.registry.server.signing import KeyRing, TokenInvalid
from holdall.registry.server.visitor import ACTIONS

ROUNDS = 20_000 if os.environ.get("HOLDALL_SOAK") == "1" else 80
SLOW = 0.5
NAMES = ("a", "a/b", "team/app", "A", "..", "x" * 300, "a//b", "a:5000/b", "", "é")

bounded = settings(
    max_examples=ROUNDS, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
pieces = st.lists(
    st.sampled_from(
        ["repository", "registry", "catalog", ":", ",", "*", "pull", "push", "delete", "a/b", "(x)", " ", "\x00", "ä",
         "/", "..", "-", "(", ")", "sha256:", "\n", '"']
    ),
    max_size=40,
).map("".join)  # fmt: skip
texts = st.one_of(pieces, st.text(max_size=200))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


@bounded
@given(st.lists(texts, max_size=6))
def test_scopes_are_bounded_and_known(given_texts: list[str]) -> None:
    try:
        found = scopes.parse(given_texts)
    except Refusal:
        return
    assert len(found) <= scopes.MAX_SCOPES
    assert len({(one.kind, one.name) for one in found}) == len(found)
    for one in found:
        assert is_repository(one.name) or (one.kind, one.name) == ("registry", "catalog")
    assert scopes.parse([" ".join(map(str, found))]) == found, "what a challenge says is read back"


@bounded
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sets(st.sampled_from([*ACTIONS, "*"]), min_size=1)), max_size=5),
    st.sets(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(NAMES))),
)
def test_a_token_never_lets_more_be_done_than_is_allowed(
    asked: list[tuple[str, set[str]]], allowed: set[tuple[str, str]]
) -> None:
    wanted = scopes.parse([f"repository:{name}:{','.join(sorted(actions))}" for name, actions in asked])
    grants = scopes.read(scopes.grant(wanted, lambda action, name: (action, name) in allowed))
    assert grants.pairs <= allowed
    for name, actions in asked:
        for action in ACTIONS:
            if is_repository(name) and (action in actions or "*" in actions):
                assert grants.allow(action, name) is ((action, name) in allowed)


@bounded
@given(json_values)
def test_claims_of_any_shape_are_read(claim: object) -> None:
    grants = scopes.read(claim)
    assert all(action in ACTIONS for action, _ in grants.pairs)


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return KeyRing(signing.first(b"", time.time()))


@bounded
@given(st.one_of(st.text(max_size=100), st.lists(st.sampled_from("abc.=-_eyJ{}"), max_size=60).map("".join)))
def test_texts_that_are_no_tokens(ring: KeyRing, text: str) -> None:
    with pytest.raises(TokenInvalid):
        ring.verify(text, "holdall")


@bounded
@given(st.data())
def test_a_token_that_was_changed_anywhere_is_refused(ring: KeyRing, data: st.DataObject) -> None:
    now = int(time.time())
    token = ring.sign({"iss": "holdall", "sub": "a", "aud": "holdall", "iat": now, "exp": now + 60})
    place = data.draw(st.integers(0, len(token) - 2))  # the last character has bits that say nothing
    other = data.draw(st.sampled_from("ABCDEFabcdef0123456789-_."))
    if token[place] != other:
        with pytest.raises(TokenInvalid):
            ring.verify(token[:place] + other + token[place + 1 :], "holdall")


@bounded
@given(texts)
def test_credentials(text: str) -> None:
    try:
        user, password = basic(text)
    except Refusal:
        return
    assert isinstance(user, str)
    assert isinstance(password, str)


addresses = st.one_of(
    st.ip_addresses().map(str), texts,
    st.sampled_from(["10.0.0.1", "10.0.0.2:80", "[::1]:5", "unknown", "", "_x", "1.2.3"]),
)  # fmt: skip


@bounded
@given(st.lists(st.lists(addresses, max_size=5).map(",".join), max_size=3), texts)
def test_forwarding_headers_give_an_address(lines: list[str], host: str) -> None:
    clean = [(name, text.encode("ascii", "ignore").decode()) for name, text in
             [*(("X-Forwarded-For", line) for line in lines), ("Host", host)]]  # fmt: skip
    request = make_mocked_request("GET", "/", headers=CIMultiDict(clean)).clone(remote="10.0.0.9")
    found = caller(request, (ipaddress.ip_network("10.0.0.0/8"),))
    ipaddress.ip_address(found.address)
    (one,) = challenge.parse([f'Bearer realm="{found.url}/token",service="x"'])
    assert one.parameters == {"realm": f"{found.url}/token", "service": "x"}


keys = st.sampled_from(
    ["htpasswd", "anonymous", "rule", "tokens", "issuer", "limits", "trusted_proxies", "webhook", "url", "name",
     "users", "requests", "bytes", "burst", "events", "headers", "user", "repositories", "actions", "lifetime", "keys",
     "x"]
)  # fmt: skip
toml_values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.sampled_from(["1h", "10k", "https://a/", "pull", "**"]) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=25,
)  # fmt: skip


@bounded
@given(st.dictionaries(keys, toml_values, max_size=6))
def test_access_files_of_any_shape(values: dict[str, object]) -> None:
    try:
        found = accessfile.parse(values, "/etc/access.toml")
    except (InvalidInput, LimitExceeded):
        return
    found.rules.allow("a", "pull", "b")
    assert found.limits.of("a").requests >= 0


def test_nothing_is_slow_to_parse() -> None:
    nasty = [
        "repository:" + "a/" * 4_000 + ":pull",
        "repository:" + ":" * 8_000,
        "repository:a:" + "pull," * 1_600,
        "(" * 8_000,
        "a:b:" + "," * 8_000,
        "repository" + "(" * 4_000 + ")" * 4_000 + ":a:pull",
    ]
    for text in nasty:
        started = time.monotonic()
        try:
            scopes.parse([text])
        except Refusal:
            pass
        assert time.monotonic() - started < SLOW, text[:30]
