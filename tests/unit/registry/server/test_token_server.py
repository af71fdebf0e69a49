from __future__ import annotations

import base64
import ctypes
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import jwt
import pytest

from holdall.oci.digest import Digest
from holdall.registry import challenge
from holdall.registry.server import robots, signing
from holdall.registry.server.access import Access
from holdall.registry.server.documents import change
from holdall.registry.server.token_settings import KEYS
from holdall.testing.served import manifest, served

if TYPE_CHECKING:
    from holdall.testing.served import Answer, Server

RULES = """
htpasswd = "users"
anonymous = ["pull"]
tokens = true
[[rule]]
repositories = ["team/*"]
users = ["alice"]
actions = ["push", "delete"]
[[rule]]
repositories = ["secret/**"]
users = ["bob"]
actions = ["push"]
"""
DATA = b"{}"
BLOB = Digest.of(DATA)


def hashed(password: str) -> str:
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    found: bytes = library.crypt(password.encode(), b"$2b$04$abcdefghijklmnopqrstuu")
    return found.decode()


def login(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


ALICE, BOB = login("alice", "a"), login("bob", "b")


@pytest.fixture
def access(tmp_path: Path) -> Access:
    (tmp_path / "users").write_text(f"alice:{hashed('a')}\nbob:{hashed('b')}\n")
    (tmp_path / "access.toml").write_text(RULES)
    return Access(access=str(tmp_path / "access.toml"))


def look_again(server: Server) -> None:
    server.app.access._next_look = 0


def challenged(answer: Answer) -> dict[str, str]:
    (one,) = challenge.parse([answer.headers["WWW-Authenticate"]])
    assert one.scheme == "bearer"
    return dict(one.parameters)


async def token(server: Server, *wanted: str, headers: dict[str, str] | None = None, **more: str) -> dict[str, str]:
    query = urlencode([("service", "holdall"), *(("scope", one) for one in wanted), *more.items()])
    answer = await server.ask("GET", f"/token?{query}", headers=headers)
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.json
    assert found["token"] == found["access_token"]
    return {"Authorization": f"Bearer {found['token']}"}


def granted(header: dict[str, str]) -> dict[str, list[str]]:
    claims = jwt.decode(header["Authorization"].split()[1], options={"verify_signature": False})
    return {one["name"]: one["actions"] for one in claims["access"]}


async def form(server: Server, **fields: str) -> Answer:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return await server.ask("POST", "/token", urlencode(fields).encode(), kind)


async def test_the_door_names_the_token_server_and_what_a_token_must_be_for(server: Server) -> None:
    found = challenged(await server.ask("GET", "/v2/"))
    assert found == {"realm": f"{server.url}/token", "service": "holdall"}
    found = challenged(await server.ask("POST", "/v2/team/a/blobs/uploads/?mount=x&from=other"))
    assert found["scope"] == "repository:team/a:pull,push repository:other:pull"
    assert "error" not in found
    found = challenged(await server.ask("DELETE", "/v2/team/a/manifests/1"))
    assert found["scope"] == "repository:team/a:delete"


async def test_a_token_lets_in_for_what_it_is_for(server: Server) -> None:
    alice = await token(server, "repository:team/a:pull,push", headers=ALICE)
    assert granted(alice) == {"team/a": ["pull", "push"]}
    path = f"/v2/team/a/blobs/uploads/?digest={BLOB}"
    assert (await server.ask("POST", path, DATA, alice)).status == 201
    assert (await server.ask("PUT", "/v2/team/a/manifests/1", manifest(BLOB, 2), alice)).status == 201
    answer = await server.ask("DELETE", "/v2/team/a/manifests/1", headers=alice)
    assert (answer.status, challenged(answer)["error"]) == (401, "insufficient_scope")
    assert challenged(answer)["scope"] == "repository:team/a:delete"
    again = await token(server, challenged(answer)["scope"], headers=ALICE)
    assert (await server.ask("DELETE", "/v2/team/a/manifests/1", headers=again)).status == 202
    # what alice may not do, no token will let her do
    answer = await server.ask("POST", "/v2/secret/a/blobs/uploads/", headers=alice)
    assert (answer.status, answer.codes) == (403, ["DENIED"])
    assert granted(await token(server, "repository:secret/a:pull,push", headers=ALICE)) == {"secret/a": ["pull"]}


async def test_nobody_in_particular_gets_tokens_for_what_everybody_may(server: Server) -> None:
    anybody = await token(server, "repository:team/a:pull,push")
    assert granted(anybody) == {"team/a": ["pull"]}
    assert (await server.ask("GET", "/v2/", headers=anybody)).status == 200
    assert (await server.ask("GET", "/v2/team/a/tags/list", headers=anybody)).status == 404
    answer = await server.ask("POST", "/v2/team/a/blobs/uploads/", headers=anybody)
    assert (answer.status, challenged(answer)["error"]) == (401, "insufficient_scope")
    assert (await server.ask("GET", "/metrics", headers=anybody)).status == 401
    # what everybody may needs no token
    assert (await server.ask("GET", "/v2/team/a/tags/list")).status == 404


async def test_basic_goes_on_working(server: Server) -> None:
    assert (await server.ask("GET", "/v2/", headers=ALICE)).status == 200
    path = f"/v2/team/a/blobs/uploads/?digest={BLOB}"
    assert (await server.ask("POST", path, DATA, ALICE)).status == 201
    assert (await server.ask("GET", "/metrics", headers=ALICE)).status == 200
    answer = await server.ask("GET", "/v2/", headers=login("alice", "x"))
    assert (answer.status, "error" in challenged(answer)) == (401, False)


async def test_wrong_credentials_get_no_token(server: Server) -> None:
    for headers in (login("alice", "x"), login("x", "a"), {"Authorization": "Bearer x"}, {"Authorization": "Basic !"}):
        answer = await server.ask("GET", "/token?service=holdall", headers=headers)
        assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert (await form(server, grant_type="password", username="alice", password="x")).status == 401


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Bearer " + "x" * 9000, "bearer é", "Digest x", "Negotiate"],
)
async def test_what_is_no_token_is_401(server: Server, header: str) -> None:
    for path in ("/v2/", "/v2/team/a/tags/list", "/metrics", "/v2/_catalog"):
        answer = await server.ask("GET", path, headers={"Authorization": header})
        assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])


