from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdall.errors import (
    ImageNotFound,
    IntegrityError,
    InvalidManifest,
    LimitExceeded,
    ManifestUnknown,
    RateLimited,
    RegistryError,
    Unauthorized,
    Unsupported,
)
from holdall.events import Event
from holdall.image.image import Image
from holdall.image.memory import MemoryBlobs
from holdall.oci import mediatype
from holdall.oci.config import ImageConfig
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.index import Index
from holdall.oci.manifest import Manifest
from holdall.oci.platform import Platform, host
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.registry.credential import Credential, Fixed
from holdall.registry.options import Options
from holdall.registry.pull import PulledImage, pull, unique
from holdall.testing.images import image_of_files, random_image, random_index
from holdall.testing.registry import RegistryServer


def image(number: int = 0) -> Image:
    return image_of_files([{"etc/name": f"image {number}".encode()}, {"data": bytes(range(256)) * 40}])


def ref(server: RegistryServer, rest: str = "team/app:1") -> Reference:
    return Reference.parse(f"{server.host}/{rest}")


async def refused(
    server: RegistryServer, quick: Options, kind: type[Exception], match: str, rest: str = "team/app:1"
) -> MemoryBlobs:
    sink = MemoryBlobs()
    with pytest.raises(kind, match=match) as caught:
        await pull(ref(server, rest), sink, options=quick)
    assert str(caught.value).startswith(f'cannot pull "{server.host}/')
    return sink


def check_whole(got: PulledImage, wanted: Image, sink: MemoryBlobs) -> None:
    assert got.image.digest == wanted.digest
    assert got.config == wanted.config
    assert got.image.source is sink
    for one in (wanted.manifest.descriptor, wanted.manifest.config, *wanted.manifest.layers):
        assert Digest.of(sink.blobs[one.digest]) == one.digest


async def test_brings_everything_into_the_sink(quick: Options) -> None:
    sink, wanted, events = MemoryBlobs(), image(), list[Event]()
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", wanted)
        got = await pull(ref(server), sink, options=quick, reporter=events.append)
    check_whole(got, wanted, sink)
    assert got.descriptor.digest == wanted.digest
    assert got.index is None
    assert got.served_by == server.host
    assert len(sink.blobs) == 4
    done = {event.subject: event for event in events if event.done}
    for layer in wanted.manifest.layers:
        event = done[layer.digest.short]
        assert (event.action, event.current, event.total) == ("downloaded", layer.size, layer.size)


async def test_by_digest(quick: Options) -> None:
    sink, wanted = MemoryBlobs(), image()
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", wanted)
        got = await pull(ref(server, f"team/app@{wanted.digest}"), sink, options=quick)
        check_whole(got, wanted, sink)
        await refused(server, quick, ManifestUnknown, "manifest unknown", f"team/app@sha256:{'0' * 64}")


async def test_by_sha512_digest(quick: Options) -> None:
    wanted, sink = image(), MemoryBlobs()
    digest = Digest.of(wanted.manifest.raw, "sha512")
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", wanted)
        server.store.repository("team/app").manifests[str(digest)] = (wanted.manifest.media_type, wanted.manifest.raw)
        got = await pull(ref(server, f"team/app@{digest}"), sink, options=quick)
    assert got.descriptor.digest == digest
    assert sink.blobs[digest] == wanted.manifest.raw


async def test_what_is_there_is_not_fetched_again(quick: Options) -> None:
    sink, wanted, events = MemoryBlobs(), image(), list[Event]()
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", wanted)
        await pull(ref(server), sink, options=quick)
        before = server.count("GET", "/blobs/")
        await pull(ref(server), sink, options=quick, reporter=events.append)
        assert server.count("GET", "/blobs/") == before + 1  # the configuration is read for its content
    done = {event.subject: event.action for event in events if event.done}
    assert {done[layer.digest.short] for layer in wanted.manifest.layers} == {"already exists"}


