from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from holdall.errors import InvalidInput
from holdall.registry.server.mirror.settings import Mirrors, parse, read
from holdall.registry.server.refusal import Refusal


def mirrors(text: str) -> Mirrors:
    return parse(tomllib.loads(text), "/etc/mirrors.toml")


MANY = """
[mirror."docker.io"]
also = ["library/*", "team/**"]
upstream = "https://registry-1.docker.io"
[mirror.ghcr]
upstream = "https://ghcr.io/proxy"
[mirror."ghcr/inner"]
upstream = "10.0.0.1:5000"
insecure = true
"""


@pytest.mark.parametrize(
    ("name", "ns", "repository", "path"),
    [
        ("docker.io/library/debian", "", "docker.io/library/debian", "library/debian"),
        ("docker.io/debian", "", "docker.io/library/debian", "library/debian"),
        ("debian", "docker.io", "docker.io/library/debian", "library/debian"),
        ("library/debian", "Docker.IO", "docker.io/library/debian", "library/debian"),
        ("docker.io/library/debian", "docker.io", "docker.io/library/debian", "library/debian"),
        ("a/b", "registry-1.docker.io", "docker.io/a/b", "a/b"),
        ("library/debian", "", "docker.io/library/debian", "library/debian"),
        ("team/a/b", "", "docker.io/team/a/b", "team/a/b"),
        ("ghcr/a", "", "ghcr/a", "a"),
        ("ghcr/inner/a", "", "ghcr/inner/a", "a"),
        ("a", "10.0.0.1:5000", "ghcr/inner/a", "a"),
    ],
)
def test_names_find_their_upstream(name: str, ns: str, repository: str, path: str) -> None:
    target = mirrors(MANY).find(name, ns)
    assert target is not None
    assert (target.repository, target.path) == (repository, path)


@pytest.mark.parametrize("name", ["docker.io", "other/app", "ghcr", "library/a/b", "xdocker.io/a"])
def test_other_names_are_of_this_registry(name: str) -> None:
    assert mirrors(MANY).find(name) is None


def test_a_registry_that_is_not_mirrored_is_refused_by_name() -> None:
    with pytest.raises(Refusal) as caught:
        mirrors(MANY).find("a/b", "quay.io")
    assert caught.value.status == 404
    with pytest.raises(Refusal):
        mirrors(MANY).find("a/b", "ghcr.io")  # only a part of it is mirrored
    with pytest.raises(Refusal) as caught:
        mirrors(MANY).find("a" * 250, "docker.io")
    assert caught.value.code == "NAME_INVALID"


def test_all_settings(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("p:w\n")
    (tmp_path / "mirrors.toml").write_text(
        '[mirror.x]\nupstream = "http://h:1/p/q"\nns = ["A.example"]\nuser = "u"\npassword_file = "secret"\n'
        'cert_dir = "certs"\nfresh = "1h"\nunknown = 5\npatience = 0.5\ntimeout = "2m"\npush = true\n'
    )
    found = read(str(tmp_path / "mirrors.toml"))
    (one,) = found.mirrors
    assert (one.upstream.host, one.upstream.scheme, one.upstream.prefix) == ("h:1", "http", "p/q")
    assert one.names == ("a.example",)
    assert one.credential is not None
    assert (one.credential.username, one.credential.password) == ("u", "p:w")
    assert one.cert_dir == str(tmp_path / "certs")
    assert (one.fresh, one.unknown, one.patience, one.timeout, one.push) == (3_600, 5, 0.5, 120, True)
    assert found.files == (str(tmp_path / "mirrors.toml"), str(tmp_path / "secret"))
    assert one.has("x/y")
    assert not one.has("xy")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[mirrors]", "is not known"),
        ("[mirror.x]\nurl = 1", "is not known"),
        ('[mirror."A/B"]', "cannot begin"),
        ('[mirror.x]\nupstream = "ftp://x"', "not an endpoint"),
        ('[mirror.x]\nuser = "u"', "both a user and a password"),
        ('[mirror.x]\nuser = "u"\npassword = "p"\npassword_file = "f"', "exclude each other"),
        ('[mirror.x]\nfresh = "soon"', "is no time"),
        ("[mirror.x]\ntimeout = 0", "at least"),
        ('[mirror.x]\nns = ["h"]\n[mirror.y]\nns = ["h"]', 'both "h"'),
        ("mirror = 1", "must be an object"),
    ],
)
def test_mistakes_are_refused(text: str, part: str) -> None:
    with pytest.raises(InvalidInput, match=part):
        mirrors(text)


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match="not valid toml"):
        read(str(tmp_path / "m"))
    (tmp_path / "m").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(InvalidInput, match="more than"):
        read(str(tmp_path / "m"))
