"""Pulls from end to end in one process: a registry that may misbehave, the client, the store, each driver."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard

from holdall.build.options import BuildOptions
from holdall.build.outputs import chosen
from holdall.engine import transfer
from holdall.engine.engine import Engine
from holdall.errors import HoldallError, IntegrityError, InvalidArchive, LimitExceeded, RegistryError
from holdall.events import Event
from holdall.image.image import Image, Layer
from holdall.image.memory import MemoryBlobs
from holdall.image.mutate import from_layers, set_config
from holdall.layer import compression
from holdall.layer.limits import DEFAULT
from holdall.oci import mediatype
from holdall.oci.container_config import ContainerConfig
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.platform import Platform, host
from holdall.oci.reference import Reference
from holdall.record import replace
from holdall.registry.options import Options
from holdall.store import compressed, image_writer
from holdall.store.anew import unavailable
from holdall.store.check import check
from holdall.store.gc import collect
from holdall.store.origins import Origins
from holdall.store.snapshots import probe
from holdall.testing.images import image_of_files, layer_of, random_image, random_index, tar_of
from holdall.testing.registry import RegistryServer

if TYPE_CHECKING:
    from holdall.store.images import ImageStore

ZEROS = "0" * 64


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No files of this machine, and no long waits."""
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    chosen = Options(environ=environ, backoff=0.005, retries=3, connect_timeout=5.0, read_timeout=5.0)
    monkeypatch.setattr(transfer, "client_options", lambda _options: chosen)