async def test_the_platform_is_chosen_from_an_index(quick: Options) -> None:
    index = random_index(platforms=("linux/amd64", "linux/arm64"))
    sink = MemoryBlobs()
    with RegistryServer() as server:
        server.store.add_index("team/app", "1", index)
        got = await pull(ref(server), sink, platform=Platform("linux", "arm64"), options=quick)
        assert got.config.platform == Platform("linux", "arm64")
        assert got.index == index.index
        assert got.descriptor.digest == index.digest
        assert sink.blobs[index.digest] == index.index.raw
        check_whole(got, index.image(Platform("linux", "arm64")), sink)
        with pytest.raises(ImageNotFound, match="no image for platform") as caught:
            await pull(ref(server), sink, platform=Platform("linux", "s390x"), options=quick)
        assert "linux/arm64" in (caught.value.hint or "")


@pytest.mark.parametrize("auth", ["basic", "token"])
async def test_credentials(quick: Options, auth: str) -> None:
    wanted = image()
    with RegistryServer(auth=auth, users={"ann": "secret"}) as server:
        server.store.add_image("team/app", "1", wanted)
        ann = replace(quick, credentials=Fixed(Credential("ann", "secret")))
        sink = MemoryBlobs()
        check_whole(await pull(ref(server), sink, options=ann), wanted, sink)
        await refused(server, quick, Unauthorized, "wants" if auth == "basic" else "authentication required")
        wrong = replace(quick, credentials=Fixed(Credential("ann", "wrong")))
        await refused(server, wrong, Unauthorized, "refuses the user or the password")


async def test_an_identity_token(quick: Options) -> None:
    wanted, sink = image(), MemoryBlobs()
    with RegistryServer(auth="token", users={"ann": "secret"}) as server:
        server.store.add_image("team/app", "1", wanted)
        options = replace(quick, credentials=Fixed(Credential(identity_token="identity-token-of-ann")))
        check_whole(await pull(ref(server), sink, options=options), wanted, sink)
        assert server.count("POST", "/token") == 1


async def test_one_token_for_a_whole_pull(quick: Options) -> None:
    with RegistryServer(auth="token", users={}, anonymous_pull=True) as server:
        server.store.add_image("team/app", "1", random_image(seed=1, layers=6))
        await pull(ref(server), MemoryBlobs(), options=quick)
        assert server.count("GET", "/token") == 1
        assert [one.status for one in server.requests if one.path.startswith("/v2/team")].count(401) <= 1


async def test_tokens_that_expire_within_a_pull(quick: Options) -> None:
    wanted, sink = random_image(seed=1, layers=4), MemoryBlobs()
    with RegistryServer(auth="token", users={}, anonymous_pull=True) as server:
        server.store.add_image("team/app", "1", wanted)

        def forget(event: Event) -> None:
            if event.action == "downloaded":
                server.store.tokens.clear()

        got = await pull(ref(server), sink, options=replace(quick, concurrency=1), reporter=forget)
        check_whole(got, wanted, sink)
        assert server.count("GET", "/token") > 1


async def test_credentials_do_not_follow_a_redirect(quick: Options) -> None:
    wanted, sink = image(), MemoryBlobs()
    with RegistryServer(auth="basic", users={"ann": "secret"}, redirect=True) as server:
        server.store.add_image("team/app", "1", wanted)
        ann = replace(quick, credentials=Fixed(Credential("ann", "secret")))
        check_whole(await pull(ref(server), sink, options=ann), wanted, sink)
        stored = [one for one in server.requests if one.path.startswith("/storage/")]
        assert len(stored) == 3
        assert all("Authorization" not in one.headers for one in stored)


@pytest.mark.parametrize("retry_after", ["0", "Wed, 21 Oct 2015 07:28:00 GMT", None, "soon"])
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_tries_again(quick: Options, status: int, retry_after: str | None) -> None:
    wanted, sink = image(), MemoryBlobs()
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", wanted)
        server.fail("status", path="/manifests/", status=status, retry_after=retry_after, times=2)
        server.fail("status", path="/blobs/", status=status, retry_after=retry_after, times=2)
        check_whole(await pull(ref(server), sink, options=quick), wanted, sink)


