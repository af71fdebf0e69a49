from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.errors import HoldallError, ImageNotFound, IntegrityError, InvalidOption, PathNotFound
from holdall.haul import copy as copying
from holdall.haul.copy import Choice, copy
from holdall.haul.facts import documents, facts, raw
from holdall.haul.origins import Origins
from holdall.haul.place import Place
from holdall.image.image import Image
from holdall.oci import mediatype
from holdall.oci.digest import Digest
from holdall.oci.index import Index
from holdall.oci.manifest import Manifest
from holdall.oci.platform import Platform
from holdall.record import replace
from holdall.registry.options import Options
from holdall.store.archive_writer import save
from holdall.testing.images import blobs_of, index_of, random_image, random_index
from holdall.testing.mirrored import add_blob, add_manifest
from holdall.testing.registry import RegistryServer
from holdall.testing.served import manifest

IMAGE = random_image(seed=1, layers=3, size=5_000)
INDEX = random_index(seed=5, platforms=("linux/amd64", "linux/arm64", "linux/riscv64"))
ALL = Choice(everything=True)


@pytest.fixture
def quick(tmp_path: Path) -> Options:
    (tmp_path / "home").mkdir()
    return Options(environ={"HOME": str(tmp_path / "home")}, backoff=0.01, retries=2)


@pytest.fixture
def one() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", IMAGE)
        server.store.add_index("team/multi", "1", INDEX)
        yield server


@pytest.fixture
def two() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


def at(server: RegistryServer, rest: str) -> Place:
    return Place.parse(f"{server.host}/{rest}")


def layout(path: Path, name: str = "") -> Place:
    return Place.parse(f"oci:{path}" + (f":{name}" if name else ""))


def blobs_in(path: Path) -> dict[Digest, bytes]:
    return {Digest("sha256", file.name): file.read_bytes() for file in (path / "blobs/sha256").iterdir()}


def blobs_at(server: RegistryServer, repository: str) -> dict[str, bytes]:
    found = server.store.repository(repository)
    return {**found.blobs, **{digest: raw for digest, (_, raw) in found.manifests.items()}}


async def test_from_registry_to_registry(one: RegistryServer, two: RegistryServer, quick: Options) -> None:
    done = await copy(at(one, "team/app:1"), at(two, "other/app:2"), tags=["3"], options=quick)
    assert (done.digest, done.there) == (IMAGE.digest, False)
    assert blobs_at(two, "other/app") == {str(digest): data for digest, data in blobs_of(IMAGE).items()}
    assert two.store.repository("other/app").tags == {"2": str(IMAGE.digest), "3": str(IMAGE.digest)}
    fetched = one.count("GET", "blobs")
    done = await copy(at(one, "team/app:1"), at(two, "other/app:2"), options=quick)
    assert done.there
    assert one.count("GET", "blobs") == fetched


async def test_blobs_that_are_there_are_not_sent(one: RegistryServer, two: RegistryServer, quick: Options) -> None:
    layer = IMAGE.manifest.layers[0]
    with IMAGE.source.open(layer) as stream:
        add_blob(two, stream.read(), "other/app")
    await copy(at(one, "team/app:1"), at(two, "other/app:2"), options=quick)
    assert not one.count("GET", f"blobs/{layer.digest}")
    assert one.count("GET", "blobs") == 3


async def test_within_a_registry_blobs_are_mounted(one: RegistryServer, quick: Options) -> None:
    await copy(at(one, "team/app:1"), at(one, "team/copy:1"), options=quick)
    assert one.store.repository("team/copy").tags == {"1": str(IMAGE.digest)}
    assert not one.count("GET", "team/app/blobs")
    assert not one.count("PATCH")


async def test_what_was_sent_to_one_repository_is_mounted_into_the_next(
    one: RegistryServer, two: RegistryServer, quick: Options
) -> None:
    origins = Origins()
    for name in ("a", "b"):
        await copy(at(one, "team/app:1"), at(two, f"{name}:1"), origins=origins, options=quick)
    assert one.count("GET", "team/app/blobs") == 4
    assert blobs_at(two, "a") == blobs_at(two, "b")


async def test_all_platforms_or_one(one: RegistryServer, two: RegistryServer, quick: Options) -> None:
    await copy(at(one, "team/multi:1"), at(two, "multi:1"), choice=ALL, options=quick)
    found = two.store.repository("multi")
    assert found.tags == {"1": str(INDEX.digest)}
    assert len(found.manifests) == 4
    wanted = Platform.parse("linux/riscv64")
    done = await copy(at(one, "team/multi:1"), at(two, "risc:1"), choice=Choice(platform=wanted), options=quick)
    assert done.digest == INDEX.image(wanted).digest
    assert len(two.store.repository("risc").manifests) == 1
    with pytest.raises(ImageNotFound):
        await copy(
            at(one, "team/multi:1"),
            at(two, "x:1"),
            choice=Choice(platform=Platform.parse("linux/s390x")),
            options=quick,
        )


