from __future__ import annotations

import pytest

from holdall.errors import InvalidReference
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference

HEX = "0123456789abcdef" * 4
DIGEST = "sha256:" + HEX


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("debian", "docker.io/library/debian:latest", "debian:latest"),
        ("debian:12", "docker.io/library/debian:12", "debian:12"),
        ("docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("index.docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("docker.io/library/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("library/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("user/app", "docker.io/user/app:latest", "user/app:latest"),
        ("ghcr.io/x/y:1", "ghcr.io/x/y:1", "ghcr.io/x/y:1"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost", "docker.io/library/localhost:latest", "localhost:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        (
            "127.0.0.1:5000/a/b_c.d-e__f---g",
            "127.0.0.1:5000/a/b_c.d-e__f---g:latest",
            "127.0.0.1:5000/a/b_c.d-e__f---g:latest",
        ),
        ("[2001:db8::1]:5000/repo", "[2001:db8::1]:5000/repo:latest", "[2001:db8::1]:5000/repo:latest"),
        ("[2001:db8::1]/repo", "[2001:db8::1]/repo:latest", "[2001:db8::1]/repo:latest"),
        ("MyHost/app", "MyHost/app:latest", "MyHost/app:latest"),
        (f"debian@{DIGEST}", f"docker.io/library/debian@{DIGEST}", f"debian@{DIGEST}"),
        (f"debian:12@{DIGEST}", f"docker.io/library/debian:12@{DIGEST}", f"debian:12@{DIGEST}"),
        ("a:" + "t" * 128, "docker.io/library/a:" + "t" * 128, "a:" + "t" * 128),
        ("x:_A.b-C", "docker.io/library/x:_A.b-C", "x:_A.b-C"),
        (HEX + ":latest", f"docker.io/library/{HEX}:latest", HEX + ":latest"),
        (HEX[:63], f"docker.io/library/{HEX[:63]}:latest", HEX[:63] + ":latest"),
        ("docker.io/foo.bar/baz", "docker.io/foo.bar/baz:latest", "docker.io/foo.bar/baz:latest"),
        ("docker.io/localhost/baz", "docker.io/localhost/baz:latest", "docker.io/localhost/baz:latest"),
        ("xn--n3h.com/x", "xn--n3h.com/x:latest", "xn--n3h.com/x:latest"),
        ("a.b/" + "p" * 255, "a.b/" + "p" * 255 + ":latest", "a.b/" + "p" * 255 + ":latest"),
    ],
)
def test_normalisation(text: str, full: str, familiar: str) -> None:
    parsed = Reference.parse(text)
    assert str(parsed) == full
    assert parsed.familiar() == familiar
    assert Reference.parse(full) == parsed
    assert Reference.parse(familiar) == parsed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (HEX, "image ID"),
        ("Debian", "lower case"),
        ("user/Debian", "lower case"),
        ("-x", "not a repository name"),
        ("x-", "not a repository name"),
        ("a//b", "not a repository name"),
        ("a..b", "not a repository name"),
        ("a___b", "not a repository name"),
        ("a/", "not a repository name"),
        ("/a", "not a repository name"),
        ("a b", "not a repository name"),
        ("a\n", "not a repository name"),
        ("a:latest\n", "not a tag"),
        ("é", "not a repository name"),
        ("aé/b", "not a repository name"),
        ("a:", "not a tag"),
        (":1", "not a repository name"),
        ("a:-x", "not a tag"),
        ("a:b/c:d", "not a registry host"),
        ("a:b:c", "not a tag"),
        ("a:" + "t" * 129, "not a tag"),
        ("https://docker.io/x", "not a registry host"),
        ("a@", "malformed"),
        ("a@sha256:12", "64 hex digits"),
        ("a@md5:" + "0" * 32, "unknown algorithm"),
        (f"a@{DIGEST}@{DIGEST}", "malformed"),
        ("a@sha256:" + HEX.upper(), "lower-case"),
        ("[::1/x", "not a registry host"),
        ("[fe80::1%eth0]:5000/x", "not a registry host"),
        ("host:port/x", "not a registry host"),
        ("-a.b/x", "not a registry host"),
        ("a_b.c/x", "not a registry host"),
        ("a.b/" + "p" * 256, "more than 255"),
        ("a" * 5000, "4096"),
    ],
)
def test_malformed_references_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidReference, match=reason) as caught:
        Reference.parse(text)
    assert caught.value.message.isprintable()


def test_parts() -> None:
    parsed = Reference.parse(f"localhost:5000/a/b:t@{DIGEST}")
    assert (parsed.domain, parsed.path, parsed.tag) == ("localhost:5000", "a/b", "t")
    assert parsed.digest == Digest.parse(DIGEST)
    assert parsed.name == "localhost:5000/a/b"
    assert Reference.parse("debian").familiar_name == "debian"


def test_a_digest_suppresses_the_default_tag() -> None:
    assert Reference.parse(f"debian@{DIGEST}").tag is None


def test_with_tag_and_digest() -> None:
    parsed = Reference.parse("debian")
    assert str(parsed.with_tag("12")) == "docker.io/library/debian:12"
    assert str(parsed.with_digest(Digest.parse(DIGEST))) == f"docker.io/library/debian@{DIGEST}"
    with pytest.raises(InvalidReference, match="invalid tag"):
        parsed.with_tag("a b")


def test_hostile_text_takes_no_time() -> None:
    for text in ("a-" * 2000, "a." * 2000 + "/", "-" * 4096, "a/" * 2048, "a" + "-" * 4000 + "/x", "a__" * 1300):
        with pytest.raises(InvalidReference):
            Reference.parse(text)