async def test_gives_up_when_told_to_wait_too_long(quick: Options) -> None:
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", image())
        server.fail("status", path="/manifests/", status=429, retry_after="3600", times=-1)
        await refused(server, quick, RateLimited, "allows no more requests for now")
        assert server.count("GET", "/manifests/") == 1


async def test_gives_up_in_the_end(quick: Options) -> None:
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", image())
        server.fail("status", path="/blobs/", status=503, times=-1)
        await refused(server, replace(quick, retries=1), RegistryError, "answered 503: planned")


@pytest.mark.parametrize("kind", ["close", "early-close"])
async def test_lost_connections(quick: Options, kind: str) -> None:
    wanted, sink = random_image(seed=2, layers=3, size=50_000), MemoryBlobs()
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", wanted)
        server.fail("close", path="/manifests/")
        server.fail(kind, path="/blobs/", after=10, times=3)
        check_whole(await pull(ref(server), sink, options=quick), wanted, sink)


async def test_goes_on_where_it_was(quick: Options) -> None:
    wanted, sink = random_image(seed=3, layers=1, size=80_000), MemoryBlobs()
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", wanted)
        digest = str(wanted.manifest.layers[0].digest)
        server.fail("early-close", path=digest, after=30_000)
        check_whole(await pull(ref(server), sink, options=quick), wanted, sink)
        ranges = [one.headers.get("Range") for one in server.requests if digest in one.path]
    assert ranges == [None, "bytes=30000-"]


async def test_a_registry_without_ranges_sends_all_again(quick: Options) -> None:
    wanted, sink = random_image(seed=3, layers=1, size=80_000), MemoryBlobs()
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", wanted)
        digest = str(wanted.manifest.layers[0].digest)
        server.fail("early-close", path=digest, after=30_000)
        server.fail("no-range", path=digest)
        check_whole(await pull(ref(server), sink, options=quick), wanted, sink)


@pytest.mark.parametrize("part", ["/manifests/", "config", "layer"])
async def test_corrupt_bytes_are_refused(quick: Options, part: str) -> None:
    wanted = image()
    parts = {"config": str(wanted.manifest.config.digest), "layer": str(wanted.manifest.layers[1].digest)}
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", wanted)
        server.fail("corrupt", path=parts.get(part, part), times=-1)
        sink = await refused(server, quick, IntegrityError, "digest")
    assert all(Digest.of(data) == digest for digest, data in sink.blobs.items())
    assert wanted.digest not in sink.blobs


async def test_a_lie_about_the_digest_is_refused(quick: Options) -> None:
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", image())
        server.fail("wrong-digest", path="/manifests/")
        await refused(server, quick, IntegrityError, "gave a manifest with digest")


async def test_a_wrong_length_is_refused_at_once(quick: Options) -> None:
    wanted = image()
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", wanted)
        server.fail("short", path=str(wanted.manifest.layers[1].digest), after=5, times=-1)
        await refused(server, quick, IntegrityError, "registry offers 5 bytes for blob")
        assert sum(1 for one in server.requests if str(wanted.manifest.layers[1].digest) in one.path) == 1


async def test_nothing_like_a_registry(quick: Options) -> None:
    with RegistryServer() as server:
        server.fail("garbage", path="/manifests/", times=-1)
        await refused(server, quick, InvalidManifest, "not valid json")


async def test_nobody_there(quick: Options) -> None:
    with pytest.raises(RegistryError, match=r'cannot connect to "127\.0\.0\.1:1"'):
        await pull(Reference.parse("127.0.0.1:1/a/b"), MemoryBlobs(), options=quick)


async def test_no_answer_in_time(quick: Options) -> None:
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", image())
        server.fail("stall", path="/manifests/", seconds=3, times=-1)
        await refused(server, replace(quick, read_timeout=0.2, retries=1), RegistryError, "does not answer: timed out")