async def test_artifacts_and_attestations_go_along(one: RegistryServer, two: RegistryServer, quick: Options) -> None:
    config, layer = add_blob(one, b"{}"), add_blob(one, b"statement")
    document = manifest(
        config, 2, layers=[{"mediaType": "application/vnd.in-toto+json", "digest": str(layer), "size": 9}]
    )
    digest = add_manifest(one, document, "attestation")
    described = replace(Manifest.parse(document).descriptor, platform=Platform("unknown", "unknown"))
    image = INDEX.image(Platform.parse("linux/amd64"))
    one.store.add_image("team/app", "amd64", image)
    index = Index.build([image.descriptor, described])
    one.store.repository("team/app").put_manifest(index.raw, mediatype.OCI_INDEX, "signed")
    await copy(at(one, "team/app:signed"), at(two, "app:signed"), choice=ALL, options=quick)
    assert set(two.store.repository("app").manifests) == {str(index.digest), str(image.digest), str(digest)}
    await copy(at(one, "team/app:attestation"), at(two, "bare:1"), options=quick)
    assert set(two.store.repository("bare").manifests) == {str(digest)}


async def test_to_a_layout_and_back(one: RegistryServer, two: RegistryServer, quick: Options, tmp_path: Path) -> None:
    await copy(at(one, "team/app:1"), layout(tmp_path / "l", "app"), options=quick)
    assert blobs_in(tmp_path / "l") == blobs_of(IMAGE)
    assert json.loads((tmp_path / "l/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert not (tmp_path / "l/ingest").exists()
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in (tmp_path / "l/blobs/sha256").iterdir())
    await copy(at(one, "team/multi:1"), layout(tmp_path / "l", "multi"), choice=ALL, options=quick)
    index = Index.parse((tmp_path / "l/index.json").read_bytes(), mediatype.OCI_INDEX)
    assert [(item.annotations or {})["org.opencontainers.image.ref.name"] for item in index.manifests] == [
        "app",
        "multi",
    ]
    asked = len(one.requests)
    await copy(layout(tmp_path / "l", "multi"), at(two, "multi:1"), choice=ALL, options=quick)
    await copy(layout(tmp_path / "l", "app"), at(two, "app:1"), options=quick)
    assert len(one.requests) == asked
    assert two.store.repository("multi").tags == {"1": str(INDEX.digest)}
    assert two.store.repository("app").tags == {"1": str(IMAGE.digest)}


async def test_names_in_a_layout_move(one: RegistryServer, quick: Options, tmp_path: Path) -> None:
    for _ in range(2):
        await copy(at(one, "team/app:1"), layout(tmp_path, "1"), options=quick)
        await copy(at(one, "team/app:1"), layout(tmp_path), options=quick)
    await copy(at(one, "team/multi:1"), layout(tmp_path, "1"), options=quick)
    index = Index.parse((tmp_path / "index.json").read_bytes(), mediatype.OCI_INDEX)
    assert [bool(item.annotations) for item in index.manifests] == [False, True]
    assert index.manifests[0].digest == IMAGE.digest


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
async def test_to_an_archive_and_back(
    one: RegistryServer, two: RegistryServer, quick: Options, tmp_path: Path, kind: str
) -> None:
    place = Place.parse(f"{kind}:{tmp_path}/a.tar:team/app")
    for _ in range(2):
        done = await copy(at(one, "team/app:1"), place, options=quick)
        assert done.digest == IMAGE.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "home"]
    with tarfile.open(tmp_path / "a.tar") as tar:
        names = tar.getnames()
    assert ("manifest.json" in names) == (kind == "docker-archive")
    back = await copy(Place.parse(f"{kind}:{tmp_path}/a.tar"), at(two, "app:1"), options=quick)
    assert back.digest == IMAGE.digest
    assert blobs_at(two, "app") == {str(digest): data for digest, data in blobs_of(IMAGE).items()}
    named = await copy(Place.parse(f"{kind}:{tmp_path}/a.tar:team/app"), at(two, "named:1"), options=quick)
    assert named.digest == IMAGE.digest


