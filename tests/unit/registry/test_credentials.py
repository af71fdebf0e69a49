from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from holdall.errors import InvalidInput
from holdall.registry.credential import Credential, Fixed
from holdall.registry.credentials import Given, Keychain
from holdall.registry.login import logout

ANN = Credential("ann", "secret")
BOB = Credential("bob", "word")


def entry(credential: Credential) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()}


def write(path: Path, tree: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree))
    return str(path)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """A home with a helper "mem" that knows bob at helped.io and keeps what it is told in a file."""
    program = tmp_path / "bin/docker-credential-mem"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\nread -r server\n"
        'case "$1 $server" in\n'
        '"get helped.io") echo \'{"Username": "bob", "Secret": "word"}\' ;;\n'
        '"get "*) echo credentials not found in native keychain; exit 1 ;;\n'
        '*) echo "$1 $server" >> "$HOME/log" ;;\n'
        "esac\n"
    )
    program.chmod(0o755)
    return {"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "XDG_RUNTIME_DIR": f"{tmp_path}/run"}


def test_files_in_order(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / ".docker/config.json", {"auths": {"a.io": entry(ANN)}})
    write(tmp_path / "run/containers/auth.json", {"auths": {"a.io": entry(BOB), "b.io": entry(BOB)}})
    write(tmp_path / ".config/containers/auth.json", {"auths": {"c.io/team": entry(ANN)}})
    keychain = Keychain.default(home)
    assert keychain.lookup("a.io") == ANN
    assert keychain.lookup("b.io") == BOB
    assert keychain.lookup("c.io", "team/app") == ANN
    assert keychain.lookup("c.io", "other/app") is None


def test_the_environment_moves_them(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "d/config.json", {"auths": {"a.io": entry(ANN)}})
    auth = write(tmp_path / "elsewhere.json", {"auths": {"b.io": entry(BOB)}})
    keychain = Keychain.default({**home, "DOCKER_CONFIG": f"{tmp_path}/d", "REGISTRY_AUTH_FILE": auth})
    assert (keychain.lookup("a.io"), keychain.lookup("b.io")) == (ANN, BOB)


def test_a_helper_for_one_registry_and_one_for_all(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / ".docker/config.json", {"credHelpers": {"helped.io": "mem", "docker.io": "gone"}})
    assert Keychain.default(home).lookup("helped.io") == BOB
    assert Keychain.default(home).lookup("other.io") is None
    with pytest.raises(InvalidInput, match="docker-credential-gone"):
        Keychain.default(home).lookup("docker.io")
    write(tmp_path / ".docker/config.json", {"credsStore": "mem", "auths": {"a.io": entry(ANN)}})
    assert Keychain.default(home).lookup("helped.io") == BOB
    assert Keychain.default(home).lookup("a.io") == ANN


def test_storing_in_the_clear_warns(home: dict[str, str]) -> None:
    keychain = Keychain.default(home)
    assert "unencrypted" in keychain.store("a.io", ANN)
    assert keychain.lookup("a.io") == ANN
    assert keychain.erase("a.io")
    assert not keychain.erase("a.io")
    assert keychain.lookup("a.io") is None


def test_a_helper_keeps_the_secret_out_of_the_file(home: dict[str, str], tmp_path: Path) -> None:
    file = write(tmp_path / ".docker/config.json", {"credsStore": "mem", "auths": {"a.io": entry(ANN)}})
    assert Keychain.default(home).store("a.io", ANN) == ""
    assert json.loads(Path(file).read_text()) == {"auths": {"a.io": {}}, "credsStore": "mem"}
    assert '"Secret": "secret"' in (tmp_path / "log").read_text()
    assert Keychain.default(home).erase("a.io")
    assert "erase a.io" in (tmp_path / "log").read_text()
    assert Keychain.default(home).erase("helped.io")


def test_logout_takes_any_spelling(home: dict[str, str]) -> None:
    Keychain.default(home).store("docker.io", ANN)
    assert logout("https://index.docker.io/v1/", environ=home)
    assert not logout("", environ=home)


def test_a_fixed_credential() -> None:
    assert Fixed(ANN).lookup("any.io") == ANN
    assert Fixed(ANN, "one.io").lookup("any.io") is None


def test_credentials_that_were_given_come_before_the_stored_ones() -> None:
    entries = {("r", ""): Credential("all", "x"), ("r", "a/b"): Credential("one", "x")}
    given = Given(entries, Fixed(Credential("stored", "x")))
    names = [(given.lookup(*key) or Credential()).username for key in (("r", "a/b"), ("r", "c"), ("other", "a/b"))]
    assert names == ["one", "all", "stored"]
