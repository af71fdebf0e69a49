from __future__ import annotations

import asyncio

import pytest

from holdall.errors import ManifestUnknown, RegistryError, Unauthorized
from holdall.record import replace
from holdall.registry.auth import pull_scope, push_scope
from holdall.registry.client import Call, Registry
from holdall.registry.credential import Credential
from holdall.registry.endpoint import Endpoint, origin
from holdall.registry.failures import BadStatus
from holdall.registry.options import Options
from holdall.registry.transport import Transport
from holdall.testing.registry import RegistryServer
from holdall.testing.scripted import Asked, ScriptedServer, response

PULL = (pull_scope("a/b"),)
TAGS = Call("GET", "/v2/a/b/tags/list", PULL)


async def test_the_scheme_is_found_out_once(quick: Options) -> None:
    with RegistryServer() as server:
        async with Transport(quick) as transport:
            registry = Registry(transport, origin(server.host), None)
            await asyncio.gather(*[registry.fetch(TAGS) for _ in range(5)])
        assert server.count("GET", "/v2/") == 6
        assert [one.path for one in server.requests].count("/v2/") == 1


async def test_a_known_scheme_is_not_asked_for(quick: Options) -> None:
    with RegistryServer() as server:
        async with Transport(quick) as transport:
            await Registry(transport, Endpoint(server.host, server.host, "http"), None).fetch(TAGS)
        assert [one.path for one in server.requests] == ["/v2/a/b/tags/list"]


async def test_many_requests_share_one_token(quick: Options) -> None:
    with RegistryServer(auth="token", users={"ann": "secret"}) as server:
        async with Transport(quick) as transport:
            registry = Registry(transport, origin(server.host), Credential("ann", "secret"))
            await asyncio.gather(*[registry.fetch(TAGS) for _ in range(8)])
            assert server.count("GET", "/token") == 1
            await registry.fetch(replace(TAGS, scopes=(push_scope("a/b"),)))
            assert server.count("GET", "/token") == 2
        assert not [one for one in server.requests if one.path.endswith("/list") and one.status == 401]


async def test_a_revoked_token_is_replaced(quick: Options) -> None:
    with RegistryServer(auth="token", users={"ann": "secret"}) as server:
        async with Transport(quick) as transport:
            registry = Registry(transport, origin(server.host), Credential("ann", "secret"))
            await registry.fetch(TAGS)
            server.store.tokens.clear()
            await registry.fetch(TAGS)
        assert server.count("GET", "/token") == 2


async def test_the_token_server_is_tried_again(quick: Options) -> None:
    with RegistryServer(auth="token", users={"ann": "secret"}) as server:
        server.fail("status", path="/token", status=503, times=2)
        async with Transport(quick) as transport:
            registry = Registry(transport, origin(server.host), Credential("ann", "secret"))
            assert (await registry.fetch(TAGS)).status == 200


async def test_errors_have_their_classes(quick: Options) -> None:
    answers = {"/v2/404": 404, "/v2/403": 403, "/v2/418": 418}

    def answer(asked: Asked) -> bytes:
        return response(answers.get(asked.target, 200))

    async with ScriptedServer(answer) as server, Transport(quick) as transport:
        registry = Registry(transport, origin(server.host), None)
        for path, kind in (("/v2/404", ManifestUnknown), ("/v2/403", Unauthorized), ("/v2/418", BadStatus)):
            with pytest.raises(kind):
                await registry.fetch(Call("GET", path))
            assert [one.target for one in server.asked].count(path) == 1


async def test_credentials_stay_at_home(quick: Options) -> None:
    """A Location (of an upload) may lead to another host; it gets neither our header nor an answer to its 401."""

    def elsewhere(_: Asked) -> bytes:
        return response(401, WWW_Authenticate="Basic realm=x")

    def home(asked: Asked) -> bytes:
        return response(200) if "authorization" in asked.headers else response(401, WWW_Authenticate="Basic realm=x")

    async with ScriptedServer(elsewhere) as other, ScriptedServer(home) as server, Transport(quick) as transport:
        registry = Registry(transport, origin(server.host), Credential("ann", "secret"))
        assert (await registry.fetch(TAGS)).status == 200
        with pytest.raises(Unauthorized):
            await registry.fetch(Call("GET", f"http://{other.host}/upload"))
        assert ["authorization" in one.headers for one in other.asked] == [False]


async def test_a_redirected_challenge_gets_no_password(quick: Options) -> None:
    def elsewhere(_: Asked) -> bytes:
        return response(401, WWW_Authenticate="Basic realm=x")

    def home(asked: Asked) -> bytes:
        if asked.target == "/v2/":
            return response(200)
        return response(307, Location=f"http://localhost:{other.host.rpartition(':')[2]}/x")

    async with ScriptedServer(elsewhere) as other, ScriptedServer(home) as server, Transport(quick) as transport:
        registry = Registry(transport, origin(server.host), Credential("ann", "secret"))
        with pytest.raises(RegistryError):
            await registry.fetch(TAGS)
        assert len(other.asked) == 1
        assert "authorization" not in other.asked[0].headers


async def test_an_error_of_any_size_is_read_so_far(quick: Options) -> None:
    body = b'{"errors":[{"message":"' + b"x" * 3_000_000 + b'"}]}'
    async with ScriptedServer(lambda _: response(400, body)) as server, Transport(quick) as transport:
        with pytest.raises(BadStatus) as caught:
            await Registry(transport, origin(server.host), None).fetch(TAGS)
        assert len(caught.value.message) < 500


async def test_an_error_in_pieces_is_read_to_its_end(quick: Options) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readexactly(1))[0] != 0x16:  # not the attempt at tls
            await reader.readuntil(b"\r\n\r\n")
            body = b'{"errors":[{"code":"X","message":"said slowly"}]}'
            writer.write(b"HTTP/1.1 400 X\r\nContent-Length: %d\r\n\r\n" % len(body))
            for part in (body[:10], body[10:40], body[40:]):
                await asyncio.sleep(0.02)
                writer.write(part)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Transport(quick) as transport:
        with pytest.raises(BadStatus, match="said slowly"):
            await Registry(transport, origin(host), None).fetch(TAGS)


async def test_a_refusal_does_not_cost_the_connection(quick: Options) -> None:
    with RegistryServer(auth="token", users={"ann": "secret"}) as server:
        async with Transport(quick) as transport:
            registry = Registry(transport, Endpoint(server.host, server.host, "http"), Credential("ann", "secret"))
            await registry.fetch(TAGS)
            assert transport._session is not None
            assert transport._session.connector is not None
            kept = transport._session.connector._conns  # type: ignore[attr-defined]
            assert sum(map(len, kept.values())) == 1
