"""Archives and the store's layout with docker, podman, skopeo and umoci, in both directions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdall.image.image import Image
from holdall.image.mutate import with_media_types
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.store import archive
from holdall.store.content import ContentStore
from holdall.store.database import open_database
from holdall.store.images import ImageStore
from holdall.store.records import ImageRecord
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.testing.docker_daemon import DockerDaemon
from holdall.testing.images import random_image

pytestmark = [pytest.mark.peers, pytest.mark.root]
NAME = "docker.io/library/holdall-peer:1"


@pytest.fixture
def images(tmp_path: Path) -> Iterator[ImageStore]:
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "run"))
    database = open_database(paths, durable=True)
    yield ImageStore(database, ContentStore(paths), OverlaySnapshots(paths))
    database.close()


def run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def podman() -> Iterator[Callable[..., str]]:
    """podman with a store of its own, in a folder with a short name: it refuses a runroot of more than 50 letters."""
    folder = tempfile.mkdtemp(prefix="hpod-")
    roots = ["--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
    yield lambda *arguments: run("podman", *roots, *arguments)
    with open("/proc/self/mounts") as mounts:
        points = [line.split()[1] for line in mounts]
    for point in reversed([point for point in points if point.startswith(folder)]):
        subprocess.run(["umount", "-l", point], check=False)
    shutil.rmtree(folder)


def save(image: Image, path: Path, form: str, *names: str) -> str:
    with path.open("wb") as out:
        archive.save([(image, names)], out, format=form)
    return str(path)


def load(images: ImageStore, path: str) -> tuple[ImageRecord, tuple[str, ...]]:
    with archive.load(path, images.content.paths) as loaded:
        ((image, names),) = loaded.images
        return images.write(image, Reference.parse(names[0]) if names else None), names


@pytest.mark.parametrize("docker", [False, True])
def test_skopeo_reads_the_store_as_an_image_layout(images: ImageStore, tmp_path: Path, docker: bool) -> None:
    image = with_media_types(random_image(1), docker=docker)
    images.write(image, Reference.parse(NAME))
    images.write(random_image(2), Reference.parse("ghcr.io/x/other:2"))
    root = images.content.paths.root
    listed = with_media_types(image, docker=False).manifest
    assert json.loads(run("skopeo", "inspect", f"oci:{root}:{NAME}"))["Digest"] == str(listed.digest)
    run("skopeo", "copy", "--preserve-digests", f"oci:{root}:{NAME}", f"dir:{tmp_path}/copy")
    assert (tmp_path / "copy" / "manifest.json").read_bytes() == listed.raw


def test_umoci_reads_the_store(images: ImageStore, tmp_path: Path) -> None:
    record = images.write(with_media_types(random_image(1, layers=2), docker=True), Reference.parse(NAME))
    root = images.content.paths.root
    assert NAME in run("umoci", "list", "--layout", root)
    run("umoci", "unpack", "--image", f"{root}:{NAME}", f"{tmp_path}/bundle")
    ours: dict[str, bytes] = {}
    for folder in reversed(images.snapshots.lowers(record.layers)):
        for path in Path(folder).rglob("*"):
            if path.is_file():
                ours[str(path.relative_to(folder))] = path.read_bytes()
    theirs = tmp_path / "bundle" / "rootfs"
    assert {str(one.relative_to(theirs)): one.read_bytes() for one in theirs.rglob("*") if one.is_file()} == ours


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_docker_loads_what_we_save_under_the_same_id(dockerd: DockerDaemon, tmp_path: Path, compression: str) -> None:
    image = random_image(11, layers=3, compression=compression)
    path = save(image, tmp_path / "archive", "docker-archive", NAME)
    assert "holdall-peer:1" in dockerd.run("load", "-i", path).stdout
    try:
        assert dockerd.run("inspect", "-f", "{{.Id}}", NAME).stdout.strip() == str(image.id)
    finally:
        dockerd.run("rmi", "-f", NAME)


def test_we_load_what_docker_saves(dockerd: DockerDaemon, images: ImageStore, tmp_path: Path) -> None:
    image = random_image(12, layers=3)
    dockerd.run("load", "-i", save(image, tmp_path / "in", "docker-archive", NAME))
    try:
        dockerd.run("save", "-o", f"{tmp_path}/out", NAME)
    finally:
        dockerd.run("rmi", "-f", NAME)
    record, names = load(images, f"{tmp_path}/out")
    assert (record.id, names) == (str(image.id), (NAME,))
    assert record.layers == tuple(str(one) for one in image.config.diff_ids)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_podman_loads_what_we_save(podman: Callable[..., str], tmp_path: Path, form: str, compression: str) -> None:
    image = random_image(13, layers=2, compression=compression)
    podman("load", "-i", save(image, tmp_path / "archive", form, NAME))
    assert podman("inspect", "-f", "{{.Id}}", NAME).strip() == image.id.encoded


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir"])
def test_we_load_what_podman_saves(podman: Callable[..., str], images: ImageStore, tmp_path: Path, form: str) -> None:
    image = random_image(14, layers=2)
    podman("load", "-i", save(image, tmp_path / "in", "docker-archive", NAME))
    podman("save", "--format", form, "-o", f"{tmp_path}/out", NAME)
    record, names = load(images, f"{tmp_path}/out")
    assert names == (NAME,)
    assert record.layers == tuple(str(one) for one in image.config.diff_ids)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_skopeo_reads_and_writes_our_archives(images: ImageStore, tmp_path: Path, form: str) -> None:
    image = random_image(15, layers=2)
    path = save(image, tmp_path / "archive", form, NAME)
    run("skopeo", "copy", f"{form}:{path}:{NAME}", f"oci:{tmp_path}/layout:{NAME}")
    record, names = load(images, f"{tmp_path}/layout")
    # skopeo writes the configuration anew when it leaves docker's formats: the layers tell that it is the same image.
    assert (record.layers, names) == (tuple(str(one) for one in image.config.diff_ids), (NAME,))
    run("skopeo", "copy", f"oci:{images.content.paths.root}:{NAME}", f"{form}:{tmp_path}/back:{NAME}")
    images.remove(record.id)
    record, names = load(images, f"{tmp_path}/back")
    assert (record.layers, names) == (tuple(str(one) for one in image.config.diff_ids), (NAME,))


def test_two_images_in_one_archive_load_in_docker(dockerd: DockerDaemon, tmp_path: Path) -> None:
    first, second = random_image(16), random_image(17)
    with (tmp_path / "both").open("wb") as out:
        archive.save([(first, (NAME,)), (second, ("localhost:5000/holdall-two:2",))], out)
    dockerd.run("load", "-i", f"{tmp_path}/both")
    try:
        for image, name in ((first, NAME), (second, "localhost:5000/holdall-two:2")):
            assert dockerd.run("inspect", "-f", "{{.Id}}", name).stdout.strip() == str(image.id)
    finally:
        dockerd.run("rmi", "-f", NAME, "localhost:5000/holdall-two:2")
    assert os.path.getsize(tmp_path / "both") > 0