async def test_a_mirror_serves(quick: Options, tmp_path: Path) -> None:
    wanted, sink, events = image(), MemoryBlobs(), list[Event]()
    with RegistryServer() as mirror, RegistryServer() as server:
        mirror.store.add_image("hub/team/app", "1", wanted)
        (tmp_path / "r.toml").write_text(f'[mirror."{server.host}"]\nendpoints = ["{mirror.host}/hub"]\n')
        options = replace(quick, mirrors=str(tmp_path / "r.toml"))
        got = await pull(ref(server), sink, options=options, reporter=events.append)
        assert got.served_by == f"{mirror.host}/hub"
        assert not server.requests
    check_whole(got, wanted, sink)
    assert Event(got.reference.familiar(), "pulling", message=f"from {mirror.host}/hub") in events


@pytest.mark.parametrize("how", ["absent", "dead", "no blob", "corrupt", "unauthorized"])
async def test_a_mirror_that_fails_is_passed_over(quick: Options, tmp_path: Path, how: str) -> None:
    wanted, sink, events = image(), MemoryBlobs(), list[Event]()
    layer = str(wanted.manifest.layers[1].digest)
    auth = "basic" if how == "unauthorized" else "none"
    with RegistryServer(auth=auth) as mirror, RegistryServer() as server:
        if how != "absent":
            mirror.store.add_image("team/app", "1", wanted)
        if how == "no blob":
            del mirror.store.repository("team/app").blobs[layer]
        if how == "corrupt":
            mirror.fail("corrupt", path=layer, times=-1)
        server.store.add_image("team/app", "1", wanted)
        name = "127.0.0.1:1" if how == "dead" else mirror.host
        (tmp_path / "r.toml").write_text(f'[mirror."{server.host}"]\nendpoints = ["{name}"]\n')
        options = replace(quick, mirrors=str(tmp_path / "r.toml"))
        got = await pull(ref(server), sink, options=options, reporter=events.append)
    check_whole(got, wanted, sink)
    assert got.served_by == (name if how in ("no blob", "corrupt") else server.host)
    assert any(event.action in ("passed over", "retrying") for event in events)


def manifest_with(server: RegistryServer, layers: list[Descriptor], config: ImageConfig | None = None) -> None:
    store = server.store.repository("team/app")
    raw = (config or image().config).raw
    store.blobs[str(Digest.of(raw))] = raw
    made = Manifest.build(Descriptor(mediatype.OCI_CONFIG, Digest.of(raw), len(raw)), layers)
    store.put_manifest(made.raw, made.media_type, "1")


async def test_embedded_and_empty_blobs_need_no_request(quick: Options) -> None:
    base, sink = image(), MemoryBlobs()
    layers = []
    for layer in base.manifest.layers:
        with base.source.open(layer) as stream:
            layers.append(replace(layer, data=stream.read()))
    with RegistryServer() as server:
        manifest_with(server, layers, base.config)
        got = await pull(ref(server), sink, options=quick)
        assert server.count("GET", "/blobs/") == 1
    assert got.image.manifest.layers == tuple(layers)
    assert all(layer.digest in sink.blobs for layer in layers)


async def test_an_empty_layer_needs_no_request(quick: Options) -> None:
    sink, nothing = MemoryBlobs(), Digest.of(b"")
    config = ImageConfig.build(host(), [nothing])
    with RegistryServer() as server:
        manifest_with(server, [Descriptor(mediatype.OCI_LAYER, nothing, 0)], config)
        await pull(ref(server), sink, options=quick)
        assert server.count("GET", "/blobs/") == 1
    assert sink.blobs[nothing] == b""


