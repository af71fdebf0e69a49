from __future__ import annotations

import base64
import ctypes
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.oci.digest import Digest
from holdall.registry.server import accessfile
from holdall.registry.server.access import Access
from holdall.testing.served import manifest

if TYPE_CHECKING:
    from holdall.testing.served import Server

RULES = """
htpasswd = "users"
anonymous = ["pull"]
[[rule]]
repositories = ["team/*"]
users = ["alice"]
actions = ["push", "delete"]
[[rule]]
repositories = ["team/*"]
users = ["bob"]
actions = ["push"]
"""


def hashed(password: str) -> str:
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    found: bytes = library.crypt(password.encode(), b"$2b$04$abcdefghijklmnopqrstuu")
    return found.decode()


def login(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


ALICE, BOB = login("alice", "alice's"), login("bob", "bob's")


@pytest.fixture
def access(tmp_path: Path) -> Access:
    (tmp_path / "users").write_text(
        f"alice:{hashed(chr(97) + 'lice' + chr(39) + 's')}\nbob:{hashed('bob' + chr(39) + 's')}\n"
    )
    (tmp_path / "access.toml").write_text(RULES)
    return Access(access=str(tmp_path / "access.toml"))


async def test_the_door_says_how_to_log_in(server: Server) -> None:
    answer = await server.ask("GET", "/v2/")
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert (await server.ask("GET", "/v2/", headers=ALICE)).status == 200
    assert (await server.ask("GET", "/v2/", headers=ALICE)).status == 200


@pytest.mark.parametrize(
    "header",
    ["Basic !", "Bearer x", "Basic " + base64.b64encode(b"alice:wrong").decode(), "Basic /w==", "Basic " + "A" * 5000],
)
async def test_wrong_credentials_are_401_everywhere(server: Server, header: str) -> None:
    for path in ("/v2/", "/v2/a/tags/list", "/metrics"):
        answer = await server.ask("GET", path, headers={"Authorization": header})
        assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])


async def test_rules_decide_by_repository_and_action(server: Server) -> None:
    path = "/v2/team/app/blobs/uploads/"
    assert (await server.ask("POST", path)).status == 401
    assert (await server.ask("POST", path, headers=login("", ""))).status == 401
    assert (await server.ask("POST", "/v2/other/blobs/uploads/", headers=ALICE)).codes == ["DENIED"]
    assert (await server.ask("POST", "/v2/team/a/b/blobs/uploads/", headers=ALICE)).status == 403
    data = b"{}"
    answer = await server.ask("POST", f"{path}?digest={Digest.of(data)}", data, BOB)
    assert answer.status == 201
    raw = manifest(Digest.of(data), 2)
    assert (await server.ask("PUT", "/v2/team/app/manifests/1", raw, BOB)).status == 201
    assert (await server.ask("GET", "/v2/team/app/manifests/1")).status == 200
    assert (await server.ask("DELETE", "/v2/team/app/manifests/1", headers=BOB)).status == 403
    assert (await server.ask("DELETE", "/v2/team/app/manifests/1", headers=ALICE)).status == 202


async def test_a_mount_needs_the_right_to_pull_from_the_source(server: Server, tmp_path: Path) -> None:
    data = b"{}"
    await server.ask("POST", f"/v2/team/app/blobs/uploads/?digest={Digest.of(data)}", data, ALICE)
    (tmp_path / "access.toml").write_text(RULES.replace('anonymous = ["pull"]', ""))
    server.app.access._next_look = 0
    for query in (f"?mount={Digest.of(data)}&from=team/app", f"?mount={Digest.of(data)}"):
        assert (await server.ask("POST", f"/v2/team/x/blobs/uploads/{query}", headers=ALICE)).status == 202


async def test_the_catalog_lists_what_may_be_pulled(server: Server, tmp_path: Path) -> None:
    data = b"{}"
    for name in ("team/a", "team/b"):
        await server.ask("POST", f"/v2/{name}/blobs/uploads/?digest={Digest.of(data)}", data, ALICE)
        await server.ask("PUT", f"/v2/{name}/manifests/1", manifest(Digest.of(data), 2), ALICE)
    assert (await server.ask("GET", "/v2/_catalog")).json == {"repositories": ["team/a", "team/b"]}
    rule = '\n[[rule]]\nrepositories = ["team/b"]\nusers = ["bob"]\nactions = ["pull"]\n'
    (tmp_path / "access.toml").write_text(RULES.replace('anonymous = ["pull"]', "") + rule)
    server.app.access._next_look = 0
    assert (await server.ask("GET", "/v2/_catalog")).json == {"repositories": []}
    assert (await server.ask("GET", "/v2/_catalog", headers=BOB)).json == {"repositories": ["team/b"]}


async def test_files_are_read_again_and_mistakes_in_them_change_nothing(server: Server, tmp_path: Path) -> None:
    assert (await server.ask("GET", "/v2/", headers=BOB)).status == 200
    (tmp_path / "users").write_text(f"alice:{hashed('new')}\n")
    server.app.access._next_look = 0
    assert (await server.ask("GET", "/v2/", headers=BOB)).status == 401
    assert (await server.ask("GET", "/v2/", headers=ALICE)).status == 401
    assert (await server.ask("GET", "/v2/", headers=login("alice", "new"))).status == 200
    (tmp_path / "access.toml").write_text("nonsense = 1")
    server.app.access._next_look = 0
    assert (await server.ask("GET", "/v2/", headers=login("alice", "new"))).status == 200
    os.unlink(tmp_path / "users")
    server.app.access._next_look = 0
    assert (await server.ask("GET", "/v2/", headers=login("alice", "new"))).status == 200
    server.app.log.flush()
    assert "stay as they were" in (tmp_path / "access.log").read_text()


async def test_health_is_for_everybody_and_metrics_for_users(server: Server) -> None:
    assert (await server.ask("GET", "/healthz")).status == 200
    assert (await server.ask("GET", "/readyz")).status == 200
    assert (await server.ask("GET", "/metrics")).status == 401
    assert (await server.ask("GET", "/metrics", headers=BOB)).status == 200


async def test_refusals_are_audited_with_the_user(server: Server, tmp_path: Path) -> None:
    await server.ask("POST", "/v2/other/blobs/uploads/", headers=BOB)
    (line,) = (tmp_path / "audit.log").read_text().splitlines()
    assert (json.loads(line)["user"], json.loads(line)["status"], json.loads(line)["error"]) == ("bob", 403, "DENIED")


async def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.toml"
    path.write_text('anonymous = ["pull"]\n')
    really = accessfile.read

    def read(name: str) -> accessfile.AccessFile:
        found = really(name)
        monkeypatch.undo()
        path.write_text('anonymous = ["pull", "push"]\n')
        return found

    monkeypatch.setattr(accessfile, "read", read)
    access = Access(access=str(path))
    assert access.people is not None
    assert not access.people.rules.allow("", "push", "a")
    await access.reload(pytest.fail)
    assert access.people.rules.allow("", "push", "a")
