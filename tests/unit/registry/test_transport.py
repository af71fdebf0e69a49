from __future__ import annotations

import asyncio

import pytest

from holdall.errors import InvalidManifest, LimitExceeded, RegistryError, Unauthorized
from holdall.image.memory import MemoryBlobs
from holdall.oci import mediatype
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.registry.credential import Credential, Fixed
from holdall.registry.failures import Unreachable
from holdall.registry.options import Options
from holdall.registry.pull import pull
from holdall.registry.transport import MAX_DOCUMENT, MAX_REDIRECTS, Request, Transport, follow, redirected
from holdall.testing.scripted import Asked, ScriptedServer, response


@pytest.mark.parametrize(
    ("base", "location", "wanted"),
    [
        ("https://a/v2/x", "/y?z=1", "https://a/y?z=1"),
        ("https://a/v2/x/", "uploads/1#frag", "https://a/v2/x/uploads/1"),
        ("https://a/v2/x", "https://b:444/y", "https://b:444/y"),
        ("http://a/v2/x", "https://a/y", "https://a/y"),
        ("http://a/v2/x", "//b/y", "http://b/y"),
        ("https://a/x", "/y%2Fz", "https://a/y%2Fz"),
    ],
)
def test_follow(base: str, location: str, wanted: str) -> None:
    assert follow(base, location) == wanted


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://b/x",
        "unix:/run/docker.sock",
        "data:text/plain,x",
        "https://user:pw@b/",
        "https://[::1/x",
        "https://b:99999/x",
        "https://b/ä",
        "https://b/\x07",
        "https://b/" + "x" * 20_000,
    ],
)
def test_places_nobody_may_send_us_to(location: str) -> None:
    with pytest.raises(RegistryError, match='"a" sends us to'):
        follow("https://a/v2/x", location)


def test_tls_is_never_left() -> None:
    with pytest.raises(RegistryError, match="from https to") as caught:
        follow("https://a/x", "http://a/x")
    assert "X-Forwarded-Proto" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("location", "kept"),
    [
        ("/y", True),
        ("https://a/y", True),
        ("https://a:444/y", False),
        ("https://b/y", False),
        ("https://a.b/y", False),
    ],
)
def test_authorization_stays_with_its_host(location: str, kept: bool) -> None:
    request = Request("GET", "https://a/x", {"authorization": "Basic x", "Accept": "y"})
    headers = redirected(request, location).headers
    assert headers == ({"authorization": "Basic x", "Accept": "y"} if kept else {"Accept": "y"})


async def get(server: ScriptedServer, quick: Options) -> int:
    async with Transport(quick) as transport:
        found = await transport.open(Request("GET", f"http://{server.host}/v2/", {}))
        found.close()
        return found.status


async def test_redirects_are_followed_so_far(quick: Options) -> None:
    def hop(asked: Asked) -> bytes:
        number = int(asked.target.rpartition("/")[2] or 0)
        return response(200) if number == MAX_REDIRECTS else response(302, Location=f"/v2/{number + 1}")

    async with ScriptedServer(hop) as server:
        assert await get(server, quick) == 200
        assert len(server.asked) == MAX_REDIRECTS + 1


async def test_a_redirect_loop_ends(quick: Options) -> None:
    async with ScriptedServer(lambda _: response(307, Location="/v2/")) as server:
        with pytest.raises(RegistryError, match=f"redirects more than {MAX_REDIRECTS} times"):
            await get(server, quick)
        assert len(server.asked) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_body_is_not_sent_elsewhere_by_a_careless_redirect(quick: Options, status: int) -> None:
    async with (
        ScriptedServer(lambda _: response(status, Location="/elsewhere")) as server,
        Transport(quick) as transport,
    ):
        found = await transport.open(Request("PUT", f"http://{server.host}/x", {}, b"data"))
        found.close()
        assert found.status == status
        assert len(server.asked) == 1


async def test_a_body_follows_a_careful_redirect(quick: Options) -> None:
    def answer(asked: Asked) -> bytes:
        return response(201) if asked.target == "/y" else response(307, Location="/y")

    async with ScriptedServer(answer) as server, Transport(quick) as transport:
        found = await transport.open(Request("PUT", f"http://{server.host}/x", {}, b"data"))
        found.close()
        assert found.status == 201
        assert [asked.body for asked in server.asked] == [b"data", b"data"]


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\x00" * 100,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"",
    ],
    ids=["ssh", "zeros", "long header", "many headers", "negative", "two lengths", "status", "nothing"],
)
async def test_what_is_not_http(quick: Options, raw: bytes) -> None:
    async with ScriptedServer(lambda _: raw) as server:
        with pytest.raises(Unreachable) as caught:
            await get(server, quick)
        assert caught.value.kind in ("protocol", "lost")


