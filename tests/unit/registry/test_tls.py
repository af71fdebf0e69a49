from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from holdall.errors import InvalidInput, RegistryError
from holdall.image.memory import MemoryBlobs
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.registry.client import Call, Registry
from holdall.registry.credential import Credential, Fixed
from holdall.registry.endpoint import Endpoint, origin
from holdall.registry.failures import Unreachable
from holdall.registry.options import Options
from holdall.registry.pull import pull
from holdall.registry.tls import TlsContexts
from holdall.registry.transport import Transport
from holdall.testing.certificates import Authority
from holdall.testing.images import random_image
from holdall.testing.registry import RegistryServer
from holdall.testing.scripted import Asked, ScriptedServer, response


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(str(tmp_path_factory.mktemp("tls")))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> tuple[str, str]:
    return authority.issue("server")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(str(tmp_path_factory.mktemp("stranger")), "stranger")


def serve(authority: Authority, pair: tuple[str, str], *, client: bool = False) -> RegistryServer:
    server = RegistryServer(tls=authority.server_context(*pair, client=client))
    server.store.add_image("a/b", "1", random_image())
    return server


async def pulled(server: RegistryServer, options: Options) -> str:
    got = await pull(Reference.parse(f"{server.host}/a/b:1"), MemoryBlobs(), options=options)
    return str(got.image.digest)


def trusting(quick: Options, tmp_path: Path, *files: str, host: str = "") -> Options:
    folder = Path(quick.environment["HOME"]) / ".config/containers/certs.d" / host if host else tmp_path / "certs"
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder)
    return quick if host else replace(quick, cert_dir=str(folder))


async def test_a_root_of_ours(quick: Options, tmp_path: Path, authority: Authority, pair: tuple[str, str]) -> None:
    with serve(authority, pair) as server:
        assert await pulled(server, trusting(quick, tmp_path, authority.root))


async def test_a_root_in_certs_d(quick: Options, tmp_path: Path, authority: Authority, pair: tuple[str, str]) -> None:
    with serve(authority, pair) as server:
        assert await pulled(server, trusting(quick, tmp_path, authority.root, host=server.host))


def test_a_root_in_the_environment(authority: Authority) -> None:
    for environ in ({}, {"SSL_CERT_FILE": authority.root}):
        context = TlsContexts(Options(environ=environ)).context("reg.example", verify=True)
        known = any("holdall test ca" in str(one["subject"]) for one in context.get_ca_certs())
        assert known is bool(environ)


async def test_the_wrong_root(
    quick: Options, tmp_path: Path, authority: Authority, stranger: Authority, pair: tuple[str, str]
) -> None:
    with serve(authority, pair) as server:
        options = trusting(quick, tmp_path, stranger.root)
        with pytest.raises(RegistryError, match="is not trusted") as caught:
            async with Transport(options) as transport:
                secured = Endpoint(server.host, server.host, "https")
                await Registry(transport, secured, None).fetch(Call("GET", "/v2/"))
        assert "certs.d" in (caught.value.hint or "")
        assert not server.requests


async def test_loopback_needs_no_root_as_with_docker(
    quick: Options, authority: Authority, pair: tuple[str, str]
) -> None:
    with serve(authority, pair) as server:
        assert await pulled(server, quick)


async def test_the_name_must_fit(quick: Options, tmp_path: Path, authority: Authority) -> None:
    other = authority.issue("other", ("DNS:other.example",))
    options = trusting(quick, tmp_path, authority.root)
    with serve(authority, other) as server:
        async with Transport(options) as transport:
            secured = Registry(transport, Endpoint(server.host, server.host, "https"), None)
            with pytest.raises(Unreachable, match="is not trusted") as caught:
                await secured.fetch(Call("GET", "/v2/"))
            assert caught.value.kind == "certificate"
        assert await pulled(server, replace(options, tls_verify=False))


async def test_a_client_certificate(
    quick: Options, tmp_path: Path, authority: Authority, pair: tuple[str, str]
) -> None:
    client = authority.issue("client")
    with serve(authority, pair, client=True) as server:
        with pytest.raises(RegistryError):
            await pulled(server, quick)
        assert await pulled(server, trusting(quick, tmp_path, authority.root, *client))


