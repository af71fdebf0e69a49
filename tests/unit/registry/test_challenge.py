from __future__ import annotations

import pytest

from holdall.registry.challenge import MAX_CHALLENGES, MAX_HEADER, MAX_PARAMETERS, Challenge, parse


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("Basic", [("basic", {})]),
        ('Basic realm="simple"', [("basic", {"realm": "simple"})]),
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ("Bearer realm=token , ERROR = invalid", [("bearer", {"realm": "token", "error": "invalid"})]),
        ('Basic realm="x", Bearer realm="y"', [("basic", {"realm": "x"}), ("bearer", {"realm": "y"})]),
        ("Negotiate, NTLM", [("negotiate", {}), ("ntlm", {})]),
        ("Negotiate YWJj==, Basic realm=b", [("negotiate", {}), ("basic", {"realm": "b"})]),
        (r'Basic realm="say \"hi\" \\ there"', [("basic", {"realm": r'say "hi" \ there'})]),
        ('Basic realm="a, Bearer realm=b"', [("basic", {"realm": "a, Bearer realm=b"})]),
        ('Bearer realm="first", realm="second"', [("bearer", {"realm": "first"})]),
        ('  , ,Basic realm="x" ,, ', [("basic", {"realm": "x"})]),
        ('Bearer realm="open', [("bearer", {})]),
        ("", []),
        ('"quoted"', []),
    ],
)
def test_reads_rfc_9110_challenges(header: str, wanted: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.scheme, dict(one.parameters)) for one in parse([header])] == wanted


def test_takes_several_headers_in_order() -> None:
    assert [one.scheme for one in parse(["Basic realm=a", "Bearer realm=b"])] == ["basic", "bearer"]


def test_is_bounded() -> None:
    assert parse(["Basic " + "x" * MAX_HEADER]) == ()
    assert len(parse([", ".join(["Basic"] * 100)])) == MAX_CHALLENGES
    many = "Basic " + ", ".join(f"p{number}=x" for number in range(100))
    assert len(parse([many])[0].parameters) == MAX_PARAMETERS


def test_challenges_are_values() -> None:
    assert hash(Challenge("basic", {"a": "b"})) == hash(Challenge("basic", {"a": "b"}))