async def test_the_oauth2_form(server: Server) -> None:
    answer = await form(
        server, grant_type="password", username="alice", password="a", service="holdall", client_id="test",
        scope="repository:team/a:push repository:x:pull", access_type="offline",
    )  # fmt: skip
    assert answer.status == 200
    assert answer.json["scope"] == "repository:team/a:push repository:x:pull"
    assert answer.json["expires_in"] == 300
    refresh = answer.json["refresh_token"]
    answer = await form(server, grant_type="refresh_token", refresh_token=refresh, scope="repository:team/b:push")
    assert answer.status == 200
    assert "refresh_token" not in answer.json
    header = {"Authorization": f"Bearer {answer.json['access_token']}"}
    assert (await server.ask("POST", "/v2/team/b/blobs/uploads/", headers=header)).status == 202
    # each kind of token is for one thing
    assert (await server.ask("GET", "/v2/", headers={"Authorization": f"Bearer {refresh}"})).status == 401
    answer = await form(server, grant_type="refresh_token", refresh_token=answer.json["access_token"])
    assert answer.status == 401


async def test_a_login_token_is_given_to_users_who_ask(server: Server) -> None:
    for query, headers, given in (
        ("offline_token=true", ALICE, True), ("", ALICE, False), ("offline_token=true", {}, False),
        ("offline_token=true", login("", ""), False),
    ):  # fmt: skip
        answer = await server.ask("GET", f"/token?{query}", headers=headers)
        assert ("refresh_token" in answer.json) is given


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/token", b"", 400),
        ("POST", "/token", b"grant_type=code", 400),
        ("POST", "/token", b"grant_type=password&username=alice", 400),
        ("POST", "/token", b"grant_type=refresh_token", 400),
        ("POST", "/token", b"grant_type=refresh_token&refresh_token=x", 401),
        ("POST", "/token", b"\xff\xfe", 400),
        ("POST", "/token", b"a=%ff", 400),
        ("POST", "/token", b"a&" * 200, 400),
        ("POST", "/token", b"x" * 70_000, 413),
        ("GET", "/token?service=other", None, 400),
        ("GET", "/token?" + "scope=repository:a:pull&" * 300, None, 400),
        ("GET", "/token?scope=%ff", None, 400),
        ("PUT", "/token", b"", 405),
        ("HEAD", "/token", None, 405),
        ("GET", "/token/", None, 404),
    ],
)
async def test_malformed_requests_for_tokens(
    server: Server, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = await server.ask(method, path, body)
    assert answer.status == status


async def test_a_change_of_the_password_ends_all_tokens(server: Server, tmp_path: Path) -> None:
    alice = await token(server, headers=ALICE)
    bob = await token(server, headers=BOB)
    refresh = (await server.ask("GET", "/token?offline_token=1", headers=ALICE)).json["refresh_token"]
    assert (await server.ask("GET", "/metrics", headers=alice)).status == 200
    (tmp_path / "users").write_text(f"alice:{hashed('new')}\nbob:{hashed('b')}\n")
    look_again(server)
    answer = await server.ask("GET", "/metrics", headers=alice)
    assert (answer.status, challenged(answer)["error"]) == (401, "invalid_token")
    assert (await form(server, grant_type="refresh_token", refresh_token=refresh)).status == 401
    assert (await server.ask("GET", "/metrics", headers=bob)).status == 200
    (tmp_path / "users").write_text(f"alice:{hashed('new')}\n")
    look_again(server)
    assert (await server.ask("GET", "/metrics", headers=bob)).status == 401


async def test_rules_count_when_a_token_is_used(server: Server, tmp_path: Path) -> None:
    alice = await token(server, "repository:team/a:push", headers=ALICE)
    assert (await server.ask("POST", "/v2/team/a/blobs/uploads/", headers=alice)).status == 202
    (tmp_path / "access.toml").write_text(RULES.replace('"team/*"', '"other/*"'))
    look_again(server)
    assert (await server.ask("POST", "/v2/team/a/blobs/uploads/", headers=alice)).status == 403


async def test_lists_need_a_token_for_lists(server: Server) -> None:
    for name in ("team/a", "team/b"):
        await server.ask("POST", f"/v2/{name}/blobs/uploads/?digest={BLOB}", DATA, ALICE)
        await server.ask("PUT", f"/v2/{name}/manifests/1", manifest(BLOB, 2), ALICE)
    alice = await token(server, "repository:team/a:pull", headers=ALICE)
    answer = await server.ask("GET", "/v2/_catalog", headers=alice)
    assert (answer.status, challenged(answer)["scope"]) == (401, "registry:catalog:*")
    alice = await token(server, "registry:catalog:*", headers=ALICE)
    assert (await server.ask("GET", "/v2/_catalog", headers=alice)).json == {"repositories": ["team/a", "team/b"]}
    assert (await server.ask("GET", "/v2/_catalog")).json == {"repositories": ["team/a", "team/b"]}


async def test_a_mount_takes_only_from_where_the_token_is_for(server: Server, tmp_path: Path) -> None:
    (tmp_path / "access.toml").write_text(
        RULES.replace('anonymous = ["pull"]', "").replace('"push",', '"pull","push",')
    )
    look_again(server)
    await server.ask("POST", f"/v2/team/a/blobs/uploads/?digest={BLOB}", DATA, ALICE)
    path = f"/v2/team/b/blobs/uploads/?mount={BLOB}"
    one = await token(server, "repository:team/b:pull,push", headers=ALICE)
    both = await token(server, "repository:team/b:pull,push repository:team/a:pull", headers=ALICE)
    assert (await server.ask("POST", f"{path}&from=team/a", headers=one)).status == 202
    assert (await server.ask("POST", path, headers=one)).status == 202
    assert (await server.ask("POST", f"{path}&from=team/a", headers=both)).status == 201


# robot tokens


def make_robot(server: Server, name: str, expires: float = 0.0, allow: str = "pull,push:team/*") -> str:
    secrets: list[str] = []

    def add(raw: bytes) -> bytes:
        made, secret = robots.create(raw, name, [robots.Allow.parse(allow)], time.time(), expires)
        secrets.append(secret)
        return made

    change(server.app.shelf.catalog, robots.DOCUMENT, add)
    return secrets[-1]


async def test_a_robot_logs_in_at_once_with_basic_and_for_tokens(server: Server) -> None:
    assert (await server.ask("GET", "/v2/", headers=ALICE)).status == 200
    server.app.access._next_look = time.monotonic() + 0.5  # just looked
    robot = login("ci", make_robot(server, "ci"))
    assert (await server.ask("POST", "/v2/team/a/blobs/uploads/", headers=robot)).status == 202
    assert (await server.ask("POST", "/v2/other/blobs/uploads/", headers=robot)).status == 403
    assert (await server.ask("GET", "/v2/other/tags/list", headers=robot)).status == 404, "as everybody may"
    bearer = await token(server, "repository:team/a:*", headers=robot)
    assert granted(bearer) == {"team/a": ["pull", "push"]}
    assert (await server.ask("POST", "/v2/team/a/blobs/uploads/", headers=bearer)).status == 202
    server.app.log.flush()


async def test_a_revoked_robot_is_out_with_its_tokens(server: Server, tmp_path: Path) -> None:
    robot = login("ci", make_robot(server, "ci"))
    look_again(server)
    bearer = await token(server, "repository:team/a:push", headers=robot)
    refresh = (await server.ask("GET", "/token?offline_token=true", headers=robot)).json["refresh_token"]
    change(server.app.shelf.catalog, robots.DOCUMENT, lambda raw: robots.revoke(raw, ["ci"]))
    look_again(server)
    for headers in (robot, bearer):
        assert (await server.ask("POST", "/v2/team/a/blobs/uploads/", headers=headers)).status == 401
    assert (await form(server, grant_type="refresh_token", refresh_token=refresh)).status == 401
    # another of the same name is another one
    make_robot(server, "ci")
    look_again(server)
    assert (await server.ask("POST", "/v2/team/a/blobs/uploads/", headers=bearer)).status == 401
    lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert {line["status"] for line in lines} == {401}


async def test_a_robot_ends_when_it_was_to(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    robot = login("ci", make_robot(server, "ci", now + 1000))
    look_again(server)
    answer = await server.ask("GET", "/token?offline_token=true", headers=robot)
    end = jwt.decode(answer.json["refresh_token"], options={"verify_signature": False})["exp"]
    assert abs(end - (now + 1000)) < 30
    bearer = {"Authorization": f"Bearer {answer.json['token']}"}
    assert (await server.ask("GET", "/metrics", headers=bearer)).status == 200
    monkeypatch.setattr("holdall.registry.server.door.time.time", lambda: now + 1001)
    for headers in (robot, bearer):
        assert (await server.ask("GET", "/metrics", headers=headers)).status == 401


# keys


async def test_a_new_key_is_used_and_the_old_one_believed(server: Server) -> None:
    old = await token(server, headers=ALICE)
    catalog = server.app.shelf.catalog
    change(catalog, KEYS, lambda raw: signing.rotated(raw, time.time(), 1000))
    look_again(server)
    new = await token(server, headers=ALICE)
    kids = [jwt.get_unverified_header(one["Authorization"].split()[1])["kid"] for one in (old, new)]
    assert kids[0] != kids[1]
    for header in (old, new):
        assert (await server.ask("GET", "/metrics", headers=header)).status == 200
    change(catalog, KEYS, lambda raw: signing.rotated(raw, time.time(), 0))
    look_again(server)
    for header in (old, new):
        assert (await server.ask("GET", "/metrics", headers=header)).status == 401


async def test_a_key_that_another_instance_made_a_moment_ago_is_looked_for(server: Server) -> None:
    await token(server, headers=ALICE)
    catalog = server.app.shelf.catalog
    after = change(catalog, KEYS, lambda raw: signing.rotated(raw, time.time(), 1000))
    now = int(time.time())
    foreign = signing.KeyRing(after).sign(
        {"iss": "holdall", "sub": "", "aud": "holdall", "iat": now, "exp": now + 60, "use": "access", "access": []}
    )
    server.app.access._next_look = time.monotonic() + 0.8  # looked 0.2 s ago
    assert (await server.ask("GET", "/v2/", headers={"Authorization": f"Bearer {foreign}"})).status == 200


async def test_a_token_for_a_robot_that_another_process_knows_already(server: Server) -> None:
    """A worker signs for a robot made a moment ago; the next request goes to one that looked before that."""
    secret = make_robot(server, "ci")
    look_again(server)
    bearer = await token(server, "repository:team/a:push", headers=login("ci", secret))
    people = server.app.access.people
    watched = server.app.access._robots
    assert people is not None
    assert watched is not None
    people.robots, watched._version = robots.Robots(), -1  # as it was before
    server.app.access._next_look = time.monotonic() + 0.8
    assert (await server.ask("POST", "/v2/team/a/blobs/uploads/", headers=bearer)).status == 202


async def test_tokens_can_be_switched_on_and_off_without_a_restart(server: Server, tmp_path: Path) -> None:
    (tmp_path / "access.toml").write_text(RULES.replace("tokens = true", ""))
    look_again(server)
    assert (await server.ask("GET", "/v2/")).headers["WWW-Authenticate"].startswith("Basic ")
    assert (await server.ask("GET", "/token")).status == 404
    settings = 'tokens = { realm = "https://tokens.example/auth", service = "mine", lifetime = "10m" }'
    (tmp_path / "access.toml").write_text(RULES.replace("tokens = true", settings))
    look_again(server)
    assert challenged(await server.ask("GET", "/v2/")) == {"realm": "https://tokens.example/auth", "service": "mine"}
    answer = await server.ask("GET", "/token?service=mine", headers=ALICE)
    assert answer.json["expires_in"] == 600


async def test_only_robots_when_there_is_neither_file(tmp_path: Path) -> None:
    async with served(str(tmp_path), Access(tokens=True)) as server:
        assert (await server.ask("GET", "/v2/a/tags/list")).status == 401
        robot = login("ci", make_robot(server, "ci", allow="pull:a"))
        look_again(server)
        assert (await server.ask("GET", "/v2/a/tags/list", headers=robot)).status == 404
        assert (await server.ask("GET", "/v2/b/tags/list", headers=robot)).status == 403


async def test_an_open_registry_has_no_token_server(tmp_path: Path) -> None:
    async with served(str(tmp_path), Access()) as server:
        assert (await server.ask("GET", "/token")).status == 404
        assert (await server.ask("GET", "/v2/", headers={"Authorization": "Bearer x"})).status == 200
