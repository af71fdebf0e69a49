"""Fuzzers of everything a registry says in a header or a challenge: no crash, no slow parse, no wild value."""

from __future__ import annotations

import os
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdall.errors import HoldallError
from holdall.registry import challenge, failures, headers
from holdall.registry.auth import Authenticator, Scope, TokenReply
from holdall.registry.challenge import Challenge
from holdall.registry.credential import Credential
from holdall.registry.transport import follow

ROUNDS = 20_000 if os.environ.get("HOLDALL_SOAK") == "1" else 200
SLOW = 0.5

bounded = settings(
    max_examples=ROUNDS, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
pieces = st.lists(
    st.sampled_from(
        ["Bearer", "Basic", "realm", "service", "=", '"', ",", " ", "\\", "\t", "x", "https://a/b", ";", "<", ">",
         "rel", "next", "bytes", "0-", "9" * 30, "-", "/", "*", "\x00", "ä", "scope", "repository:a:pull",
         "%", "==", "'"]
    ),
    max_size=60,
).map("".join)  # fmt: skip
texts = st.one_of(pieces, st.text(max_size=300))
names = st.text(st.sampled_from("abcdefXYZ-_!~"), min_size=1, max_size=10)


@bounded
@given(st.lists(texts, max_size=4))
def test_challenges_are_bounded(given_headers: list[str]) -> None:
    found = challenge.parse(given_headers)
    assert len(found) <= challenge.MAX_CHALLENGES
    for one in found:
        assert one.scheme == one.scheme.lower()
        assert len(one.parameters) <= challenge.MAX_PARAMETERS


@bounded
@given(st.lists(st.tuples(names, st.dictionaries(names, st.text(max_size=30), max_size=5)), min_size=1, max_size=4))
def test_challenges_round_trip(wanted: list[tuple[str, dict[str, str]]]) -> None:
    """Whatever a correct server writes is read back, quotes and backslashes included."""
    wanted = [(scheme.lower(), {key.lower(): value for key, value in pairs.items()}) for scheme, pairs in wanted]
    wanted = [(scheme, {k: v for k, v in pairs.items() if "\n" not in v and "\r" not in v}) for scheme, pairs in wanted]
    written = ", ".join(
        f"{scheme} "
        + ", ".join('{}="{}"'.format(k, v.replace("\\", r"\\").replace('"', r"\"")) for k, v in pairs.items())
        for scheme, pairs in wanted
    )
    assert [(one.scheme, dict(one.parameters)) for one in challenge.parse([written])] == wanted


@bounded
@given(texts)
def test_headers_never_give_a_wild_value(text: str) -> None:
    content = headers.ContentRange.parse(text)
    assert content is None or 0 <= content.first <= content.last
    assert (headers.upload_offset(text) or 0) >= 0
    wait = headers.retry_after(text, 1_700_000_000.0)
    assert wait is None or 0 <= wait < 1e12
    target = headers.next_link(text)
    assert target is None or target in text


@bounded
@given(texts)
def test_locations_lead_to_http_or_nowhere(location: str) -> None:
    try:
        url = follow("https://registry.example/v2/a/blobs/uploads/", location)
    except HoldallError:
        return
    assert url.startswith("https://")
    assert url.isascii()
    assert url.isprintable()


@bounded
@given(st.binary(max_size=300), st.integers(100, 599))
def test_error_bodies_make_printable_messages(body: bytes, status: int) -> None:
    err = failures.from_answer(status, body, "registry.example")
    assert err.message.isascii()
    assert err.message.isprintable()


@bounded
@given(texts, texts, st.binary(max_size=200), st.sampled_from([200, 200, 401, 500]))
def test_token_flows_end(realm: str, scope: str, body: bytes, status: int) -> None:
    auth = Authenticator("reg", Credential("ann", "secret"), secure=True)
    flow = auth.answer((Challenge("bearer", {"realm": realm, "scope": scope}),), (Scope("a", ("pull",)),))
    header = "Bearer "
    try:
        request = next(flow)
        assert request.url.startswith("https://")
        flow.send(TokenReply(status, body))
    except StopIteration as end:
        header = end.value
    except HoldallError:
        pass
    assert header.startswith("Bearer ")


def test_nothing_is_slow_to_parse() -> None:
    nasty = [
        'Bearer realm="' + "\\" * 16_000,
        "Basic " + "a," * 8_000,
        "Basic " + "a=" * 8_000,
        " ," * 8_000,
        "Basic " + "a=b " * 4_000,
        "<" * 16_000,
        "</x>" + "; a" * 5_000,
        "</x>; rel=" + '"' + "next" * 4_000,
        "</x>" + "; rel = " + " " * 16_000,
        "bytes " + " " * 16_000,
        "0-" + "9" * 16_000,
    ]
    for text in nasty:
        started = time.monotonic()
        challenge.parse([text])
        headers.next_link(text)
        headers.ContentRange.parse(text)
        headers.upload_offset(text)
        headers.retry_after(text, 0.0)
        assert time.monotonic() - started < SLOW, text[:30]