async def test_an_index_in_an_archive(one: RegistryServer, two: RegistryServer, quick: Options, tmp_path: Path) -> None:
    await copy(at(one, "team/multi:1"), Place.parse(f"oci-archive:{tmp_path}/a.tar"), choice=ALL, options=quick)
    first = (tmp_path / "a.tar").read_bytes()
    await copy(Place.parse(f"oci-archive:{tmp_path}/a.tar"), at(two, "multi:1"), choice=ALL, options=quick)
    assert two.store.repository("multi").tags == {"1": str(INDEX.digest)}
    await copy(at(one, "team/multi:1"), Place.parse(f"oci-archive:{tmp_path}/a.tar"), choice=ALL, options=quick)
    assert (tmp_path / "a.tar").read_bytes() == first
    with pytest.raises(InvalidOption, match="one platform"):
        await copy(at(one, "team/multi:1"), Place.parse(f"docker-archive:{tmp_path}/b.tar"), choice=ALL, options=quick)


async def test_an_archive_of_an_old_docker(two: RegistryServer, quick: Options, tmp_path: Path) -> None:
    with open(tmp_path / "new.tar", "wb") as out:
        save([(random_image(seed=8, compression="none"), ["docker.io/library/a:1"])], out)
    with tarfile.open(tmp_path / "new.tar") as new, tarfile.open(tmp_path / "old.tar", "w") as old:
        for member in new:
            if member.name not in ("index.json", "oci-layout"):
                old.addfile(member, new.extractfile(member) if member.isfile() else None)
    done = await copy(Place.parse(f"docker-archive:{tmp_path}/old.tar:a:1"), at(two, "a:1"), options=quick)
    assert two.store.repository("a").tags == {"1": str(done.digest)}
    with pytest.raises(ImageNotFound, match='no image "b"') as caught:
        await copy(Place.parse(f"docker-archive:{tmp_path}/old.tar:b"), at(two, "a:1"), options=quick)
    assert caught.value.hint == "it has docker.io/library/a:1"


async def test_a_copy_to_a_folder_goes_on_where_it_broke(one: RegistryServer, quick: Options, tmp_path: Path) -> None:
    image = random_image(seed=3, layers=1, size=200_000)
    one.store.add_image("big", "1", image)
    layer = image.manifest.layers[0]
    one.fail("early-close", path=str(layer.digest), after=layer.size // 2, times=10)
    with pytest.raises(HoldallError):
        await copy(at(one, "big:1"), layout(tmp_path / "l"), options=replace(quick, retries=0))
    assert list((tmp_path / "l/ingest").iterdir())
    one.faults.pending.clear()
    asked = len(one.requests)
    await copy(at(one, "big:1"), layout(tmp_path / "l"), options=quick)
    ranges = [seen.headers.get("Range") for seen in one.requests[asked:] if str(layer.digest) in seen.path]
    assert len(ranges) == 1
    assert str(ranges[0]).startswith("bytes=")
    assert blobs_in(tmp_path / "l") == blobs_of(image)


async def test_wrong_bytes_end_up_nowhere(
    one: RegistryServer, two: RegistryServer, quick: Options, tmp_path: Path
) -> None:
    layer = IMAGE.manifest.layers[1]
    one.store.repository("team/app").blobs[str(layer.digest)] = b"x" * layer.size
    for target in (at(two, "app:1"), layout(tmp_path / "l")):
        with pytest.raises(IntegrityError):
            await copy(at(one, "team/app:1"), target, options=quick)
    assert str(layer.digest) not in two.store.repository("app").blobs
    assert not two.store.repository("app").tags
    assert not (tmp_path / "l/index.json").exists()


async def test_what_is_not_there_is_said(one: RegistryServer, quick: Options, tmp_path: Path) -> None:
    for place, kind in (
        (layout(tmp_path / "none"), PathNotFound),
        (Place.parse(f"oci-archive:{tmp_path}/none"), PathNotFound),
        (at(one, "team/app:none"), HoldallError),
    ):
        with pytest.raises(kind, match="cannot copy"):
            await copy(place, layout(tmp_path / "l"), options=quick)
    await copy(at(one, "team/app:1"), layout(tmp_path / "l", "a"), options=quick)
    await copy(at(one, "team/multi:1"), layout(tmp_path / "l", "b"), options=quick)
    with pytest.raises(ImageNotFound, match="has 2 images") as caught:
        await copy(layout(tmp_path / "l"), layout(tmp_path / "m"), options=quick)
    assert caught.value.hint == "name one of a, b"
    done = await copy(layout(tmp_path / "l", f"@{IMAGE.digest}"), layout(tmp_path / "m"), options=quick)
    assert done.digest == IMAGE.digest
    with pytest.raises(InvalidOption, match="tags are for registries"):
        await copy(layout(tmp_path / "l", "a"), layout(tmp_path / "m"), tags=["x"], options=quick)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidOption, match="is no folder"):
        await copy(at(one, "team/app:1"), layout(tmp_path / "file"), options=quick)


@pytest.mark.parametrize("text", ["oci:", "dir:/x", "docker-daemon:x", "containers-storage:x"])
def test_places_that_are_none(text: str) -> None:
    with pytest.raises(InvalidOption):
        Place.parse(text)


