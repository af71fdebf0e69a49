from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import threading
from pathlib import Path

import pytest
import zstandard

from holdall.errors import (
    BlobNotFound,
    ImageNotFound,
    IntegrityError,
    InvalidArchive,
    InvalidManifest,
    InvalidOption,
    LimitExceeded,
    PathNotFound,
    Unsupported,
)
from holdall.image.image import Image
from holdall.image.mutate import with_media_types
from holdall.oci.container_config import ContainerConfig
from holdall.oci.digest import Digest
from holdall.oci.index import Index
from holdall.oci.platform import Platform, host
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.record import replace
from holdall.store import archive, files
from holdall.store.check import check
from holdall.store.images import ImageStore
from holdall.testing.images import blobs_of, random_image, random_index, tar_of

NAME = "docker.io/library/debian:12"

Members = list[tuple[str, bytes | str]]


def pack(members: Members) -> bytes:
    """A tar of names and contents; a str is a symlink's target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def saved(*images: tuple[Image, tuple[str, ...]], form: str = "docker-archive") -> bytes:
    out = io.BytesIO()
    archive.save(images, out, format=form)
    return out.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]


def plain_layers(image: Image) -> list[bytes]:
    found = []
    for layer in image.layers:
        with layer.open() as stream:
            found.append(gzip.decompress(stream.read()))
    return found


def legacy(image: Image, tags: list[str], *, symlinks: bool = False, squeeze: bool = False) -> Members:
    """What docker 1.10 to 24 wrote."""
    members: Members = [(f"{image.id.encoded}.json", image.config.raw)]
    names = []
    for number, tar in enumerate(plain_layers(image)):
        name = f"{number:064x}/layer.tar"
        if symlinks:
            members += [(f"{Digest.of(tar).encoded}.tar", tar), (name, f"../{Digest.of(tar).encoded}.tar")]
        else:
            members += [(f"{number:064x}/VERSION", b"1.0"), (name, gzip.compress(tar) if squeeze else tar)]
        names.append(name)
    entry = {"Config": f"{image.id.encoded}.json", "RepoTags": tags, "Layers": names}
    return [*members, ("manifest.json", json.dumps([entry]).encode())]


def layout(*entries: tuple[Image, str], extra: Members = []) -> Members:  # noqa: B006
    """An image layout with these images under these ref names."""
    members: Members = [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')]
    described = []
    for image, name in entries:
        members += [(f"blobs/sha256/{digest.encoded}", data) for digest, data in blobs_of(image).items()]
        notes = {"org.opencontainers.image.ref.name": name} if name else None
        described.append(replace(image.descriptor, annotations=notes))
    return [*dict(members).items(), ("index.json", Index.build(described).raw), *extra]


def load(data: bytes, paths: Paths) -> archive.Loaded:
    return archive.load(io.BytesIO(data), paths)


def load_into(images: ImageStore, data: bytes) -> None:
    with load(data, images.content.paths) as loaded:
        for image, names in loaded.images:
            images.write(image, Reference.parse(names[0]) if names else None)


@pytest.mark.parametrize("form", archive.save.__globals__["FORMATS"])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_what_was_saved_loads_with_equal_bytes(images: ImageStore, form: str, compression: str) -> None:
    image = random_image(1, layers=3, compression=compression)
    data = saved((image, (NAME, "ghcr.io/x/y:1")), form=form)
    with load(data, images.content.paths) as loaded:
        ((back, names),) = loaded.images
        assert (back.digest, back.id, names) == (image.digest, image.id, (NAME, "ghcr.io/x/y:1"))
        assert blobs_of(back) == blobs_of(image)
        images.write(back, None)
    assert check(images.database, images.content.paths, images.snapshots) == ()


def test_saving_twice_gives_equal_bytes() -> None:
    assert saved((random_image(1), (NAME,))) == saved((random_image(1), (NAME,)))


def test_several_images_share_layers_in_one_archive(paths: Paths, images: ImageStore) -> None:
    first, second = random_image(1), random_image(2)
    data = saved((first, (NAME,)), (second, ()), (first, ("localhost:5000/a:b",)))
    assert len([name for name in tarfile.open(fileobj=io.BytesIO(data)).getnames() if "blobs/sha256/" in name]) == 8
    with load(data, paths) as loaded:
        assert [(one.id, names) for one, names in loaded.images] == [
            (first.id, (NAME, "localhost:5000/a:b")),
            (second.id, ()),
        ]


def test_a_saved_archive_is_both_a_layout_and_a_docker_archive() -> None:
    image = random_image(1)
    members = unpack(saved((image, (NAME,))))
    (entry,) = json.loads(members["manifest.json"])
    assert entry["RepoTags"] == ["debian:12"]
    assert Digest.of(members[entry["Config"]]) == image.id
    assert [members[name] for name in entry["Layers"]] == [blobs_of(image)[one.digest] for one in image.manifest.layers]
    assert json.loads(members["index.json"])["manifests"][0]["digest"] == str(image.digest)


def test_zstd_layers_lie_beside_as_plain_tars_for_old_dockers() -> None:
    image = random_image(1, compression="zstd")
    members = unpack(saved((image, (NAME,))))
    (entry,) = json.loads(members["manifest.json"])
    assert [Digest.of(members[name]) for name in entry["Layers"]] == list(image.config.diff_ids)
    assert f"blobs/sha256/{image.manifest.layers[0].digest.encoded}" in members


def test_oci_archives_have_oci_media_types_only() -> None:
    image = with_media_types(random_image(1), docker=True)
    members = unpack(saved((image, (NAME,)), form="oci-archive"))
    assert "manifest.json" not in members
    assert not any(b"vnd.docker" in data for name, data in members.items() if data.startswith(b"{"))


def test_a_damaged_blob_is_not_saved(images: ImageStore) -> None:
    record = images.write(random_image(1), Reference.parse(NAME))
    image = images.image(record)
    path = Path(images.content.path(image.manifest.layers[0].digest))
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(IntegrityError):
        saved((image, (NAME,)))


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidOption):
        saved((random_image(1), ()), form="zip")


@pytest.mark.parametrize("symlinks", [False, True])
@pytest.mark.parametrize("squeeze", [False, True])
def test_archives_of_older_dockers_load(images: ImageStore, symlinks: bool, squeeze: bool) -> None:
    image = random_image(1, layers=2)
    with load(pack(legacy(image, ["debian:12"], symlinks=symlinks, squeeze=squeeze)), images.content.paths) as loaded:
        ((back, names),) = loaded.images
        assert (back.id, names) == (image.id, (NAME,))
        record = images.write(back, None)
    assert record.layers == tuple(str(one) for one in image.config.diff_ids)


def feed(fd: int, data: bytes) -> None:
    with open(fd, "wb") as pipe:
        pipe.write(data)


@pytest.mark.parametrize("squeeze", [lambda data: data, gzip.compress, zstandard.ZstdCompressor().compress])
@pytest.mark.parametrize("way", ["file", "path", "memory", "pipe", "offset"])
def test_archives_come_in_any_wrapping_and_way(paths: Paths, images: ImageStore, tmp_path: Path, squeeze, way) -> None:  # type: ignore[no-untyped-def]  # fmt: skip
    image = random_image(1)
    data = squeeze(saved((image, (NAME,))))
    path = tmp_path / "archive"
    path.write_bytes(data)
    if way == "path":
        loaded = archive.load(str(path), paths)
    elif way == "file":
        with path.open("rb") as stream:
            loaded = archive.load(stream, paths)
    elif way == "offset":
        path.write_bytes(b"ahead of it" + data)
        with path.open("rb", buffering=0) as stream:
            stream.seek(11)
            loaded = archive.load(stream, paths)
    elif way == "pipe":
        read, write = os.pipe()
        writer = threading.Thread(target=feed, args=(write, data))
        writer.start()
        with open(read, "rb") as stream:
            loaded = archive.load(stream, paths)
        writer.join()
    else:
        loaded = load(data, paths)
    with loaded:
        assert [(one.digest, names) for one, names in loaded.images] == [(image.digest, (NAME,))]
        assert blobs_of(loaded.images[0][0]) == blobs_of(image)
    assert os.listdir(paths.ingest) == []


def test_a_layout_folder_loads(paths: Paths, tmp_path: Path) -> None:
    image = random_image(1)
    for name, data in layout((image, "debian:12")):
        assert isinstance(data, bytes)
        (tmp_path / "layout" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "layout" / name).write_bytes(data)
    with archive.load(str(tmp_path / "layout"), paths) as loaded:
        assert [(one.digest, names) for one, names in loaded.images] == [(image.digest, (NAME,))]


REF_NAMES = {
    "debian:12": NAME,
    "docker.io/library/debian:12": NAME,
    "debian": "docker.io/library/debian:latest",
    "latest": None,
    "v1.2": None,
    "12-slim": None,
    "UPPER": None,
    "": None,
}


@pytest.mark.parametrize("ref_name", REF_NAMES)
def test_ref_names_that_name_a_repository_become_names(paths: Paths, images: ImageStore, ref_name: str) -> None:
    expected = REF_NAMES[ref_name]
    with load(pack(layout((random_image(1), ref_name))), paths) as loaded:
        assert loaded.images[0][1] == ((expected,) if expected else ())


def test_an_index_in_a_layout_gives_this_hosts_image(paths: Paths, images: ImageStore) -> None:
    index = random_index(1, (str(host()), "linux/s390x"))
    wanted, other = index.image(host()), index.image(Platform("linux", "s390x"))
    members = layout((wanted, ""), (other, ""))
    described = replace(index.descriptor, annotations={"org.opencontainers.image.ref.name": "debian:12"})
    members[-1] = ("index.json", Index.build([described]).raw)
    members.append((f"blobs/sha256/{index.digest.encoded}", index.index.raw))
    data = pack(members)
    with load(data, paths) as loaded:
        assert [(one.digest, names) for one, names in loaded.images] == [(wanted.digest, (NAME,))]
    with archive.load(io.BytesIO(data), paths, platform=Platform("linux", "s390x")) as loaded:
        assert loaded.images[0][0].digest == other.digest
    with pytest.raises(ImageNotFound):
        archive.load(io.BytesIO(data), paths, platform=Platform("linux", "riscv64"))


def test_one_name_for_several_platforms_gives_this_hosts(paths: Paths, images: ImageStore) -> None:
    mine, other = random_image(1), random_image(2, platform=Platform("linux", "s390x"))
    with load(pack(layout((other, "debian:12"), (mine, "debian:12"))), paths) as loaded:
        assert [one.digest for one, _ in loaded.images] == [mine.digest]


def test_artifacts_beside_images_are_passed_over_but_not_alone(paths: Paths, images: ImageStore) -> None:
    image = random_image(1)
    raw = image.manifest.raw.replace(b"application/vnd.oci.image.config.v1+json", b"application/vnd.cncf.helm.config")
    artifact = replace(image.descriptor, digest=Digest.of(raw), size=len(raw), platform=None)
    blob = (f"blobs/sha256/{artifact.digest.encoded}", raw)
    both = [*layout((image, "debian:12"))[:-1], ("index.json", Index.build([artifact, image.descriptor]).raw), blob]
    with load(pack(both), paths) as loaded:
        assert [one.digest for one, _ in loaded.images] == [image.digest]
    alone = [*layout((image, ""))[:-1], ("index.json", Index.build([artifact]).raw), blob]
    with pytest.raises(Unsupported):
        load(pack(alone), paths)


def test_import_makes_one_gzip_layer_with_the_given_config(images: ImageStore) -> None:
    tar = tar_of({"bin": None, "bin/sh": b"#!"})
    config = ContainerConfig(cmd=("/bin/sh",), env=("A=b",))
    for data in (tar, gzip.compress(tar), zstandard.ZstdCompressor().compress(tar)):
        with images.hold() as blobs:
            image = archive.import_tree(
                io.BytesIO(data), blobs, images.snapshots, config=config, platform=host(), created=0
            )
            record = images.write(image, Reference.parse("imported"))
        assert record.layers == (str(Digest.of(tar)),)
        assert image.config.config == config
        assert image.manifest.layers[0].media_type.endswith("+gzip")
        assert image.config.history[0].created == "1970-01-01T00:00:00Z"
    assert len(images.list()) == 1, "equal trees make equal images"


def test_import_of_garbage_leaves_nothing(images: ImageStore, paths: Paths) -> None:
    for data in (b"not a tar" * 1000, gzip.compress(b"not a tar" * 1000), gzip.compress(tar_of({"a": b"1"}))[:-9]):
        with pytest.raises(InvalidArchive), images.hold() as blobs:
            images.write(
                archive.import_tree(
                    io.BytesIO(data), blobs, images.snapshots, config=ContainerConfig(), platform=host()
                ),
                None,
            )
        assert list(images.content.digests()) == []
        assert os.listdir(paths.ingest) == []


IMAGE = random_image(1)
CONFIG = f"{IMAGE.id.encoded}.json"


def manifest(**changes: object) -> bytes:
    entry = {"Config": CONFIG, "RepoTags": [], "Layers": [f"{n:064x}/layer.tar" for n in range(2)], **changes}
    return json.dumps([entry]).encode()


def swap(members: Members, name: str, data: bytes | str) -> Members:
    assert any(one == name for one, _ in members)
    return [(one, data if one == name else old) for one, old in members]


LEGACY = legacy(IMAGE, [])
LAYOUT = layout((IMAGE, "x:1"))
LAYER = f"blobs/sha256/{IMAGE.manifest.layers[0].digest.encoded}"
MANIFEST = f"blobs/sha256/{IMAGE.digest.encoded}"
HOSTILE = {
    "no tar at all": (b"x" * 10_000, InvalidArchive),
    "nothing": (b"", InvalidArchive),
    "a root file system": (tar_of({"etc": None, "etc/passwd": b""}), InvalidArchive),
    "cut off": (pack(LEGACY)[:-12_000], InvalidArchive),
    "an absolute name": (pack([*LEGACY, ("/etc/passwd", b"x")]), InvalidArchive),
    "a name with ..": (pack([*LEGACY, ("a/../../x", b"x")]), InvalidArchive),
    "a symlink that leaves": (pack([*LEGACY, ("a/link", "../../x")]), InvalidArchive),
    "an absolute symlink for a layer": (pack(swap(LEGACY, f"{0:064x}/layer.tar", "/etc/passwd")), InvalidArchive),
    "a symlink to itself": (pack(swap(LEGACY, f"{0:064x}/layer.tar", "layer.tar")), InvalidArchive),
    "a file twice": (pack([*LEGACY, LEGACY[0]]), InvalidArchive),
    "manifest.json that is no JSON": (pack(swap(LEGACY, "manifest.json", b"[")), InvalidArchive),
    "manifest.json nested deeply": (pack(swap(LEGACY, "manifest.json", b"[" * 100_000)), InvalidArchive),
    "manifest.json with no images": (pack(swap(LEGACY, "manifest.json", b"[]")), InvalidArchive),
    "manifest.json of strings": (pack(swap(LEGACY, "manifest.json", b'["a"]')), InvalidArchive),
    "manifest.json too large": (pack(swap(LEGACY, "manifest.json", b" " * (5 << 20))), LimitExceeded),
    "manifest.json with a million images": (
        pack(swap(LEGACY, "manifest.json", b"[" + b",".join([b"{}"] * 1_000_000) + b"]")),
        LimitExceeded,
    ),
    "a configuration outside": (
        pack(swap(LEGACY, "manifest.json", manifest(Config="../../etc/passwd"))),
        InvalidArchive,
    ),
    "an absolute configuration": (pack(swap(LEGACY, "manifest.json", manifest(Config="/etc/passwd"))), InvalidArchive),
    "no configuration": (pack(swap(LEGACY, "manifest.json", manifest(Config="x.json"))), InvalidArchive),
    "another configuration": (pack(swap(LEGACY, CONFIG, IMAGE.config.raw + b" ")), IntegrityError),
    "a layer outside": (pack(swap(LEGACY, "manifest.json", manifest(Layers=["../x", "../y"]))), InvalidArchive),
    "layers that are missing": (pack(swap(LEGACY, "manifest.json", manifest(Layers=["x", "y"]))), InvalidArchive),
    "too few layers": (pack(swap(LEGACY, "manifest.json", manifest(Layers=[f"{0:064x}/layer.tar"]))), InvalidArchive),
    "a million layers": (pack(swap(LEGACY, "manifest.json", manifest(Layers=["x"] * 1_000_000))), LimitExceeded),
    "layers that are no list": (pack(swap(LEGACY, "manifest.json", manifest(Layers={"a": 1}))), InvalidArchive),
    "a bad name": (pack(swap(LEGACY, "manifest.json", manifest(RepoTags=["../../x"]))), InvalidArchive),
    "a layer with other bytes": (pack(swap(LEGACY, f"{0:064x}/layer.tar", tar_of({"evil": b"1"}))), IntegrityError),
    "layers in another order": (
        pack(swap(LEGACY, "manifest.json", manifest(Layers=[f"{n:064x}/layer.tar" for n in (1, 0)]))),
        IntegrityError,
    ),
    "docker before 1.10": (pack([("repositories", b"{}")]), Unsupported),
    "index.json that is no JSON": (pack(swap(LAYOUT, "index.json", b"{")), InvalidManifest),
    "an empty index": (pack(swap(LAYOUT, "index.json", Index.build([]).raw)), InvalidArchive),
    "an unknown layout version": (pack(swap(LAYOUT, "oci-layout", b'{"imageLayoutVersion":"2.0"}')), Unsupported),
    "a blob of another size": (pack(swap(LAYOUT, LAYER, b"x")), IntegrityError),
    "a blob with other bytes": (pack(swap(LAYOUT, LAYER, bytes(IMAGE.manifest.layers[0].size))), IntegrityError),
    "a manifest with other bytes": (pack(swap(LAYOUT, MANIFEST, b"x" * len(IMAGE.manifest.raw))), IntegrityError),
    "a missing layer": (pack([one for one in LAYOUT if one[0] != LAYER]), BlobNotFound),
    "a missing manifest": (pack([one for one in LAYOUT if one[0] != MANIFEST]), BlobNotFound),
    "a manifest of a terabyte": (
        pack([*LAYOUT[:-1], ("index.json", Index.build([replace(IMAGE.descriptor, size=1 << 40)]).raw)]),
        LimitExceeded,
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused_and_leave_nothing(images: ImageStore, paths: Paths, case: str) -> None:
    data, kind = HOSTILE[case]
    with pytest.raises(kind):
        load_into(images, data)
    assert images.list() == ()
    assert [name for name in os.listdir(paths.ingest) if not name.endswith(".part")] == []
    assert not list(images.snapshots.diff_ids())


def test_devices_in_an_archive_are_refused(images: ImageStore, paths: Paths) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.type = tarfile.CHRTYPE
        tar.addfile(info)
    with pytest.raises(InvalidArchive, match="device"):
        load(out.getvalue(), paths)


def test_too_many_members_are_refused(images: ImageStore, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LIMITS", replace(files.LIMITS, entries=3))
    with pytest.raises(LimitExceeded):
        load(pack(LEGACY), paths)


def test_symlinks_and_fifos_in_a_layout_folder_are_refused(paths: Paths, images: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "layout").mkdir()
    os.mkfifo(tmp_path / "layout" / "index.json")
    with pytest.raises(InvalidArchive):
        archive.load(str(tmp_path / "layout"), paths)
    os.unlink(tmp_path / "layout" / "index.json")
    (tmp_path / "layout" / "index.json").symlink_to("/etc/passwd")
    with pytest.raises(InvalidArchive):
        archive.load(str(tmp_path / "layout"), paths)


def test_a_missing_file_is_told(paths: Paths) -> None:
    with pytest.raises(PathNotFound):
        archive.load("/nonexistent/archive.tar", paths)
