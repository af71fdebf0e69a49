"""Values that look like secrets."""

from __future__ import annotations

import pytest

from holdall.build.token_shapes import notices, shape
from holdall.dockerfile import stages


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("AKIA" + "A1" * 8, "a key of AWS"),
        ("x ghp_" + "a1" * 18, "a token of GitHub"),
        ("glpat-" + "a" * 20, "a token of GitLab"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "a private key"),
        ("https://me:pass@host/x", "an address with a password"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc", "a signed token"),
        ("https://host:8080/a@b", ""),
        ("https://$USER:$PASS@host", ""),
        ("1.2.3", ""),
        ("", ""),
    ],
)
def test_shapes(value: str, what: str) -> None:
    assert shape(value) == what


def test_build_arguments_and_lines_are_looked_at_and_no_value_is_told() -> None:
    token = "ghp_" + "a1" * 18
    text = f"ARG A={token}\nFROM x\nENV B=1 C={token}\nARG D\n".encode()
    found = notices(stages.read(text, "Dockerfile"), {"D": token, "HTTP_PROXY": "http://a:b@c", "E": "plain"})
    assert [(one.line, one.message.partition(" looks")[0]) for one in found] == [
        (0, 'the build argument "D"'), (1, 'the value of "A"'), (3, 'the value of "C"'),
    ]  # fmt: skip
    assert all(token not in one.message for one in found)
