"""OCI layouts that are written: as tars, into folders, beside what is there, by several at once."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest

from holdall.errors import HoldallError, InvalidArchive, InvalidOption
from holdall.oci.descriptor import Descriptor
from holdall.store.layout_writer import put_blob, read_index, write_archive, write_layout
from holdall.testing.images import blobs_of, image_of_files, random_index

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from holdall.image.image import Image

NAME = "docker.io/library/x:1"


def image(text: bytes = b"x") -> Image:
    return image_of_files([{"file": text}])


def put(folder: Path, made: Image, *names: str) -> None:
    write_layout(str(folder), [made], made.manifest.descriptor, names, None)


def names(folder: Path) -> dict[str, str]:
    with open(folder / "index.json") as file:
        listed = json.load(file)["manifests"]
    return {one.get("annotations", {}).get("io.containerd.image.name", ""): one["digest"] for one in listed}


def stored(folder: Path) -> set[str]:
    return set(os.listdir(folder / "blobs/sha256"))


def test_a_folder_has_all_blobs_and_the_names(tmp_path: Path) -> None:
    made = image()
    put(tmp_path / "out", made, NAME, "docker.io/library/x:2")
    assert names(tmp_path / "out") == {NAME: str(made.digest), "docker.io/library/x:2": str(made.digest)}
    assert stored(tmp_path / "out") == {digest.encoded for digest in blobs_of(made)} | {made.digest.encoded}
    assert sorted(os.listdir(tmp_path / "out")) == ["blobs", "index.json", "oci-layout"]


def test_names_move_and_other_images_stay(tmp_path: Path) -> None:
    first, second, third = image(b"1"), image(b"2"), image(b"3")
    put(tmp_path, first, NAME)
    put(tmp_path, second, "docker.io/library/y:1")
    put(tmp_path, third, NAME)
    assert names(tmp_path) == {NAME: str(third.digest), "docker.io/library/y:1": str(second.digest)}
    put(tmp_path, third)
    assert names(tmp_path) == {
        NAME: str(third.digest),
        "docker.io/library/y:1": str(second.digest),
        "": str(third.digest),
    }
    put(tmp_path, third)
    assert len(json.loads((tmp_path / "index.json").read_bytes())["manifests"]) == 3


def test_several_platforms_under_one_index(tmp_path: Path) -> None:
    index = random_index(2)
    members = [index.image(one.platform) for one in index.index.manifests if one.platform is not None]
    assert len(members) == 2
    write_layout(str(tmp_path), members, index.descriptor, [NAME], index)
    assert names(tmp_path) == {NAME: str(index.digest)}
    for one in members:
        assert {digest.encoded for digest in blobs_of(one)} <= stored(tmp_path)
    assert index.digest.encoded in stored(tmp_path)


def test_archives_of_equal_images_are_equal(tmp_path: Path) -> None:
    made = image()
    archives = []
    for _ in range(2):
        out = io.BytesIO()
        write_archive(out, [made], made.manifest.descriptor, [NAME], None)
        archives.append(out.getvalue())
    assert archives[0] == archives[1]
    with tarfile.open(fileobj=io.BytesIO(archives[0])) as tar:
        assert "index.json" in tar.getnames()
        for digest, data in blobs_of(made).items():
            member = tar.extractfile(f"blobs/sha256/{digest.encoded}")
            assert member is not None
            assert member.read() == data


class Wrong:
    """A source that gives something else."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def open(self, descriptor: Descriptor) -> BinaryIO:
        return io.BytesIO(self.data)


@pytest.mark.parametrize("data", [b"", b"short", b"y" * 100, b"y" * 200])
def test_a_blob_that_is_not_what_it_says_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    from holdall.oci.digest import Digest

    descriptor = Descriptor("text/plain", Digest.of(b"x" * 100), 100)
    with pytest.raises(HoldallError):
        put_blob(str(tmp_path), descriptor, Wrong(data))
    assert os.listdir(tmp_path / "blobs/sha256") == []


def test_a_blob_of_the_wrong_size_is_written_anew(tmp_path: Path) -> None:
    made = image()
    put(tmp_path, made, NAME)
    layer = made.manifest.layers[0]
    path = tmp_path / "blobs/sha256" / layer.digest.encoded
    os.truncate(path, 3)
    put(tmp_path, made, NAME)
    assert path.stat().st_size == layer.size


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"schemaVersion": 1}', '{"schemaVersion": 2, "manifests": [{"digest": "x"}]}']
)
def test_a_folder_with_a_broken_index_is_refused_and_left(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(HoldallError):
        put(tmp_path, image(), NAME)
    assert (tmp_path / "index.json").read_text() == text


def test_places_that_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidOption):
        put(tmp_path / "file", image(), NAME)
    (tmp_path / "odd/index.json").mkdir(parents=True)
    with pytest.raises(InvalidArchive):
        read_index(str(tmp_path / "odd"))
    assert read_index(str(tmp_path / "nothing")) is None


def test_writers_at_once_lose_no_name(tmp_path: Path) -> None:
    made = [image(str(number).encode()) for number in range(6)]
    failed: list[HoldallError] = []

    def write(number: int) -> None:
        try:
            put(tmp_path, made[number], f"docker.io/library/x:{number}")
        except HoldallError as err:
            failed.append(err)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failed == []
    assert names(tmp_path) == {f"docker.io/library/x:{number}": str(one.digest) for number, one in enumerate(made)}