def test_places() -> None:
    assert str(Place.parse("docker://debian")) == "debian:latest"
    assert str(Place.parse("localhost:5000/a@sha256:" + "0" * 64)).startswith("localhost:5000/a@sha256")
    place = Place.parse("docker-archive:/x/y.tar:a/b:1")
    assert (place.path, place.name, str(place)) == ("/x/y.tar", "a/b:1", "docker-archive:/x/y.tar:a/b:1")


async def test_facts_are_those_of_the_image(one: RegistryServer, quick: Options, tmp_path: Path) -> None:
    shown = await facts(at(one, "team/app:1"), options=quick)
    assert shown["Name"] == f"{one.host}/team/app"
    assert (shown["Digest"], shown["ManifestDigest"]) == (str(IMAGE.digest),) * 2
    assert (shown["RepoTags"], shown["Labels"], shown["Os"]) == (["1"], {"seed": "1"}, "linux")
    assert shown["Layers"] == [str(layer.digest) for layer in IMAGE.manifest.layers]
    assert shown["LayersData"][0]["Size"] == IMAGE.manifest.layers[0].size
    assert shown["Size"] == IMAGE.size
    assert one.count("GET", "blobs") == 1
    multi = await facts(at(one, "team/multi:1"), Platform.parse("linux/arm64"), tags=False, options=quick)
    assert multi["Platforms"] == ["linux/amd64", "linux/arm64", "linux/riscv64"]
    assert (multi["Architecture"], multi["RepoTags"]) == ("arm64", [])
    await copy(at(one, "team/app:1"), layout(tmp_path, "x"), options=quick)
    local = await facts(layout(tmp_path, "x"), options=quick)
    assert local["Labels"] == {"seed": "1"}
    assert await raw(at(one, "team/multi:1"), options=quick) == INDEX.index.raw
    found = await documents(at(one, "team/app:1"), options=quick)
    assert (found.raw, found.config) == (IMAGE.manifest.raw, IMAGE.config.raw)


async def test_facts_of_an_artifact(one: RegistryServer, quick: Options) -> None:
    config = add_blob(one, b"{}")
    add_manifest(one, manifest(config, 2, annotations={"a": "b"}), "thing")
    shown = await facts(at(one, "team/app:thing"), options=quick)
    assert (shown["ArtifactType"], shown["Annotations"], shown["Layers"]) == ("application/vnd.test", {"a": "b"}, [])
    assert "Os" not in shown


async def test_docker_media_types_stay(
    two: RegistryServer, one: RegistryServer, quick: Options, tmp_path: Path
) -> None:
    images: list[Image] = [
        random_image(seed=n, docker=True, platform=Platform.parse(f"linux/{a}"))
        for n, a in enumerate(("amd64", "arm64"))
    ]
    index = index_of(images, mediatype.DOCKER_LIST)
    one.store.add_index("old", "1", index)
    await copy(at(one, "old:1"), layout(tmp_path, "1"), choice=ALL, options=quick)
    await copy(layout(tmp_path, "1"), at(two, "old:1"), choice=ALL, options=quick)
    assert two.store.repository("old").manifests == one.store.repository("old").manifests


async def test_what_a_mirror_of_the_target_has_is_not_at_the_target(
    one: RegistryServer, two: RegistryServer, quick: Options, tmp_path: Path
) -> None:
    mirrors = tmp_path / "registries.toml"
    mirrors.write_text(f'[mirror."{two.host}"]\nendpoints = ["http://{one.host}"]\n')
    options = replace(quick, mirrors=str(mirrors))
    copied = await copy(at(one, "team/app:1"), at(two, "team/app:1"), options=options)
    assert not copied.there
    assert two.store.repository("team/app").tags == {"1": str(IMAGE.digest)}


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
async def test_what_a_kill_leaves_of_an_archive_goes_with_the_next_copy(
    one: RegistryServer, quick: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    target = Place.parse(f"{kind}:{folder}/image.tar:app:1")
    with monkeypatch.context() as patch:
        patch.setattr(copying, "os", Dying())
        with pytest.raises(RuntimeError, match="killed"):
            await copy(at(one, "team/app:1"), target, options=quick)
    await copy(at(one, "team/app:1"), target, options=quick)
    assert [path.name for path in folder.iterdir()] == ["image.tar"]
    assert tarfile.is_tarfile(folder / "image.tar")


class Dying:
    """The module os for somebody who is killed when a file is to get its name, and tidies nothing up."""

    def rename(self, *_paths: str) -> None:
        raise RuntimeError("killed")

    def unlink(self, _path: str) -> None:
        return

    def getpid(self) -> int:
        return 1

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)