async def refused(server: ScriptedServer, options: Options, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        await pull(Reference.parse(f"{server.host}/a/b"), MemoryBlobs(), options=options)


async def test_a_manifest_without_end(quick: Options) -> None:
    async with ScriptedServer(lambda _: response(200, b" " * (MAX_DOCUMENT + 1))) as server:
        await refused(server, quick, LimitExceeded, "more than 4194304 bytes")


async def test_an_encoded_manifest(quick: Options) -> None:
    async with ScriptedServer(lambda _: response(200, b"x", Content_Encoding="gzip")) as server:
        await refused(server, quick, RegistryError, "encodes its answer")


async def test_a_content_type_that_contradicts_the_manifest(quick: Options) -> None:
    body = b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % mediatype.OCI_INDEX.encode()
    async with ScriptedServer(lambda _: response(200, body, Content_Type=mediatype.OCI_MANIFEST)) as server:
        await refused(server, quick, InvalidManifest, "says it is")


@pytest.mark.parametrize("digest", ["nonsense", "sha256:0", "md5:" + "0" * 32])
async def test_a_digest_that_is_none(quick: Options, digest: str) -> None:
    async with ScriptedServer(lambda _: response(200, b"{}", Docker_Content_Digest=digest)) as server:
        await refused(server, quick, RegistryError, "Docker-Content-Digest is no digest")


async def test_an_endless_demand_for_credentials(quick: Options) -> None:
    def answer(asked: Asked) -> bytes:
        if asked.target.startswith("/token"):
            return response(200, b'{"token": "t"}')
        realm = f'Bearer realm="http://{server.host}/token"'
        return response(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"never"}]}', WWW_Authenticate=realm)

    async with ScriptedServer(answer) as server:
        await refused(server, quick, Unauthorized, "never")
        assert len(server.asked) < 10


async def test_a_token_server_that_sends_the_password_elsewhere(quick: Options) -> None:
    def steal(_: Asked) -> bytes:
        return response(200, b'{"token": "t"}')

    def answer(asked: Asked) -> bytes:
        if asked.target.startswith("/token"):
            return response(307, Location=f"http://localhost:{thief.host.rpartition(':')[2]}/token")
        return response(401, WWW_Authenticate=f'Bearer realm="http://{server.host}/token"')

    async with ScriptedServer(steal) as thief, ScriptedServer(answer) as server:
        ann = replace(quick, credentials=Fixed(Credential("ann", "secret")), retries=0)
        await refused(server, ann, RegistryError, "wants other credentials")
        assert [one.headers.get("authorization") for one in thief.asked] == [None] * len(thief.asked)
        thief.asked.clear()
        refresh = replace(quick, credentials=Fixed(Credential(identity_token="idt")), retries=0)
        await refused(server, refresh, RegistryError, "answered 307")
        assert thief.asked == []


async def test_cancelling_leaves_nothing_behind(quick: Options) -> None:
    def hang(_: Asked) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"

    async with ScriptedServer(hang) as server:
        work = asyncio.ensure_future(
            pull(Reference.parse(f"{server.host}/a/b"), MemoryBlobs(), options=replace(quick, backoff=5.0))
        )
        await server.arrived.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "pull" in repr(task)]


async def test_says_who_it_is(quick: Options) -> None:
    async with ScriptedServer(lambda _: response(200)) as server:
        await get(server, quick)
        assert server.asked[0].headers["user-agent"].startswith("holdall/")
        assert server.asked[0].headers["accept-encoding"] == "identity"


async def test_goes_through_a_proxy_but_for_loopback(quick: Options) -> None:
    async with ScriptedServer(lambda _: response(404)) as proxy:
        environ = {**quick.environment, "http_proxy": f"http://ann:pw@{proxy.host}"}
        async with Transport(replace(quick, environ=environ)) as transport:
            found = await transport.open(Request("GET", "http://registry.invalid/v2/", {}))
            found.close()
            with pytest.raises(Unreachable):
                await transport.open(Request("GET", "http://127.0.0.1:1/v2/", {}))
    assert [one.target for one in proxy.asked] == ["http://registry.invalid/v2/"]
    assert proxy.asked[0].headers["proxy-authorization"].startswith("Basic ")
