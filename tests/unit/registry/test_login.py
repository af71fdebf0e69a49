from __future__ import annotations

import os

import pytest

from holdall.errors import InvalidInput, InvalidOption, RegistryError, Unauthorized
from holdall.image.memory import MemoryBlobs
from holdall.oci.reference import Reference
from holdall.registry.credential import Credential
from holdall.registry.credentials import Keychain
from holdall.registry.login import login, logout
from holdall.registry.options import Options
from holdall.registry.pull import pull
from holdall.testing.images import random_image
from holdall.testing.registry import RegistryServer
from holdall.testing.scripted import ScriptedServer, response


@pytest.mark.parametrize("auth", ["basic", "token"])
async def test_login_pull_logout(quick: Options, auth: str) -> None:
    with RegistryServer(auth=auth, users={"ann": "secret"}) as server:
        server.store.add_image("a/b", "1", random_image())
        reference = Reference.parse(f"{server.host}/a/b:1")
        with pytest.raises(Unauthorized):
            await pull(reference, MemoryBlobs(), options=quick)
        assert "unencrypted" in await login(server.host, "ann", "secret", options=quick)
        await pull(reference, MemoryBlobs(), options=quick)
        assert logout(server.host, environ=quick.environment)
        assert not logout(server.host, environ=quick.environment)
        with pytest.raises(Unauthorized):
            await pull(reference, MemoryBlobs(), options=quick)


@pytest.mark.parametrize("auth", ["basic", "token"])
async def test_a_wrong_password_is_not_stored(quick: Options, auth: str) -> None:
    refused = pytest.raises(Unauthorized, match="refuses the user or the password")
    with RegistryServer(auth=auth, users={"ann": "secret"}) as server, refused:
        await login(server.host, "ann", "wrong", options=quick)
    assert not os.path.exists(quick.environment["HOME"] + "/.docker")


async def test_a_registry_that_asks_nobody_takes_any(quick: Options) -> None:
    with RegistryServer() as server:
        await login(f"http://{server.host}/v2/", "ann", "x", options=quick)
        assert Keychain.default(quick.environment).lookup(server.host) == Credential("ann", "x")


async def test_what_is_no_registry(quick: Options) -> None:
    async with ScriptedServer(lambda _: response(404)) as server:
        with pytest.raises(RegistryError, match="is no registry"):
            await login(server.host, "ann", "x", options=quick)


@pytest.mark.parametrize(
    ("registry", "user", "password", "kind"),
    [
        ("a.io", "", "x", InvalidOption),
        ("a.io", "ann", "", InvalidOption),
        ("a.io", "a:b", "x", InvalidOption),
        ("a b", "ann", "x", InvalidInput),
    ],
)
async def test_nonsense(quick: Options, registry: str, user: str, password: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await login(registry, user, password, options=quick)