async def test_plain_http_only_where_it_is_allowed(quick: Options) -> None:
    with RegistryServer() as server:
        async with Transport(quick) as transport:
            remote = Registry(transport, Endpoint("reg.example", server.host, "https"), None)
            with pytest.raises(Unreachable) as caught:
                await remote.fetch(Call("GET", "/v2/"))
            assert caught.value.kind == "tls"
            assert "--tls-verify=false" in (caught.value.hint or "")
            assert not server.requests
            assert await Registry(transport, origin(server.host), None).base() == f"http://{server.host}"


async def test_a_redirect_to_plain_http_is_refused(quick: Options, authority: Authority, pair: tuple[str, str]) -> None:
    def answer(asked: Asked) -> bytes:
        return response(200) if asked.target == "/v2/" else response(307, Location=f"http://{plain.host}/x")

    context = authority.server_context(*pair)
    ann = replace(quick, credentials=Fixed(Credential("ann", "secret")))
    async with ScriptedServer(lambda _: response(200)) as plain, ScriptedServer(answer, tls=context) as server:
        with pytest.raises(RegistryError, match="from https to"):
            await pull(Reference.parse(f"{server.host}/a/b"), MemoryBlobs(), options=ann)
        assert not plain.asked


async def test_a_plain_token_server_behind_tls_is_refused(
    quick: Options, authority: Authority, pair: tuple[str, str]
) -> None:
    def answer(_: Asked) -> bytes:
        return response(401, WWW_Authenticate=f'Bearer realm="http://{plain.host}/token"')

    context = authority.server_context(*pair)
    ann = replace(quick, credentials=Fixed(Credential("ann", "secret")))
    async with ScriptedServer(lambda _: response(200)) as plain, ScriptedServer(answer, tls=context) as server:
        with pytest.raises(RegistryError, match="without tls"):
            await pull(Reference.parse(f"{server.host}/a/b"), MemoryBlobs(), options=ann)
        assert not plain.asked


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a.crt": "nonsense"}, "holds no certificate"),
        ({"a.cert": "x"}, "has no key"),
        ({"a.key": "x"}, "has no certificate"),
        ({"a.cert": "x", "a.key": "y"}, "do not fit or cannot be read"),
    ],
)
def test_broken_folders_are_explained(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match=reason):
        TlsContexts(Options(cert_dir=str(tmp_path), environ={})).context("a.io", verify=True)


def test_a_key_with_a_pass_phrase_does_not_ask(tmp_path: Path, authority: Authority) -> None:
    cert, key = authority.issue("locked")
    shutil.copy(cert, tmp_path / "locked.cert")
    authority._openssl("ec", "-in", key, "-aes256", "-passout", "pass:x", "-out", str(tmp_path / "locked.key"))
    with pytest.raises(InvalidInput, match="is encrypted"):
        TlsContexts(Options(cert_dir=str(tmp_path), environ={})).context("a.io", verify=True)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read certificates"):
        TlsContexts(Options(cert_dir=str(tmp_path / "no"), environ={})).context("a.io", verify=True)


def test_docker_hub_may_be_written_by_either_name(tmp_path: Path) -> None:
    os.makedirs(tmp_path / ".config/containers/certs.d/docker.io")
    contexts = TlsContexts(Options(environ={"HOME": str(tmp_path)}))
    assert contexts.folder("registry-1.docker.io").endswith("/docker.io")
    assert contexts.folder("quay.io") == ""


def test_hosts_without_a_folder_share_a_context() -> None:
    contexts = TlsContexts(Options(environ={}))
    assert contexts.context("a.io", verify=True) is contexts.context("b.io", verify=True)
    assert contexts.context("a.io", verify=True) is not contexts.context("a.io", verify=False)


def test_a_host_may_have_a_folder_of_its_own(tmp_path: Path) -> None:
    options = Options(cert_dirs={"a:1": str(tmp_path / "a")}, environ={"HOME": str(tmp_path)})
    assert TlsContexts(options).folder("a:1") == str(tmp_path / "a")
    assert TlsContexts(options).folder("b") == ""