async def test_a_layer_with_urls_comes_from_there_without_credentials(quick: Options) -> None:
    base, sink = image(), MemoryBlobs()
    first, second = base.manifest.layers
    with RegistryServer(auth="basic", users={"ann": "secret"}) as server, RegistryServer() as elsewhere:
        url = f"http://{elsewhere.host}/storage/far/away/{second.digest}"
        foreign = replace(second, urls=("ftp://x/y", url), media_type=mediatype.OCI_FOREIGN_LAYER_GZIP)
        server.store.add_image("team/app", "0", base)
        del server.store.repository("team/app").blobs[str(second.digest)]
        with base.source.open(second) as stream:
            elsewhere.store.repository("far/away").blobs[str(second.digest)] = stream.read()
        manifest_with(server, [first, foreign], base.config)
        ann = replace(quick, credentials=Fixed(Credential("ann", "secret")))
        await refused(server, ann, RegistryError, "does not have blob")
        got = await pull(ref(server), sink, options=replace(ann, tls_verify=False))
        assert [one.headers.get("Authorization") for one in elsewhere.requests] == [None]
    assert second.digest in sink.blobs
    assert got.image.manifest.layers[1].urls == ("ftp://x/y", url)


async def test_an_index_that_contains_itself_ends(quick: Options) -> None:
    # real cycles cannot be made (they need a hash collision), so a registry must lie, and is caught by the digest
    fake = Descriptor(mediatype.OCI_INDEX, Digest("sha256", "0" * 64), 400)
    index = Index.build([fake])
    with RegistryServer() as server:
        repository = server.store.repository("team/app")
        repository.put_manifest(index.raw, index.media_type, "1")
        repository.manifests[str(fake.digest)] = (index.media_type, index.raw)
        await refused(server, quick, IntegrityError, "gave a manifest with digest")


async def test_indexes_nested_too_deep(quick: Options) -> None:
    with RegistryServer() as server:
        repository = server.store.repository("team/app")
        index = Index.build([image().manifest.descriptor])
        for _ in range(10):
            repository.put_manifest(index.raw, index.media_type, "1")
            index = Index.build([index.descriptor])
        await refused(server, quick, LimitExceeded, "deeper than")


async def test_a_million_layers(quick: Options) -> None:
    layer = json.dumps(image().manifest.layers[0].to_json())
    config = json.dumps(image().manifest.config.to_json())
    start = f'{{"schemaVersion":2,"mediaType":"{mediatype.OCI_MANIFEST}","config":{config},"layers":['
    for count in (1_001, 25_000):
        text = start + ",".join([layer] * count) + "]}"
        with RegistryServer() as server:
            server.store.repository("team/app").put_manifest(text.encode(), mediatype.OCI_MANIFEST, "1")
            await refused(server, quick, LimitExceeded, "more than")


async def test_a_layer_of_a_petabyte(quick: Options) -> None:
    base = image()
    with RegistryServer() as server:
        manifest_with(server, [base.manifest.layers[0], replace(base.manifest.layers[1], size=1 << 50)], base.config)
        await refused(server, quick, LimitExceeded, "allowed")
        assert server.count("GET", "/blobs/") == 0


async def test_layers_that_do_not_fit_the_config_are_not_stored_as_an_image(quick: Options) -> None:
    base = image()
    with RegistryServer() as server:
        server.store.add_image("team/app", "0", base)
        manifest_with(server, [base.manifest.layers[0]], base.config)
        sink = await refused(server, quick, InvalidManifest, "diff ids")
    assert not any(b'"layers":[' in data for data in sink.blobs.values())


async def test_artifacts_and_old_manifests_are_refused_with_a_reason(quick: Options) -> None:
    with RegistryServer() as server:
        repository = server.store.repository("team/app")
        chart = Manifest.build(Descriptor("application/vnd.cncf.helm.config.v1+json", Digest.of(b"{}"), 2), [])
        repository.put_manifest(chart.raw, chart.media_type, "chart")
        await refused(server, quick, Unsupported, "is not a container image", "team/app:chart")
        repository.put_manifest(b'{"schemaVersion": 1, "fsLayers": []}', mediatype.DOCKER_SCHEMA1, "old")
        await refused(server, quick, Unsupported, "schema 1", "team/app:old")


def test_one_digest_with_two_sizes() -> None:
    layer = image().manifest.layers[0]
    assert unique([layer, layer]) == (layer,)
    with pytest.raises(InvalidManifest, match="two sizes"):
        unique([layer, replace(layer, size=layer.size + 1)])
