"""Artifacts in a folder: what no tag names goes, what is half written counts nothing, writers take turns."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from holdall.errors import BlobNotFound, HoldallError, IntegrityError, InvalidOption, PathNotFound
from holdall.image.memory import MemoryBlobs
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.manifest import Manifest
from holdall.store.artifact_folder import ArtifactFolder
from holdall.store.layout_writer import write_layout
from holdall.testing.images import random_image

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "application/vnd.test+json"


def artifact(*layers: bytes) -> tuple[Manifest, bytes, MemoryBlobs]:
    blobs = MemoryBlobs()
    config = b"{%d}" % len(layers)
    described = [blobs.add(mediatype.OCI_LAYER, one) for one in layers]
    return Manifest.build(Descriptor(CONFIG, Digest.of(config), len(config)), described), config, blobs


def put(folder: ArtifactFolder, tag: str, *layers: bytes) -> dict[str, bool]:
    sent: dict[str, bool] = {}
    manifest, config, blobs = artifact(*layers)
    folder.put(tag, manifest, config, blobs, lambda one, written: sent.update({str(one.digest): written}))
    return sent


def blobs_of(path: Path) -> set[str]:
    return set(os.listdir(path / "blobs/sha256"))


def test_what_is_put_is_found_by_tag_and_digest(tmp_path: Path) -> None:
    folder = ArtifactFolder(str(tmp_path / "new/folder"))
    put(folder, "one", b"a", b"b")
    manifest, config = folder.find("one")
    assert config == b"{2}"
    assert folder.find("", str(manifest.digest)) == (manifest, config)
    with folder.open(manifest.layers[1]) as stream:
        assert stream.read() == b"b"
    assert folder.has(manifest.layers[0])
    with pytest.raises(PathNotFound):
        folder.find("other")


def test_only_what_is_missing_is_written_and_what_nobody_names_goes(tmp_path: Path) -> None:
    folder = ArtifactFolder(str(tmp_path))
    assert all(put(folder, "one", b"a", b"b").values())
    put(folder, "two", b"a")
    sent = put(folder, "one", b"b", b"c")
    assert sent == {str(Digest.of(b"b")): False, str(Digest.of(b"c")): True}
    names = blobs_of(tmp_path)
    assert {Digest.of(one).encoded for one in (b"a", b"b", b"c")} <= names
    put(folder, "two", b"c")
    assert Digest.of(b"a").encoded not in blobs_of(tmp_path)
    assert len(blobs_of(tmp_path)) == 2 + 2 * 2


def test_half_written_files_of_the_dead_go(tmp_path: Path) -> None:
    folder = ArtifactFolder(str(tmp_path))
    put(folder, "one", b"a")
    (tmp_path / "blobs/sha256/.tmp-0123").write_bytes(b"half")
    put(folder, "one", b"b")
    assert ".tmp-0123" not in blobs_of(tmp_path)


def test_images_beside_an_artifact_stay_and_so_does_everything_when_one_cannot_be_read(tmp_path: Path) -> None:
    image = random_image(3, layers=2)
    write_layout(str(tmp_path), [image], image.manifest.descriptor, ["docker.io/library/x:1"], None)
    before = blobs_of(tmp_path)
    folder = ArtifactFolder(str(tmp_path))
    put(folder, "cache", b"a")
    assert before <= blobs_of(tmp_path)
    (tmp_path / "blobs/sha256" / image.digest.encoded).unlink()
    put(folder, "cache", b"b")
    assert Digest.of(b"a").encoded in blobs_of(tmp_path), "what a broken image needs is not known"


def test_a_blob_of_another_size_is_not_taken_for_it(tmp_path: Path) -> None:
    folder = ArtifactFolder(str(tmp_path))
    put(folder, "one", b"abc")
    manifest, _ = folder.find("one")
    (tmp_path / "blobs/sha256" / manifest.layers[0].digest.encoded).write_bytes(b"ab")
    assert not folder.has(manifest.layers[0])
    with pytest.raises(IntegrityError):
        folder.open(manifest.layers[0])
    put(folder, "one", b"abc")
    assert folder.has(manifest.layers[0])


def test_a_configuration_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = ArtifactFolder(str(tmp_path))
    put(folder, "one", b"a")
    manifest, config = folder.find("one")
    (tmp_path / "blobs/sha256" / manifest.config.digest.encoded).write_bytes(bytes(len(config)))
    with pytest.raises(IntegrityError):
        folder.find("one")


def test_bytes_that_are_wrong_or_missing_leave_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = ArtifactFolder(str(tmp_path))
    put(folder, "one", b"a")
    index = (tmp_path / "index.json").read_bytes()
    manifest, config, blobs = artifact(b"good", b"bad")
    blobs.blobs[Digest.of(b"bad")] = b"dab"
    with pytest.raises(IntegrityError):
        folder.put("one", manifest, config, blobs, lambda one, written: None)
    del blobs.blobs[Digest.of(b"bad")]
    with pytest.raises(BlobNotFound):
        folder.put("one", manifest, config, blobs, lambda one, written: None)
    assert (tmp_path / "index.json").read_bytes() == index
    assert [name for name in blobs_of(tmp_path) if name.startswith(".")] == []


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidOption):
        put(ArtifactFolder(str(tmp_path / "file")), "one", b"a")
    with pytest.raises(HoldallError):
        ArtifactFolder(str(tmp_path / "file")).find("one")


def test_several_writers_at_once_leave_a_whole_folder(tmp_path: Path) -> None:
    folder = ArtifactFolder(str(tmp_path))
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                put(ArtifactFolder(str(tmp_path)), f"tag-{number % 2}", b"%d" % number, b"turn %d" % turn)
        except BaseException as err:  # noqa: BLE001
            errors.append(err)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    needed = set()
    for tag in ("tag-0", "tag-1"):
        manifest, _ = folder.find(tag)
        assert all(folder.has(one) for one in manifest.layers)
        needed |= {manifest.digest, manifest.config.digest, *[one.digest for one in manifest.layers]}
    assert blobs_of(tmp_path) == {one.encoded for one in needed}


def test_a_writer_that_is_killed_anywhere_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """The process is stopped at one system call after the other, by an auditing hook that kills it there."""
    folder = ArtifactFolder(str(tmp_path))
    put(folder, "one", b"old")
    seen = set()
    for point in range(1, 60):
        child = os.fork()
        if child == 0:
            left = point

            def hook(event: str, _arguments: object) -> None:
                nonlocal left
                if event in ("open", "os.rename", "os.remove", "os.listdir", "os.mkdir"):
                    left -= 1
                    if left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            try:
                sys.addaudithook(hook)
                put(ArtifactFolder(str(tmp_path)), "one", b"new %d" % (point % 3), b"more")
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        manifest, _ = folder.find("one")
        for one in manifest.layers:
            with folder.open(one) as stream:
                assert Digest.of(stream.read()) == one.digest
        seen.add(manifest.digest)
        if status == 0:
            break
    assert len(seen) > 1
    put(folder, "one", b"last")
    assert len(blobs_of(tmp_path)) == 3
    assert sorted(os.listdir(tmp_path)) == ["blobs", "index.json", "oci-layout"]
