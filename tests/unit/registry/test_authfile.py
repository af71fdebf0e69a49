from __future__ import annotations

import base64
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from holdall.errors import InvalidInput
from holdall.registry.authfile import AuthFile
from holdall.registry.credential import Credential


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def file_with(path: Path, auths: dict[str, object], **more: object) -> AuthFile:
    target = path / "config.json"
    target.write_text(json.dumps({"auths": auths, **more}))
    return AuthFile(str(target))


@pytest.mark.parametrize(
    "key",
    ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "https://registry-1.docker.io/v2/"],
)
def test_docker_hub_has_many_names(tmp_path: Path, key: str) -> None:
    file = file_with(tmp_path, {key: {"auth": encoded("ann:secret")}})
    assert file.lookup("docker.io", "library/x") == Credential("ann", "secret")
    assert file.lookup("quay.io") is None


@pytest.mark.parametrize("key", ["reg.example:5000", "https://reg.example:5000", "http://reg.example:5000/v1/"])
def test_keys_may_be_urls(tmp_path: Path, key: str) -> None:
    file = file_with(tmp_path, {key: {"auth": encoded("ann:se:cret\0\0")}})
    assert file.lookup("reg.example:5000") == Credential("ann", "se:cret")
    assert file.lookup("reg.example") is None


def test_a_repository_of_containers_goes_before_its_registry(tmp_path: Path) -> None:
    entries: dict[str, object] = {
        name: {"auth": encoded(f"{name}:x")} for name in ("reg.io", "reg.io/team", "reg.io/team/app")
    }
    file = file_with(tmp_path, entries)
    assert [
        (file.lookup("reg.io", path) or Credential()).username for path in ("team/app", "team/other", "else", "")
    ] == ["reg.io/team/app", "reg.io/team", "reg.io", "reg.io"]


def test_a_repositorys_entry_says_nothing_of_the_registry(tmp_path: Path) -> None:
    assert file_with(tmp_path, {"reg.io/team": {"auth": encoded("a:b")}}).lookup("reg.io") is None


def test_other_forms(tmp_path: Path) -> None:
    file = file_with(
        tmp_path,
        {
            "a.io": {"username": "u", "password": "p"},
            "b.io": {"auth": encoded("u:"), "identitytoken": "idt"},
            "c.io": {"registrytoken": "rt"},
            "d.io": {},
            "e.io": {"auth": None},
        },
    )
    assert file.lookup("a.io") == Credential("u", "p")
    assert file.lookup("b.io") == Credential("u", "", "idt")
    assert file.lookup("c.io") == Credential(registry_token="rt")
    assert file.lookup("d.io") is None
    assert file.lookup("e.io") is None


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"auths": 1}', '{"auths": {"a.io": 1}}', '{"auths": {"a.io": {"auth": 1}}}']
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"config\.json"):
        AuthFile(str(tmp_path / "config.json")).lookup("a.io")


@pytest.mark.parametrize("auth", ["***", encoded("nocolon"), base64.b64encode(b"\xff:\xff").decode()])
def test_a_malformed_entry_asks_for_a_login(tmp_path: Path, auth: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        file_with(tmp_path, {"a.io": {"auth": auth}}).lookup("a.io")
    assert caught.value.hint == "log in again"


def test_no_file_and_an_empty_file_hold_nothing(tmp_path: Path) -> None:
    assert AuthFile(str(tmp_path / "none/config.json")).lookup("a.io") is None
    (tmp_path / "empty").write_text("\n")
    assert AuthFile(str(tmp_path / "empty")).lookup("a.io") is None


def test_writing_keeps_other_keys_and_the_mode_is_private(tmp_path: Path) -> None:
    file = file_with(
        tmp_path,
        {"other.io": {"auth": "eDp5"}, "https://a.io/v1/": {"auth": "eDp5"}},
        psFormat="table",
        proxies={"x": 1},
    )
    os.chmod(file.path, 0o644)
    file.update("a.io", Credential("ann", "secret"))
    text = Path(file.path).read_text()
    assert json.loads(text) == {
        "auths": {"other.io": {"auth": "eDp5"}, "a.io": {"auth": encoded("ann:secret")}},
        "psFormat": "table",
        "proxies": {"x": 1},
    }
    assert text.startswith('{\n\t"auths"')
    assert stat.S_IMODE(os.stat(file.path).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["config.json"]


def test_the_folder_is_made_private(tmp_path: Path) -> None:
    file = AuthFile(str(tmp_path / ".docker/config.json"))
    file.update("docker.io", Credential("ann", "secret"))
    assert stat.S_IMODE(os.stat(tmp_path / ".docker").st_mode) == 0o700
    assert list(json.loads(Path(file.path).read_text())["auths"]) == ["https://index.docker.io/v1/"]


def test_a_symlink_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "config.json").symlink_to("real/config.json")
    AuthFile(str(tmp_path / "config.json")).update("a.io", Credential("ann", "secret"))
    assert (tmp_path / "config.json").is_symlink()
    assert AuthFile(str(tmp_path / "real/config.json")).lookup("a.io") == Credential("ann", "secret")


def test_forgetting(tmp_path: Path) -> None:
    file = file_with(tmp_path, {"index.docker.io": {"auth": "eDp5"}, "https://index.docker.io/v1/": {"auth": "eDp5"}})
    assert file.update("docker.io", None)
    assert json.loads(Path(file.path).read_text()) == {"auths": {}}
    before = os.stat(file.path).st_ino
    assert not file.update("docker.io", None)
    assert os.stat(file.path).st_ino == before


def test_identity_tokens_are_written_as_docker_does(tmp_path: Path) -> None:
    file = AuthFile(str(tmp_path / "config.json"))
    file.update("a.io", Credential("ann", "", "idt"))
    assert file.lookup("a.io") == Credential("ann", "", "idt")
    file.update("a.io", Credential(identity_token="idt"))
    assert file.lookup("a.io") == Credential(identity_token="idt")


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    file = AuthFile(str(tmp_path / "config.json"))
    threads = [
        threading.Thread(target=file.update, args=(f"r{number}.io", Credential(f"u{number}", "p")))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads(Path(file.path).read_text())["auths"]) == 8


def test_a_giant_file_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "big", "wb") as stream:
        stream.truncate(64 << 20)
    from holdall.errors import LimitExceeded

    with pytest.raises(LimitExceeded):
        AuthFile(str(tmp_path / "big")).load()
