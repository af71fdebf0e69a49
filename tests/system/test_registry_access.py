"""Tokens, robots, certificates, limits and webhooks of `holdall registry serve`, with the clients that people use."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from holdall.errors import Unauthorized
from holdall.image.memory import MemoryBlobs
from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.registry.credential import Credential, Fixed
from holdall.registry.login import login
from holdall.registry.options import Options
from holdall.registry.pull import pull
from holdall.registry.push import push
from holdall.registry.server.passwords import Passwords
from holdall.testing import holdall_registry
from holdall.testing.docker_daemon import DockerDaemon
from holdall.testing.holdall_registry import COMMAND, HoldallRegistry
from holdall.testing.images import random_image
from holdall.testing.served import manifest

if TYPE_CHECKING:
    from typing import Any

DEADLINE = 60.0
RULES = """
htpasswd = "users"
tokens = true
[[rule]]
repositories = ["team/**"]
users = ["alice"]
actions = ["pull", "push", "delete"]
"""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


rootly = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def tool(*words: str, fine: bool = True, stdin: str | None = None) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, input=stdin)
    assert (done.returncode == 0) is fine, done.stdout + done.stderr
    return done.stdout if fine else done.stderr


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


def write_users(folder: Path) -> None:
    from argon2 import PasswordHasher

    hasher = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    (folder / "users").write_text(f"alice:{hasher.hash('secret')}\n")
    assert Passwords.read(str(folder / "users")).check("alice", "secret")


def ask(
    server: HoldallRegistry, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    return holdall_registry.ask(server.host, method, path, body, headers)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def robot(server: HoldallRegistry, *words: str) -> str:
    done = subprocess.run(
        [*COMMAND, "token", words[0], "--storage", server.storage, *words[1:]],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Secure:
    """A registry with tokens and a certificate of its own; `certs` is a folder that clients trust."""

    def __init__(self, folder: Path) -> None:
        write_users(folder)
        (folder / "access.toml").write_text(RULES)
        self.server = HoldallRegistry(
            str(folder), "--access", str(folder / "access.toml"), "--tls-generate", "--workers", "2"
        )
        self.certs = f"{self.server.storage}/tls"

    @property
    def host(self) -> str:
        return self.server.host

    def options(self, tmp_path: Path, user: str = "alice", password: str = "secret") -> Options:
        return Options(
            environ={"HOME": str(tmp_path)},
            cert_dir=self.certs,
            credentials=Fixed(Credential(user, password)),
            backoff=0.01,
        )


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """One for the module: use a repository of your own within team."""
    made = Secure(tmp_path_factory.mktemp("secure"))
    with made.server:
        yield made


# clients


async def test_our_own_client(secure: Secure, tmp_path: Path) -> None:
    image, sink = random_image(seed=5, layers=3), MemoryBlobs()
    where = Reference.parse(f"{secure.host}/team/ours:1")
    options = secure.options(tmp_path)
    await push(image, where, options=options)
    assert (await pull(where, sink, options=options)).image.digest == image.digest
    logged_out = replace(options, credentials=None)
    with pytest.raises(Unauthorized):
        await pull(where, sink, options=logged_out)
    with pytest.raises(Unauthorized):
        await login(secure.host, "alice", "wrong", options=logged_out)
    await login(secure.host, "alice", "secret", options=logged_out)
    assert (await pull(where, sink, options=logged_out)).image.digest == image.digest
    with pytest.raises(Unauthorized):
        await push(image, Reference.parse(f"{secure.host}/other/ours:1"), options=options)


@pytest.mark.peers
@pytest.mark.root
async def test_docker(secure: Secure, dockerd: DockerDaemon, tmp_path: Path) -> None:
    name = f"{secure.host}/team/docker:1"
    await push(random_image(seed=6, docker=True), Reference.parse(name), options=secure.options(tmp_path))
    token = robot(secure.server, "create", "docker", "--allow", "pull,push:team/docker*")

    def docker(*words: str, fine: bool = True, stdin: str | None = None) -> str:
        client = ("docker", "--config", str(tmp_path / "docker"), "--host", f"unix://{dockerd.socket}")
        return tool(*client, *words, fine=fine, stdin=stdin)

    def log_in(user: str, password: str, *, fine: bool = True) -> str:
        return docker("login", "-u", user, "--password-stdin", secure.host, fine=fine, stdin=password)

    try:
        docker("pull", name, fine=False)
        assert "unauthorized" in log_in("alice", "wrong", fine=False)
        for user, password in (("alice", "secret"), ("docker", token)):
            log_in(user, password)
            saved = (tmp_path / "docker/config.json").read_text()
            assert "identitytoken" in saved, "docker keeps a token that we can take back, not the password"
            assert password not in saved
            docker("pull", name)
            docker("tag", name, f"{name}-{user}")
            docker("push", f"{name}-{user}")
            docker("tag", name, f"{secure.host}/team/docker-{user}:1")
            docker("push", f"{secure.host}/team/docker-{user}:1")
            docker("tag", name, f"{secure.host}/other/docker:1")
            assert "denied" in docker("push", f"{secure.host}/other/docker:1", fine=False)
            docker("logout", secure.host)
            docker("pull", name, fine=False)
    finally:
        images = docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        docker("rmi", "--force", *(image for image in images if image.startswith(secure.host)))


@needs("skopeo")
@pytest.mark.peers
async def test_skopeo(secure: Secure, tmp_path: Path) -> None:
    name = f"{secure.host}/team/skopeo"
    await push(random_image(seed=7), Reference.parse(f"{name}:1"), options=secure.options(tmp_path))
    auth = ("--authfile", str(tmp_path / "auth.json"))
    certs = f"--cert-dir={secure.certs}"
    tool("skopeo", "login", *auth, "--cert-dir", secure.certs, "-u", "alice", "-p", "wrong", secure.host, fine=False)
    tool("skopeo", "login", *auth, "--cert-dir", secure.certs, "-u", "alice", "-p", "secret", secure.host)
    copy = ("skopeo", "copy", *auth, f"--src-cert-dir={secure.certs}", f"--dest-cert-dir={secure.certs}")
    tool(*copy, f"docker://{name}:1", f"docker://{name}-2:1")
    tool(*copy, f"docker://{name}:1", f"docker://{name}:2")
    assert json.loads(tool("skopeo", "list-tags", *auth, certs, f"docker://{name}"))["Tags"] == ["1", "2"]
    tool("skopeo", "delete", *auth, certs, f"docker://{name}:2")
    tool("skopeo", "inspect", *auth, certs, f"docker://{name}:1", fine=False)
    tool("skopeo", "inspect", *auth, certs, f"docker://{name}-2:1")


@needs("podman")
@rootly
@pytest.mark.peers
@pytest.mark.root
async def test_podman(secure: Secure, tmp_path: Path) -> None:
    name = f"{secure.host}/team/podman:1"
    await push(random_image(seed=8), Reference.parse(name), options=secure.options(tmp_path))
    short = tempfile.mkdtemp(prefix="hd-", dir="/tmp")  # podman takes no runroot of more than 50 characters
    podman = ["podman", "--root", f"{short}/root", "--runroot", f"{short}/run", "--storage-driver", "vfs"]
    more = ["--authfile", str(tmp_path / "auth.json"), "--cert-dir", secure.certs]
    token = robot(secure.server, "create", "podman", "--allow", "pull,push:team/podman*", "--expires", "1h")
    try:
        tool(*podman, "pull", *more, name, fine=False)
        tool(*podman, "login", *more, "-u", "podman", "--password-stdin", secure.host, stdin=token)
        tool(*podman, "pull", *more, name)
        tool(*podman, "push", *more, name, f"{secure.host}/team/podman2:1")
        tool(*podman, "push", *more, name, f"{secure.host}/team/other:1", fine=False)
        tool(*podman, "logout", *more[:2], secure.host)
    finally:
        tool(*podman, "rmi", "--all", "--force")
        shutil.rmtree(short, ignore_errors=True)


@needs("buildah")
@rootly
@pytest.mark.peers
@pytest.mark.root
def test_buildah(secure: Secure, tmp_path: Path) -> None:
    short = tempfile.mkdtemp(prefix="hd-", dir="/tmp")
    store = ["--root", f"{short}/root", "--runroot", f"{short}/run", "--storage-driver", "vfs"]
    more = ["--authfile", str(tmp_path / "auth.json"), "--cert-dir", secure.certs]
    name = f"{secure.host}/team/buildah:1"
    (tmp_path / "file").write_text("here")
    try:
        container = tool("buildah", *store, "from", "scratch").strip()
        tool("buildah", *store, "copy", container, str(tmp_path / "file"), "/file")
        tool("buildah", *store, "commit", "--rm", container, name)
        tool("buildah", *store, "push", *more, name, fine=False)
        tool("buildah", *store, "login", *more, "-u", "alice", "-p", "secret", secure.host)
        tool("buildah", *store, "push", *more, name)
        tool("buildah", *store, "rmi", "--force", name)
        tool("buildah", *store, "pull", *more, name)
    finally:
        tool("buildah", *store, "rm", "--all")
        tool("buildah", *store, "rmi", "--all", "--force")
        shutil.rmtree(short, ignore_errors=True)


def test_oras(secure: Secure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oras = pytest.importorskip("oras.client")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/notes.txt").write_text("an artifact")
    monkeypatch.chdir(tmp_path / "in")
    monkeypatch.setenv("HOME", str(tmp_path))
    target = f"{secure.host}/team/oras:1"
    client = oras.OrasClient(hostname=secure.host, tls_verify=f"{secure.certs}/ca.crt")
    client.auth.set_basic_auth("alice", "secret")
    answer = client.push(target=target, files=["notes.txt:text/plain"], manifest_annotations={"a": "b"})
    assert answer.status_code == 201
    (found,) = client.pull(target=target, outdir=str(tmp_path / "out"))
    assert Path(found).read_text() == "an artifact"
    assert client.get_manifest(target)["annotations"] == {"a": "b"}
    assert client.get_tags(f"{secure.host}/team/oras") == ["1"]


def test_dxf(secure: Secure, tmp_path: Path) -> None:
    dxf = pytest.importorskip("dxf")
    (tmp_path / "blob").write_bytes(os.urandom(300_000))

    def authenticate(client: Any, response: Any) -> None:
        client.authenticate("alice", "secret", response=response)

    where = (secure.host, "team/dxf", authenticate)
    with dxf.DXF(*where, tlsverify=f"{secure.certs}/ca.crt") as client:
        digest = client.push_blob(str(tmp_path / "blob"))
        assert client.blob_size(digest) == 300_000
        assert b"".join(client.pull_blob(digest)) == (tmp_path / "blob").read_bytes()
        client.set_alias("1", digest)
        assert client.get_alias("1") == [digest]
        assert client.list_aliases() == ["1"]
        client.del_alias("1")
        assert client.list_aliases() == []
        client.del_blob(digest)
    stranger = dxf.DXF(secure.host, "team/dxf", tlsverify=f"{secure.certs}/ca.crt")
    with stranger, pytest.raises(dxf.exceptions.DXFUnauthorizedError):
        stranger.list_aliases()


# robots


def test_a_robot_token_is_made_listed_and_revoked_while_the_registry_serves(tmp_path: Path) -> None:
    write_users(tmp_path)
    with HoldallRegistry(str(tmp_path), "--htpasswd", str(tmp_path / "users"), "--workers", "2") as server:
        assert robot(server, "list").split() == ["NAME", "CREATED", "EXPIRES", "ALLOWS"]
        secret = robot(server, "create", "ci", "--allow", "pull,push:team/*", "--allow", "pull:**")
        robot(server, "create", "old", "--allow", "pull:**", "--expires", "1s")
        robot(server, "create", "forever", "--allow", "pull:**", "--expires", "never")
        allowed = basic("ci", secret)
        assert ask(server, "POST", "/v2/team/a/blobs/uploads/", headers=allowed)[0] == 202
        assert ask(server, "POST", "/v2/a/blobs/uploads/", headers=allowed)[0] == 403
        rows = [json.loads(line) for line in robot(server, "list", "--format", "json").splitlines()]
        assert [row["Name"] for row in rows] == ["ci", "old", "forever"]
        assert rows[0]["Allows"] == "pull,push:team/* pull:**"
        assert rows[0]["Expires"] == "in 3 months"
        assert rows[2]["Expires"] == "never"
        until(lambda: "ago" in robot(server, "list", "--format", "{{.Name}} {{.Expires}}").splitlines()[1], "an end")
        robot(server, "revoke", "ci", "old")
        until(lambda: ask(server, "GET", "/v2/", headers=allowed)[0] == 401, "the token is worthless")
        assert robot(server, "list", "--format", "{{.Name}}") == "forever"
        done = server.run("token")
        assert "create" in done.stdout


def test_instances_on_one_storage_believe_each_others_tokens(tmp_path: Path) -> None:
    write_users(tmp_path)
    options = ("--htpasswd", str(tmp_path / "users"), "--tokens", "--workers", "1")
    one, two = (HoldallRegistry(str(tmp_path), *options) for _ in range(2))
    two.log += "-2"

    def token(server: HoldallRegistry) -> dict[str, str]:
        status, _, body = ask(server, "GET", "/token?service=holdall", headers=basic("alice", "secret"))
        assert status == 200
        return {"Authorization": f"Bearer {json.loads(body)['token']}"}

    with one, two:
        first = token(one)
        assert ask(two, "GET", "/metrics", headers=first)[0] == 200
        assert len(robot(one, "rotate")) == 16
        # each begins to sign with the new key within a second; the other then looks for it at once
        for _ in range(3):
            for server, other in ((one, two), (two, one)):
                assert ask(other, "GET", "/metrics", headers=token(server))[0] == 200
            time.sleep(0.4)
        assert ask(one, "GET", "/metrics", headers=first)[0] == 200
        robot(two, "rotate", "--keep", "0s")
        until(lambda: ask(one, "GET", "/metrics", headers=first)[0] == 401, "old tokens are worthless")
        status, headers, _ = ask(one, "GET", "/v2/", headers=first)
        assert (status, 'error="invalid_token"' in headers["www-authenticate"]) == (401, True)
    assert oct(os.stat(f"{one.storage}/registry.db").st_mode & 0o777) == "0o600"


# certificates


def test_a_certificate_is_made_and_others_when_the_names_change(tmp_path: Path) -> None:
    server = HoldallRegistry(str(tmp_path), "--tls-generate", "--workers", "1")

    def names() -> set[str]:
        context = ssl.create_default_context(cafile=f"{server.storage}/tls/ca.crt")
        connection = http.client.HTTPSConnection(server.host, context=context, timeout=30)
        connection.request("GET", "/v2/")
        certificate = connection.sock.getpeercert()
        assert connection.getresponse().status == 200
        connection.close()
        return {str(value) for _, value in certificate["subjectAltName"]}

    with server:
        assert {"localhost", "127.0.0.1"} <= names()
        until(lambda: "--tls-verify" in server.said(), "how clients trust it")
        assert f"/etc/docker/certs.d/{os.uname().nodename.lower()}:" in server.said()
        assert server.stop() == 0
        server._options = (*server._options, "--tls-name", "registry.example", "--tls-name", "127.0.0.1")
        server.start()
        assert names() == {"registry.example", "127.0.0.1"}
        done = server.run("serve", "--tls-generate", "--tls-cert", "x")
        assert "contradict" in done.stderr


# limits


def test_workers_share_one_limit(tmp_path: Path) -> None:
    (tmp_path / "access.toml").write_text('anonymous = ["pull"]\n[limits]\nrequests = 0.01\nburst = 60\n')
    found: list[int] = []
    with HoldallRegistry(str(tmp_path), "--access", str(tmp_path / "access.toml"), "--workers", "4") as server:

        def some() -> None:
            found.extend([ask(server, "GET", "/v2/a/tags/list")[0] for _ in range(25)])

        threads = [threading.Thread(target=some) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (found.count(404), found.count(429)) == (60, 90)
        status, headers, body = ask(server, "GET", "/v2/a/tags/list")
        assert (status, json.loads(body)["errors"][0]["code"]) == (429, "TOOMANYREQUESTS")
        assert 0 < int(headers["retry-after"]) <= 100
        # a change counts without a restart
        (tmp_path / "access.toml").write_text('anonymous = ["pull"]\n')
        until(lambda: ask(server, "GET", "/v2/a/tags/list")[0] == 404, "the limit is gone")


# webhooks


class Endpoint:
    """An HTTP server in a thread that keeps the events it is sent; it can be deaf for a while."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.deaf = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not outer.deaf:
                    outer.events += json.loads(body)["events"]
                self.send_response(503 if outer.deaf else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def tags(self) -> list[str]:
        """Tags of pushed manifests, each once, in the order they came."""
        seen = {one["id"]: one["target"].get("tag", "") for one in self.events if one["action"] == "push"}
        return [tag for tag in seen.values() if tag]


def test_no_acknowledged_push_goes_untold(tmp_path: Path) -> None:
    """Pushes while the endpoint is deaf, all processes killed, then it hears: everything, in order."""
    with Endpoint() as endpoint:
        (tmp_path / "access.toml").write_text(
            f'anonymous = ["pull", "push"]\n[[webhook]]\nname = "test"\nurl = "{endpoint.url}"\nblobs = true\n'
        )
        server = HoldallRegistry(str(tmp_path), "--access", str(tmp_path / "access.toml"), "--workers", "2")
        data, kind = b"{}", {"Content-Type": mediatype.OCI_MANIFEST}
        pushed: list[str] = []
        endpoint.deaf = True
        for round_ in range(2):
            server.start()
            assert ask(server, "POST", f"/v2/a/blobs/uploads/?digest={Digest.of(data)}", data)[0] == 201
            for number in range(12):
                tag = f"r{round_}-{number}"
                raw = manifest(Digest.of(data), len(data), annotations={"n": tag})
                assert ask(server, "PUT", f"/v2/a/manifests/{tag}", raw, kind)[0] == 201
                pushed.append(tag)
            server.kill()
        server.start()
        try:
            until(lambda: "takes no events" in server.said(), "a complaint")
            endpoint.deaf = False
            until(lambda: len(endpoint.tags) == len(pushed), "all events")
            assert endpoint.tags == pushed
            text = ask(server, "GET", "/metrics", headers={})[2]
            assert text
        finally:
            server.kill()


def test_a_dead_endpoint_slows_nobody(tmp_path: Path) -> None:
    """As many requests are answered in a second with an endpoint that never answers as with none, or nearly."""
    (tmp_path / "access.toml").write_text(
        'anonymous = ["pull", "push"]\n[[webhook]]\nname = "dead"\nurl = "http://127.0.0.1:1/"\nevents = ["pull"]\n'
    )
    with HoldallRegistry(str(tmp_path), "--access", str(tmp_path / "access.toml"), "--workers", "1") as server:
        data = b"{}"
        assert ask(server, "POST", f"/v2/a/blobs/uploads/?digest={Digest.of(data)}", data)[0] == 201
        raw = manifest(Digest.of(data), len(data))
        kind = {"Content-Type": mediatype.OCI_MANIFEST}
        assert ask(server, "PUT", "/v2/a/manifests/1", raw, kind)[0] == 201
        longest = 0.0
        connection = http.client.HTTPConnection(server.host, timeout=30)
        for _ in range(300):
            begun = time.monotonic()
            connection.request("GET", "/v2/a/manifests/1")
            assert connection.getresponse().read() == raw
            longest = max(longest, time.monotonic() - begun)
        connection.close()
        assert longest < 5.0, "a request waited for the endpoint"
        lines = Path(server.storage, "events/000000000001").read_text().splitlines()
        assert len(lines) == 300
