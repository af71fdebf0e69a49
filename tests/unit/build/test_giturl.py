"""Addresses of repositories: which words are one, and what they ask for."""

from __future__ import annotations

import pytest

from holdall.build.giturl import GitAddress, beside, is_scp, parse
from holdall.errors import InvalidInput

URL = "https://github.com/a/b.git"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("word", "address"),
    [
        (URL, GitAddress(URL)),
        (f"{URL}#main", GitAddress(URL, "main")),
        (f"{URL}#x/y:sub/dir", GitAddress(URL, "x/y", "sub/dir")),
        (f"{URL}#:sub//./dir/", GitAddress(URL, "", "sub/dir")),
        (f"{URL}#:../../etc", GitAddress(URL, "", "etc")),
        (f"{URL}?branch=v1&subdir=docs", GitAddress(URL, "refs/heads/v1", "docs")),
        (f"{URL}?tag=v1&commit=abcd", GitAddress(URL, "refs/tags/v1", "", "abcd")),
        (f"{URL}?tag=refs/tags/v1", GitAddress(URL, "refs/tags/v1")),
        (f"{URL}?ref=x&submodules=false&keep-git-dir", GitAddress(URL, "x", keep_git_dir=True, submodules=False)),
        ("git@github.com:a/b.git#v2", GitAddress("git@github.com:a/b.git", "v2")),
        ("git@github.com:a/b?ref=v2", GitAddress("git@github.com:a/b", "v2")),
        ("ssh://git@h:22/x", GitAddress("ssh://git@h:22/x")),
        ("git://h/x#v", GitAddress("git://h/x", "v")),
        ("http://u:p@h/x.git", GitAddress("http://u:p@h/x.git")),
    ],
)
def test_what_an_address_asks_for(word: str, address: GitAddress) -> None:
    assert parse(word) == address


@pytest.mark.parametrize(
    "word",
    ["https://h/x.tar", "https://h/x.git/y", "./x.git", "../x", "x.git", "github.com/a/b", "file:///x.git", "a@b",
     "x y", "ext::sh -c x", "https://h/x#y.git", "user@-oProxyCommand=x:y"],
)  # fmt: skip
def test_what_is_none(word: str) -> None:
    assert parse(word) is None


def test_github_without_a_scheme_is_one_for_contexts_only() -> None:
    assert parse("github.com/a/b#v", bare=True) == GitAddress("https://github.com/a/b", "v")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("?ref=a&ref=b", "several"), ("?ref=", "no value"), ("?nothing=1", "unexpected"), ("?tag=a&branch=b", "a tag"),
        ("?ref=a#b", "two values"), ("?subdir=a#:b", "two values"), ("?submodules=perhaps", "invalid"),
        ("?commit=xyz", "no commit"), ("?checksum=ab&commit=cd", "two commits"), ("#-upload-pack=x", "no ref"),
        ("?mtime=now", "mtime"), ("#a\nb", "no address"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(query: str, word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        parse(URL + query)


def test_a_fixed_commit_and_what_is_shown() -> None:
    found = parse(f"https://user:hush@h/x.git#{COMMIT}")
    assert found is not None
    assert found.is_fixed
    assert found.shown == "https://h/x.git"
    assert not GitAddress(URL, COMMIT[:7]).is_fixed


@pytest.mark.parametrize(
    ("remote", "url", "whole"),
    [
        (URL, "../c.git", "https://github.com/a/c.git"),
        (URL, "./c.git", "https://github.com/a/b.git/c.git"),
        (URL, "https://h/z.git", "https://h/z.git"),
        ("git@h:a/b.git", "../../c/d.git", "git@h:c/d.git"),
        ("ssh://h/a/b", "../c", "ssh://h/a/c"),
    ],
)
def test_addresses_of_submodules(remote: str, url: str, whole: str) -> None:
    assert beside(remote, url) == whole


def test_a_submodule_does_not_climb_above_its_host() -> None:
    with pytest.raises(InvalidInput, match="leaves the host"):
        beside(URL, "../../../../evil")


def test_forms_without_a_scheme() -> None:
    assert is_scp("git@h:x")
    assert not is_scp("git@-h:x")
    assert not is_scp("/local/path")
