"""--output: archives that peers read, folders, tars; several at once, and the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.testing.building import Workshop
from holdall.testing.command import busybox_available

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]

DOCKERFILE = """
FROM bb
RUN mkdir /made && echo made > /made/file && chown 12:34 /made/file && chmod 4755 /made/file && ln -s file /made/link
COPY data /data
CMD ["cat", "/made/file"]
"""


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with Workshop() as made:
        made.fresh({"data/a": "a" * 5000, "data/b": "b"})
        yield made


def skopeo(*words: str) -> str:
    return subprocess.run(["skopeo", *words], check=True, capture_output=True, text=True).stdout


def files_of(tar: bytes) -> dict[str, tarfile.TarInfo]:
    return {one.name: one for one in tarfile.open(fileobj=io.BytesIO(tar)).getmembers()}


def test_all_kinds_at_once(workshop: Workshop, tmp_path: Path) -> None:
    image = workshop.build(
        DOCKERFILE, "-t", "made:1",
        "-o", f"type=oci,dest={tmp_path}/oci.tar", "-o", f"type=docker,dest={tmp_path}/docker.tar",
        "-o", str(tmp_path / "folder"), "-o", f"type=tar,dest={tmp_path}/files.tar",
        "-o", f"type=oci,dest={tmp_path}/layout,tar=false", "--metadata-file", str(tmp_path / "meta.json"),
    )  # fmt: skip
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert meta["containerimage.config.digest"] == image
    assert meta["image.name"] == "docker.io/library/made:1"
    index = json.loads((tmp_path / "layout/index.json").read_text())
    (entry,) = index["manifests"]
    assert entry["digest"] == meta["containerimage.digest"]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/made:1"
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "1"
    for path in (tmp_path / "layout/blobs/sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    names = files_of((tmp_path / "oci.tar").read_bytes())
    assert {"oci-layout", "index.json"} <= names.keys()
    assert (tmp_path / "folder/made/file").read_text() == "made\n"
    members = files_of((tmp_path / "files.tar").read_bytes())
    assert (members["made/file"].uid, members["made/file"].mode) == (12, 0o4755)
    assert members["made/file"].mtime == 315532800
    assert workshop.shown("made:1", "cat", "/data/b") == "b"


def test_a_folder_has_the_modes_of_the_files_and_the_callers_owner(workshop: Workshop, tmp_path: Path) -> None:
    workshop.build(DOCKERFILE, "-o", f"type=local,dest={tmp_path}/out")
    status = (tmp_path / "out/made/file").stat()
    assert stat.S_IMODE(status.st_mode) == 0o755, "set-id bits were for another owner"
    assert (status.st_uid, status.st_gid, status.st_mtime) == (os.geteuid(), os.getegid(), 315532800)
    assert os.readlink(tmp_path / "out/made/link") == "file"


def test_a_stage_from_scratch_is_exported_alone(workshop: Workshop, tmp_path: Path) -> None:
    text = "FROM bb AS build\nRUN echo x > /result\nFROM scratch\nCOPY --from=build /result /bin/\n"
    workshop.build(text, "-o", str(tmp_path / "out"))
    assert [str(one.relative_to(tmp_path / "out")) for one in sorted((tmp_path / "out").rglob("*"))] == [
        "bin", "bin/result",
    ]  # fmt: skip


def test_standard_output_is_the_archive_and_nothing_else(workshop: Workshop) -> None:
    for option, member in (("-", "made/file"), ("type=oci", "index.json"), ("type=docker,dest=-", "manifest.json")):
        build = workshop.begin(DOCKERFILE, "-o", option)
        out, err = build.communicate(timeout=60)
        assert build.returncode == 0, err
        assert member in files_of(out)


def test_the_same_bytes_each_time(workshop: Workshop, tmp_path: Path) -> None:
    kinds = ("oci", "docker", "tar", "zoci")
    for turn in ("1", "2"):
        workshop.build(
            DOCKERFILE, "-t", "same", "--no-cache", "--annotation", "a=b",
            "-o", f"type=oci,dest={tmp_path}/oci{turn}", "-o", f"type=docker,dest={tmp_path}/docker{turn}",
            "-o", f"type=tar,dest={tmp_path}/tar{turn}",
            "-o", f"type=oci,dest={tmp_path}/zoci{turn},compression=zstd:chunked,force-compression=true",
        )  # fmt: skip
    for kind in kinds:
        assert (tmp_path / f"{kind}1").read_bytes() == (tmp_path / f"{kind}2").read_bytes(), kind


def test_a_layouts_folder_keeps_its_other_images(workshop: Workshop, tmp_path: Path) -> None:
    def names() -> set[tuple[str, str]]:
        found = json.loads((tmp_path / "l/index.json").read_text())["manifests"]
        return {(one["annotations"]["io.containerd.image.name"].rpartition("/")[2], one["digest"]) for one in found}

    output = f"type=oci,dest={tmp_path}/l,tar=false"
    workshop.build(DOCKERFILE, "-t", "one", "-t", "also:2", "-o", output)
    first = names()
    assert {name for name, _ in first} == {"one:latest", "also:2"}
    workshop.build(DOCKERFILE + "LABEL a=b\n", "-t", "also:2", "-o", output)
    second = dict(names())
    assert second["one:latest"] == dict(first)["one:latest"]
    assert second["also:2"] != dict(first)["also:2"]


@pytest.mark.parametrize(
    ("option", "types"),
    [
        ("compression=gzip,compression-level=9", ["tar", "tar+gzip", "tar+gzip"]),
        ("compression=zstd", ["tar", "tar+zstd", "tar+zstd"]),
        ("compression=uncompressed,force-compression=true", ["tar", "tar", "tar"]),
        ("compression=zstd,compression-level=19,force-compression=true", ["tar+zstd"] * 3),
    ],
)
def test_compressions(workshop: Workshop, tmp_path: Path, option: str, types: list[str]) -> None:
    workshop.build(DOCKERFILE, "-t", "c", "-o", f"type=oci,dest={tmp_path}/l,tar=false,{option}")
    entry = json.loads((tmp_path / "l/index.json").read_text())["manifests"][0]
    blobs = tmp_path / "l/blobs/sha256"
    manifest = json.loads((blobs / entry["digest"].partition(":")[2]).read_text())
    found = [one["mediaType"].rpartition("v1.")[2] for one in manifest["layers"]]
    if "force" not in option:
        # what came with the base image stays as it came
        found[0], types = found[1], [types[1], *types[1:]]
    assert found == types
    config = json.loads((blobs / manifest["config"]["digest"].partition(":")[2]).read_text())
    from holdall.layer.compression import open_layer

    for layer, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        with open(blobs / layer["digest"].partition(":")[2], "rb") as blob:
            tar = open_layer(blob).read()
        assert "sha256:" + hashlib.sha256(tar).hexdigest() == diff_id


def test_dockers_media_types(workshop: Workshop, tmp_path: Path) -> None:
    workshop.build(DOCKERFILE, "-t", "d", "-o", f"type=oci,dest={tmp_path}/l,tar=false,oci-mediatypes=false")
    entry = json.loads((tmp_path / "l/index.json").read_text())["manifests"][0]
    assert entry["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("-o", "type=image,compression=estargz"), "estargz"),
        (("-o", "type=image,push=true"), "--tag"),
        (("--push",), "--tag"),
        (("-o", "type=docker,dest=x", "--platform", "linux/amd64,linux/arm64"), "oci"),
        (("--annotation", "index:a=b"), "index"),
        (("--annotation", "manifest[linux/s390x]:a=b"), "s390x"),
        (("-o", "no/such/folder"), "no/such/folder"),
        (("-o", "type=tar,dest=/no/such/file"), "/no/such"),
    ],
)
def test_what_is_refused_says_why(workshop: Workshop, options: tuple[str, ...], word: str) -> None:
    assert word in workshop.fails(DOCKERFILE, *options)


def test_a_failed_output_leaves_no_half_file(workshop: Workshop, tmp_path: Path) -> None:
    target = tmp_path / "out.tar"
    target.write_text("old")
    workshop.fails(DOCKERFILE, "-o", f"type=oci,dest={target}", "-o", "type=tar,dest=/no/such/file")
    assert sorted(os.listdir(tmp_path)) == ["out.tar"]


@pytest.mark.peers
def test_peers_read_the_archives(workshop: Workshop, tmp_path: Path) -> None:
    workshop.build(
        DOCKERFILE, "-t", "peer:1", "-o", f"type=oci,dest={tmp_path}/oci.tar",
        "-o", f"type=docker,dest={tmp_path}/docker.tar", "-o", f"type=oci,dest={tmp_path}/layout,tar=false",
        "-o", f"type=oci,dest={tmp_path}/chunked.tar,compression=zstd:chunked,force-compression=true",
        "--metadata-file", str(tmp_path / "m"),
    )  # fmt: skip
    meta = json.loads((tmp_path / "m").read_text())
    assert json.loads(skopeo("inspect", f"oci-archive:{tmp_path}/oci.tar"))["Digest"] == meta["containerimage.digest"]
    assert json.loads(skopeo("inspect", f"oci:{tmp_path}/layout"))["Digest"] == meta["containerimage.digest"]
    want = json.loads(skopeo("inspect", "--config", f"oci-archive:{tmp_path}/oci.tar"))["rootfs"]
    for source in ("docker-archive:{}/docker.tar", "oci-archive:{}/chunked.tar"):
        # the layers are read whole and compared with their diff-ids on the way
        place = source.format(tmp_path)
        skopeo("copy", "-q", place, f"dir:{tmp_path}/{place.partition(':')[0]}")
        assert json.loads(skopeo("inspect", "--config", place))["rootfs"] == want
    # podman wants a short path there
    folder = tempfile.mkdtemp(prefix="hdp-")
    storage = ["--root", folder + "/root", "--runroot", folder + "/run", "--storage-driver", "vfs"]
    try:
        for name in ("oci.tar", "docker.tar", "chunked.tar"):
            done = subprocess.run(
                ["podman", *storage, "load", "-q", "-i", str(tmp_path / name)], capture_output=True, text=True,
                check=True,
            )  # fmt: skip
            assert "peer:1" in done.stdout
            shown = subprocess.run(
                ["podman", *storage, "image", "inspect", "-f", "{{.Id}}", "peer:1"], capture_output=True, text=True,
                check=True,
            )  # fmt: skip
            assert "sha256:" + shown.stdout.strip() == meta["containerimage.config.digest"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_our_own_archives_come_back(workshop: Workshop, tmp_path: Path) -> None:
    image = workshop.build(DOCKERFILE, "-t", "own:1", "-o", f"type=oci,dest={tmp_path}/o.tar,compression=zstd:chunked")
    workshop.store.run("rmi", "-f", "own:1")
    assert "own:1" in workshop.store.run("load", "-i", str(tmp_path / "o.tar"))
    assert workshop.store.run("images", "-q", "--no-trunc", "own:1") == image
