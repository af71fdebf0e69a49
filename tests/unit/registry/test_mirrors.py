from __future__ import annotations

from pathlib import Path

import pytest

from holdall.errors import InvalidInput
from holdall.registry.endpoint import Endpoint, origin
from holdall.registry.mirrors import endpoints, load, parse
from holdall.registry.options import Options

TEXT = """
[mirror."docker.io"]
endpoints = ["https://mirror.example/hub", "10.0.0.1:5000"]
insecure = true

[mirror."ghcr.io"]
blocked = true
"""


def options(path: Path, text: str = TEXT, **more: object) -> Options:
    file = path / "registries.toml"
    file.write_text(text)
    return Options(mirrors=str(file), environ={"HOME": str(path)}, **more)  # type: ignore[arg-type]


def test_mirrors_come_before_the_registry(tmp_path: Path) -> None:
    assert endpoints("docker.io", options(tmp_path)) == (
        Endpoint("docker.io", "mirror.example", "https", "hub", True),
        Endpoint("docker.io", "10.0.0.1:5000", "", "", True),
        origin("docker.io"),
    )


def test_insecure_mirrors_do_not_make_the_registry_insecure(tmp_path: Path) -> None:
    assert not endpoints("docker.io", options(tmp_path))[-1].insecure
    assert endpoints("docker.io", options(tmp_path, tls_verify=False))[-1].insecure


def test_pushes_go_to_the_registry(tmp_path: Path) -> None:
    assert endpoints("docker.io", options(tmp_path), write=True) == (origin("docker.io"),)


def test_blocked_registries_are_never_asked(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="blocked"):
        endpoints("ghcr.io", options(tmp_path))
    mirrored = '[mirror."ghcr.io"]\nblocked = true\nendpoints = ["m"]\n'
    assert endpoints("ghcr.io", options(tmp_path, mirrored)) == (Endpoint("ghcr.io", "m"),)
    with pytest.raises(InvalidInput, match="blocked"):
        endpoints("ghcr.io", options(tmp_path, mirrored), write=True)


def test_other_registries_are_as_ever(tmp_path: Path) -> None:
    assert endpoints("quay.io", options(tmp_path)) == (origin("quay.io"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1", 'unknown key "x" in the file'),
        ('[mirror."a.b"]\nendpoint = []', 'unknown key "endpoint"'),
        ('[mirror."a.b"]\nendpoints = "m"', '"endpoints" must be a list'),
        ('[mirror."a.b"]\nendpoints = [1]', "strings"),
        ('[mirror."a.b"]\ninsecure = 1', '"insecure" must be a boolean'),
        ('[mirror."a.b"]\nendpoints = ["ftp://x"]', "is not an endpoint"),
        ('[mirror."index.docker.io"]', "is not a registry as references name it"),
        ('[mirror."a/b"]', "is not a registry as references name it"),
        ("mirror = 3", "must be a table"),
        ('mirror."a.b" = 3', "must be a table"),
        ("[mirror", "registries.toml"),
    ],
)
def test_refuses_what_it_does_not_know_by_name(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=r"registries\.toml") as caught:
        load(options(tmp_path, text))
    assert reason in str(caught.value)


def test_the_users_file_replaces_tables_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, user = tmp_path / "system.toml", tmp_path / "config/holdall/registries.toml"
    user.parent.mkdir(parents=True)
    system.write_text(TEXT)
    user.write_text('[mirror."docker.io"]\nendpoints = ["mine"]\n')
    monkeypatch.setattr("holdall.registry.mirrors.SYSTEM_FILE", str(system))
    found = load(Options(environ={"XDG_CONFIG_HOME": str(tmp_path / "config")}))
    assert [one.host for one in found["docker.io"].endpoints] == ["mine"]
    assert found["ghcr.io"].blocked
    monkeypatch.setattr("holdall.registry.mirrors.SYSTEM_FILE", str(tmp_path / "none"))
    assert load(Options(environ={"HOME": str(tmp_path / "nobody")})) == {}


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    for chosen in (
        Options(mirrors=str(tmp_path / "no"), environ={}),
        Options(environ={"HOLDALL_CONFIG": str(tmp_path / "no")}),
    ):
        with pytest.raises(InvalidInput, match="cannot read"):
            load(chosen)


def test_an_empty_file_is_fine() -> None:
    assert parse("") == {}