@pytest.fixture(params=["erofs", "overlay"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "store", tmp_path / "run", storage_driver="overlay") as first:
        first.database(durable=True)
        if request.param == "erofs" and probe.complaint(first.paths, "erofs"):
            pytest.skip("this kernel mounts no EROFS images")
    with Engine(tmp_path / "store", tmp_path / "run", storage_driver=request.param) as engine:
        yield engine


@pytest.fixture
def tars(engine: Engine) -> Engine:
    """Only with the driver that keeps tars."""
    if not engine.snapshots.keeps_tar:
        pytest.skip("the driver keeps compressed blobs")
    return engine


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


def two_layers(number: int = 0) -> Image:
    return image_of_files([{"etc/name": f"image {number}".encode()}, {"data": bytes(range(256)) * 400}])


def image_of(*layers: Layer) -> Image:
    return from_layers(host(), layers, created="2023-11-14T22:13:20Z")


def blob_layer(blob: bytes, media_type: str, diff_id: Digest, **more: object) -> Layer:
    blobs = MemoryBlobs()
    return Layer(replace(blobs.add(media_type, blob), **more), diff_id, blobs)


def pull(engine: Engine, server: RegistryServer, name: str = "team/app:1") -> tuple[Event, ...]:
    events: list[Event] = []
    engine.images.pull(f"{server.host}/{name}", reporter=events.append)
    return tuple(events)


def refused(engine: Engine, server: RegistryServer, kind: type[HoldallError], match: str) -> None:
    """The pull fails so, and leaves nothing."""
    with pytest.raises(kind, match=match):
        pull(engine, server)
    assert engine.images.list(all=True) == []
    assert list(engine.snapshots.diff_ids()) == []
    check_clean(engine, but="partial download")


def check_clean(engine: Engine, but: str = "") -> None:
    """Nothing is missing, nothing is left over, and blobs are what their names say."""
    database = engine.database(durable=True)
    assert [one for one in collect(database, engine.paths, engine.snapshots) if one.kind != but] == []
    assert check(database, engine.paths, engine.snapshots) == ()
    assert os.listdir(engine.paths.ingest) == []
    for digest in engine.images.store.content.digests():
        data = Path(engine.paths.blobs, digest.replace(":", "/")).read_bytes()
        assert str(Digest.of(data)) == digest


def check_stored(engine: Engine, wanted: Image) -> None:
    """The image is whole: by diff-id, on disk, and in the layout that other tools read."""
    record = engine.images.store.resolve(str(wanted.id))
    assert record.manifest == str(wanted.digest)
    assert record.layers == tuple(str(one) for one in wanted.config.diff_ids)
    content = engine.images.store.content
    for layer in wanted.layers:
        assert engine.snapshots.has(str(layer.diff_id))
        assert content.has(layer.diff_id if engine.snapshots.keeps_tar else layer.descriptor.digest)
        if engine.snapshots.keeps_tar and layer.descriptor.digest != layer.diff_id:
            assert not content.has(layer.descriptor.digest)
    index = json.loads(Path(engine.paths.root, "index.json").read_bytes())
    (entry,) = index["manifests"]
    listed = json.loads(Path(engine.paths.blobs, entry["digest"].replace(":", "/")).read_bytes())
    for one in (listed["config"], *listed["layers"]):
        assert Path(engine.paths.blobs, one["digest"].replace(":", "/")).stat().st_size == one["size"]
    check_clean(engine)


def blob_gets(server: RegistryServer, image: Image) -> list[int]:
    return [server.count("GET", str(one.digest)) for one in image.manifest.layers]


@pytest.mark.parametrize("form", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("docker", [False, True])
def test_every_compression(engine: Engine, server: RegistryServer, form: str, docker: bool) -> None:
    if docker and form == "zstd":
        pytest.skip("Docker has no media type for it")
    wanted = random_image(seed=5, layers=3, size=40_000, compression=form, docker=docker)
    server.store.add_image("team/app", "1", wanted)
    pull(engine, server)
    check_stored(engine, wanted)
    assert blob_gets(server, wanted) == [1, 1, 1]


def test_progress_ends_for_every_layer(engine: Engine, server: RegistryServer) -> None:
    wanted = two_layers()
    server.store.add_image("team/app", "1", wanted)
    events = pull(engine, server)
    for one in wanted.manifest.layers:
        assert [e.action for e in events if e.subject == one.digest.short and e.done] == ["downloaded"]


def test_a_second_pull_brings_no_layers(engine: Engine, server: RegistryServer) -> None:
    wanted = two_layers()
    server.store.add_image("team/app", "1", wanted)
    pull(engine, server)
    events = pull(engine, server)
    assert blob_gets(server, wanted) == [1, 1]
    assert [e.action for e in events if e.done and e.subject == wanted.manifest.layers[0].digest.short] == [
        "already exists"
    ]
    check_stored(engine, wanted)


def test_a_layer_that_another_driver_unpacked_does_not_stand_for_its_blob(
    tars: Engine, server: RegistryServer, tmp_path: Path
) -> None:
    """As in a store whose driver changed with the kernel: without a tar nothing could be made of the layer."""
    tar = tar_of({"etc/base": b"the same in both" * 1000})
    with Engine(tars.paths.root, tars.paths.run_root, storage_driver="overlay") as before:
        before.images.writing.write(image_of(layer_of(tar, compression="gzip")), Reference.parse("loaded"))
    pulled = image_of(layer_of(tar, compression="zstd"), layer_of(tar_of({"own": b"x"})))
    server.store.add_image("team/app", "1", pulled)
    pull(tars, server)
    store = tars.images.writing
    record = store.resolve(f"{server.host}/team/app:1")
    assert unavailable(store.image(record), store.content) == (pulled.layers[1].descriptor.digest,)
    store.write(set_config(store.image(record), ContainerConfig(user="9")), Reference.parse("committed"))
    with open(tmp_path / "saved", "wb") as out:
        tars.images.save(["committed"], out, format="oci-archive")
    check_clean(tars)


def test_a_layer_known_by_its_diff_id_is_not_brought_in_another_form(tars: Engine, server: RegistryServer) -> None:
    tar = tar_of({"etc/base": b"the same in both" * 1000})
    first = image_of(layer_of(tar, compression="gzip"))
    second = image_of(layer_of(tar, compression="zstd"), layer_of(tar_of({"own": b"x"})))
    server.store.add_image("team/app", "1", first)
    server.store.add_image("team/other", "1", second)
    pull(tars, server)
    pull(tars, server, "team/other:1")
    assert blob_gets(server, second) == [0, 1]
    check_clean(tars)
    assert [str(one.digest) for one in second.manifest.layers] != [str(one.digest) for one in first.manifest.layers]


def test_the_same_layer_twice_in_one_image(engine: Engine, server: RegistryServer) -> None:
    layer, other = layer_of(tar_of({"a": b"1" * 5000})), layer_of(tar_of({"b": b"2"}))
    wanted = image_of(layer, other, layer)
    server.store.add_image("team/app", "1", wanted)
    pull(engine, server)
    check_stored(engine, wanted)


def test_one_tar_twice_in_one_image_compressed_in_two_ways(engine: Engine, server: RegistryServer) -> None:
    tar = tar_of({"a": os.urandom(300_000)})
    wanted = image_of(layer_of(tar), layer_of(tar, compression="zstd"))
    server.store.add_image("team/app", "1", wanted)
    pull(engine, server)
    check_stored(engine, wanted)


def test_an_empty_layer(engine: Engine, server: RegistryServer) -> None:
    wanted = image_of(layer_of(bytes(1024)), layer_of(tar_of({"a": b"1"})))
    server.store.add_image("team/app", "1", wanted)
    pull(engine, server)
    check_stored(engine, wanted)


def test_where_layers_came_from_is_noted(tars: Engine, server: RegistryServer) -> None:
    wanted = two_layers()
    server.store.add_image("team/app", "1", wanted)
    pull(tars, server)
    for layer in wanted.layers:
        row = compressed.known(tars.database(), layer.descriptor.digest)
        assert row is not None
        assert (row.diff_id, row.descriptor.size) == (layer.diff_id, layer.descriptor.size)
        assert Origins(tars.database()).of(layer.descriptor.digest) == (f"{server.host}/team/app",)


# what a registry may do


@pytest.mark.parametrize("status", [429, 500, 503])
def test_answers_to_come_again(engine: Engine, server: RegistryServer, status: int) -> None:
    wanted = two_layers()
    server.store.add_image("team/app", "1", wanted)
    for part in ("/manifests/", "/blobs/"):
        server.fail("status", path=part, status=status, retry_after="0", times=2)
    pull(engine, server)
    check_stored(engine, wanted)


@pytest.mark.parametrize("after", [0, 1, 17, 30_000])
@pytest.mark.parametrize("ranges", [True, False])
def test_connections_lost_again_and_again(engine: Engine, server: RegistryServer, after: int, ranges: bool) -> None:
    wanted = random_image(seed=6, layers=1, size=60_000)
    server.store.add_image("team/app", "1", wanted)
    digest = str(wanted.manifest.layers[0].digest)
    server.fail("early-close", path=digest, after=after)
    if not ranges:
        server.fail("no-range", path=digest)
    pull(engine, server)
    check_stored(engine, wanted)


@pytest.mark.parametrize("layer", [0, 1])
def test_wrong_bytes(engine: Engine, server: RegistryServer, layer: int) -> None:
    wanted = two_layers()
    server.store.add_image("team/app", "1", wanted)
    server.fail("corrupt", path=str(wanted.manifest.layers[layer].digest), times=-1)
    refused(engine, server, IntegrityError, "has digest")
    server.faults.pending.clear()
    pull(engine, server)
    check_stored(engine, wanted)


@pytest.mark.parametrize("after", [0, 5])
def test_a_wrong_length(engine: Engine, server: RegistryServer, after: int) -> None:
    wanted = two_layers()
    server.store.add_image("team/app", "1", wanted)
    server.fail("short", path=str(wanted.manifest.layers[1].digest), after=after, times=-1)
    refused(engine, server, IntegrityError, f"offers {after} bytes")


def test_what_is_wrong_at_the_start_of_a_layer_may_be_the_connection(engine: Engine, server: RegistryServer) -> None:
    """Bytes that do not decompress are the digest's business: the next server is asked, as for any wrong bytes."""
    wanted = two_layers()
    server.store.add_image("team/app", "1", wanted)
    blobs = server.store.repository("team/app").blobs
    digest = str(wanted.manifest.layers[1].digest)
    blobs[digest] = b"\0" * len(blobs[digest])
    refused(engine, server, IntegrityError, "has digest")


def test_a_registry_that_goes_away(engine: Engine, server: RegistryServer) -> None:
    wanted = random_image(seed=7, layers=1, size=60_000)
    server.store.add_image("team/app", "1", wanted)
    digest = str(wanted.manifest.layers[0].digest)
    server.fail("early-close", path=digest, after=30_000)
    server.fail("status", path=digest, status=404, times=-1)
    with pytest.raises(RegistryError, match="does not have blob"):
        pull(engine, server)
    (part,) = os.listdir(engine.paths.ingest)
    assert os.stat(f"{engine.paths.ingest}/{part}").st_size == 30_000
    server.faults.pending.clear()
    server.requests.clear()
    pull(engine, server)
    assert [one.headers.get("Range") for one in server.requests if digest in one.path] == ["bytes=30000-"]
    check_stored(engine, wanted)


@pytest.mark.parametrize("kept", [b"\0" * 500, b"\0" * 500_000])
def test_a_part_that_is_wrong_is_brought_again(engine: Engine, server: RegistryServer, kept: bytes) -> None:
    """As after a power cut: what the part promised to hold is zeros."""
    wanted = random_image(seed=8, layers=1, size=60_000)
    server.store.add_image("team/app", "1", wanted)
    digest = wanted.manifest.layers[0].digest
    Path(engine.paths.ingest, f"sha256-{digest.encoded}.part").write_bytes(kept)
    pull(engine, server)
    check_stored(engine, wanted)


def test_a_part_that_is_whole_needs_no_request(engine: Engine, server: RegistryServer) -> None:
    wanted = random_image(seed=9, layers=1, size=60_000)
    server.store.add_image("team/app", "1", wanted)
    digest = wanted.manifest.layers[0].digest
    blob = server.store.repository("team/app").blobs[str(digest)]
    Path(engine.paths.ingest, f"sha256-{digest.encoded}.part").write_bytes(blob)
    pull(engine, server)
    assert blob_gets(server, wanted) == [0]
    check_stored(engine, wanted)


# what a manifest may claim


def test_a_diff_id_that_is_not_true(engine: Engine, server: RegistryServer) -> None:
    good = layer_of(tar_of({"a": b"1"}))
    lying = image_of(layer_of(tar_of({"b": b"2"})), replace(good, diff_id=Digest("sha256", ZEROS)))
    server.store.add_image("team/app", "1", lying)
    refused(engine, server, IntegrityError, "not to diff-id")
    assert compressed.known(engine.database(), good.descriptor.digest) is None


def test_a_claim_that_was_not_tried_poisons_nothing(tars: Engine, server: RegistryServer) -> None:
    """An image says that blob B is layer A, which is here: it gets layer A, and B stays what it is."""
    there = image_of(layer_of(tar_of({"a": b"1" * 1000})))
    other = layer_of(tar_of({"b": b"2" * 1000}))
    lying = image_of(replace(other, diff_id=there.config.diff_ids[0]))
    honest = image_of(other)
    for name, image in (("there", there), ("lying", lying), ("honest", honest)):
        server.store.add_image("team/" + name, "1", image)
        pull(tars, server, f"team/{name}:1")
        if name == "lying":
            assert compressed.known(tars.database(), other.descriptor.digest) is None
    row = compressed.known(tars.database(), other.descriptor.digest)
    assert row is not None
    assert row.diff_id == other.diff_id
    assert blob_gets(server, honest) == [1]
    assert tars.images.get(str(honest.id)).diff_ids == (str(other.diff_id),)
    check_clean(tars)


def test_one_blob_that_is_to_be_two_layers(engine: Engine, server: RegistryServer) -> None:
    layer = layer_of(tar_of({"a": b"1"}))
    server.store.add_image("team/app", "1", image_of(layer, replace(layer, diff_id=Digest("sha256", ZEROS))))
    refused(engine, server, IntegrityError, "diff-id")


@pytest.mark.parametrize("kind", ["gzip cut off", "garbage behind gzip", "zstd cut off", "no tar", "a cut header"])
def test_layers_that_are_damaged_though_their_digest_is_right(
    engine: Engine, server: RegistryServer, kind: str
) -> None:
    tar = tar_of({"a": os.urandom(100_000)})
    packed = {"gzip": gzip.compress(tar, 1), "zstd": zstandard.ZstdCompressor().compress(tar)}
    blob, inner = {
        "gzip cut off": (packed["gzip"][:-9], tar),
        "garbage behind gzip": (packed["gzip"] + b"garbage", tar),
        "zstd cut off": (packed["zstd"][:-1], tar),
        "no tar": (gzip.compress(b"no tar at all" * 100), b"no tar at all" * 100),
        "a cut header": (gzip.compress(tar[:300]), tar[:300]),
    }[kind]
    layer = blob_layer(blob, mediatype.OCI_LAYER_GZIP, Digest.of(inner))
    server.store.add_image("team/app", "1", image_of(layer))
    refused(engine, server, InvalidArchive, "cut off|garbage|ends|header|tar")


def test_a_bomb_is_stopped_while_it_comes(
    engine: Engine, server: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression.open_layer, "__defaults__", (None, replace(DEFAULT, expansion_free=1 << 20)))
    tar = tar_of({"zeros": bytes(32 << 20)})
    server.store.add_image("team/app", "1", image_of(layer_of(tar)))
    refused(engine, server, LimitExceeded, "expands to more than")


@pytest.mark.parametrize("name", ["../out", "/../../out", "a/../../out"])
def test_names_that_leave_the_layer(engine: Engine, server: RegistryServer, name: str, tmp_path: Path) -> None:
    server.store.add_image("team/app", "1", image_of(layer_of(tar_of({name: b"x"}))))
    with pytest.raises(HoldallError):
        pull(engine, server)
    assert not [one for one in tmp_path.rglob("out") if one.is_file()]
    check_clean(engine)


# forms that other tools give layers


def estargz(files: dict[str, bytes]) -> tuple[bytes, bytes]:
    """Blob and tar as stargz-snapshotter makes them: a gzip member for each file, one for the table, a footer."""
    pieces, inner, at = [], b"", 0
    table = json.dumps({"version": 1, "entries": [{"name": name, "type": "reg"} for name in files]}).encode()
    members = {".prefetch.landmark": b"\x0f", **files, "stargz.index.json": table}
    offset = 0
    for name, data in members.items():
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            piece = out.getvalue()[: tar.offset]
        if name == "stargz.index.json":
            offset, piece = at, piece + bytes(1024)
        pieces.append(gzip.compress(piece, 9, mtime=0))
        at += len(pieces[-1])
        inner += piece
    extra = b"SG" + struct.pack("<H", 22) + b"%016xSTARGZ" % offset
    footer = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + struct.pack("<H", len(extra)) + extra
    footer += b"\x01\0\0\xff\xff" + bytes(8)
    assert len(footer) == 51
    return b"".join(pieces) + footer, inner


def zstd_chunked(files: dict[str, bytes]) -> tuple[bytes, bytes]:
    """Blob and tar as containers/storage makes them: a frame for each file, then skippable frames: table and footer."""
    tar = tar_of(dict(files))
    cut = [0, 512, *range(20_000, len(tar), 20_000), len(tar)]
    frames = b"".join([zstandard.ZstdCompressor(level=3).compress(tar[a:b]) for a, b in itertools.pairwise(cut)])
    table = zstandard.ZstdCompressor().compress(json.dumps({"version": 1, "entries": []}).encode())
    skippable = b"\x50\x2a\x4d\x18"
    footer = struct.pack("<7Q", len(frames) + 8, len(table), 30, 1, 0, 0, 0) + b"GNUlInUx"
    tail = skippable + struct.pack("<I", len(table)) + table + skippable + struct.pack("<I", len(footer)) + footer
    return frames + tail, tar


FILES = {"bin/tool": os.urandom(50_000), "etc/name": b"value\n", "usr/share/text": b"words and words " * 4000}


def test_estargz(engine: Engine, server: RegistryServer, tmp_path: Path) -> None:
    blob, tar = estargz(FILES)
    note = {"containerd.io/snapshot/stargz/toc.digest": f"sha256:{ZEROS}"}
    layer = blob_layer(blob, mediatype.OCI_LAYER_GZIP, Digest.of(tar), annotations=note)
    server.store.add_image("team/app", "1", image_of(layer))
    pull(engine, server)
    check_stored(engine, image_of(layer))
    check_shown(engine, layer, {".prefetch.landmark": b"\x0f", **FILES}, {"stargz.index.json"})


def test_zstd_chunked(engine: Engine, server: RegistryServer) -> None:
    blob, tar = zstd_chunked(FILES)
    note = {"io.github.containers.zstd-chunked.manifest-checksum": f"sha256:{ZEROS}"}
    layer = blob_layer(blob, mediatype.OCI_LAYER_ZSTD, Digest.of(tar), annotations=note)
    server.store.add_image("team/app", "1", image_of(layer))
    pull(engine, server)
    check_stored(engine, image_of(layer))
    check_shown(engine, layer, FILES, set())


def check_shown(engine: Engine, layer: Layer, wanted: dict[str, bytes], more: set[str]) -> None:
    """The files of the layer, as they lie in its tree."""
    if engine.snapshots.keeps_tar:
        return  # what an index shows is the contract suite's business
    (tree,) = engine.snapshots.lowers((str(layer.diff_id),))
    found = {str(one.relative_to(tree)): one.read_bytes() for one in Path(tree).rglob("*") if one.is_file()}
    assert {name: data for name, data in found.items() if name not in more} == wanted
    assert more <= set(found)


def test_bytes_decide_about_the_compression(engine: Engine, server: RegistryServer) -> None:
    tar = tar_of({"a": b"1" * 1000})
    layer = blob_layer(gzip.compress(tar), mediatype.OCI_LAYER_ZSTD, Digest.of(tar))
    server.store.add_image("team/app", "1", image_of(layer))
    pull(engine, server)
    check_stored(engine, image_of(layer))


def test_a_foreign_layer_comes_from_its_url(engine: Engine, server: RegistryServer) -> None:
    tar = tar_of({"a": b"1" * 1000})
    layer = layer_of(tar)
    with RegistryServer() as far:
        url = f"{far.url}/v2/far/away/blobs/{layer.descriptor.digest}"
        foreign = replace(layer.descriptor, media_type="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
        foreign = replace(foreign, urls=(url,))
        wanted = image_of(replace(layer, descriptor=foreign))
        server.store.add_image("team/app", "1", wanted)
        far.store.add_image("far/away", "1", image_of(layer))
        del server.store.repository("team/app").blobs[str(layer.descriptor.digest)]
        with pytest.MonkeyPatch.context() as patch:
            options = transfer.client_options(None)
            patch.setattr(transfer, "client_options", lambda _options: replace(options, tls_verify=False))
            pull(engine, server)
    check_stored(engine, wanted)


def test_a_layer_inside_its_descriptor(engine: Engine, server: RegistryServer) -> None:
    tar = tar_of({"a": b"1"})
    blob = gzip.compress(tar)
    layer = blob_layer(blob, mediatype.OCI_LAYER_GZIP, Digest.of(tar), data=blob)
    wanted = image_of(layer)
    server.store.add_image("team/app", "1", wanted)
    pull(engine, server)
    check_stored(engine, wanted)
    assert blob_gets(server, wanted) == [0]


def test_sha512(engine: Engine, server: RegistryServer) -> None:
    tar = tar_of({"a": b"1" * 1000})
    blob, blobs = gzip.compress(tar), MemoryBlobs()
    digest = Digest.of(blob, "sha512")
    blobs.blobs[digest] = blob
    wanted = image_of(Layer(Descriptor(mediatype.OCI_LAYER_GZIP, digest, len(blob)), Digest.of(tar), blobs))
    server.store.add_image("team/app", "1", wanted)
    pull(engine, server)
    check_clean_512(engine, wanted)


def check_clean_512(engine: Engine, wanted: Image) -> None:
    assert engine.images.get(str(wanted.id)).diff_ids == (str(wanted.config.diff_ids[0]),)
    assert engine.snapshots.has(str(wanted.config.diff_ids[0]))


def test_an_image_that_is_removed_while_it_is_pushed_arrives_whole(engine: Engine, server: RegistryServer) -> None:
    wanted = two_layers()
    name = f"{server.host}/team/app:1"
    engine.images.writing.write(wanted, Reference.parse(name))

    def remove(_event: Event) -> None:
        if engine.images.list():
            engine.images.remove(name)

    assert engine.images.push(name, reporter=remove) == str(wanted.digest)
    assert engine.images.list() == []
    check_clean(engine)
    pull(engine, server)
    check_stored(engine, wanted)


def test_an_index_of_which_images_are_removed_while_it_is_pushed_arrives_whole(
    engine: Engine, server: RegistryServer
) -> None:
    made = random_index(9)
    name = f"{server.host}/team/app:1"
    for member in [made.image(Platform.parse(name)) for name in ("linux/amd64", "linux/arm64")]:
        engine.images.writing.write(member, Reference.parse(name), index=made.index, member=True)

    def remove(_event: Event) -> None:
        if engine.images.list(all=True):
            engine.images.remove(name)

    assert engine.images.push(name, reporter=remove) == str(made.digest)
    assert engine.images.list(all=True) == []
    check_clean(engine)


def test_an_image_that_is_removed_while_its_build_pushes_it_is_built(
    engine: Engine, server: RegistryServer, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    name = f"{server.host}/team/app:1"
    removed = []

    def remove(_event: object) -> None:
        if engine.images.list():
            removed.append(engine.images.remove(name))

    options = BuildOptions(str(tmp_path), tags=(name,), outputs=chosen((), push=True))
    built = engine.builds.build(options, remove)
    assert len(removed) == 1
    assert server.count("PUT", "/v2/team/app/manifests/1") == 1
    assert engine.images.pull(name).id == built.id


def test_the_platforms_of_a_build_are_no_nameless_images_at_any_time(
    engine: Engine, server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n")
    name = f"{server.host}/team/app:1"
    settle = image_writer.settle

    def prune(store: ImageStore, blobs: set[str], layers: set[str] | None = None) -> tuple[tuple[str, ...], int]:
        if layers is None:
            engine.images.prune()
        return settle(store, blobs, layers)

    monkeypatch.setattr(image_writer, "settle", prune)
    platforms = ("linux/amd64", "linux/arm64", "linux/riscv64")
    engine.builds.build(BuildOptions(str(tmp_path), tags=(name,), platforms=platforms))
    assert len(engine.images.list(all=True)) == len(platforms)
    engine.images.push(name)
    assert server.count("PUT", "/v2/team/app/manifests/sha256:") == len(platforms)
