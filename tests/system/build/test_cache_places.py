"""--cache-to and --cache-from: what travels, what is fetched when, and that a broken or foreign cache does nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from holdall import Engine
from holdall.testing.building import Workshop
from holdall.testing.command import CommandStore, busybox_available, finish
from holdall.testing.objectstore import BUCKET
from holdall.testing.registry import RegistryServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdall.testing.objectstore import ObjectStore

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]

STAGES = """
FROM bb AS tools
COPY tool /tool
RUN --mount=type=cache,id=packages,target=/cache \
    if [ -e /cache/a ]; then echo had; else echo fetched; dd if=/dev/urandom of=/cache/a bs=1000 count=1; fi; \
    cat /cache/a > /package
FROM bb
COPY --from=tools /package /package
COPY app /app
RUN cat /app /package > /both
"""


class Other:
    """The store as if it were another one: with the base image and nothing else."""

    def __init__(self, workshop: Workshop) -> None:
        self._store = workshop.store

    def fresh(self) -> CommandStore:
        store = self._store
        forget(store)
        assert len(os.listdir(store.paths.layers + "/sha256")) == 1
        return store


def forget(store: CommandStore) -> None:
    """All but the base image."""
    with Engine(store.paths.root, store.paths.run_root) as engine:
        for image in engine.images.list():
            if "bb:latest" not in image.tags:
                engine.images.remove(image.id, force=True)
        engine.images.prune()
        engine.builds.prune(everything=True)


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with Workshop() as made:
        made.store.run("save", "--format", "oci-archive", "-o", made.folder + "/base.tar", "bb")
        made.store.run("load", "-i", made.folder + "/base.tar")
        yield made


@pytest.fixture
def other(workshop: Workshop) -> Other:
    return Other(workshop)


@pytest.fixture(scope="module")
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as made:
        yield made


def build(store: CommandStore, workshop: Workshop, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    path = workshop.write(text)
    done = finish(store.begin("build", "--progress", "plain", "-f", path, *options, workshop.context))
    assert done.returncode == 0, done.stderr
    return done


def prepared(workshop: Workshop, *options: str) -> str:
    workshop.fresh({"tool": "t", "app": "a"})
    forget(workshop.store)
    return build(workshop.store, workshop, STAGES, *options).stdout.strip()


@pytest.fixture(scope="module")
def whole(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the cache of a build with mode=max; tests leave it as it is."""
    folder = f"{tmp_path_factory.mktemp('whole')}/c"
    prepared(workshop, "--cache-to", f"type=local,dest={folder},mode=max")
    return folder


def test_a_folder_brings_everything_to_another_store(workshop: Workshop, tmp_path: Path) -> None:
    image = prepared(workshop, "--cache-to", f"type=local,dest={tmp_path}/c,mode=max")
    folder = tempfile.mkdtemp(prefix="holdall-other-")
    store = CommandStore(folder)
    try:
        store.run("load", "-i", workshop.folder + "/base.tar")
        done = build(store, workshop, STAGES, "--cache-from", f"type=local,src={tmp_path}/c")
        assert done.stdout.strip() == image
        assert done.stderr.count("CACHED") == 5
        assert "fetched" not in done.stderr
        assert "no damage" in store.run("system", "fsck", "-q")
        store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_mode_min_has_the_results_layers_only(workshop: Workshop, other: Other, tmp_path: Path) -> None:
    prepared(workshop, "--cache-to", f"type=local,dest={tmp_path}/c")
    done = build(other.fresh(), workshop, STAGES, "--cache-from", f"type=local,src={tmp_path}/c")
    assert "| had" in done.stderr, "the stage that is not in the result is built, with its cache mount"
    assert done.stderr.count("CACHED") == 3


def test_cache_mounts_are_filled_where_they_are_empty(workshop: Workshop, other: Other, whole: str) -> None:
    workshop.fresh({"tool": "changed", "app": "a"})
    store = other.fresh()
    changed = build(store, workshop, STAGES, "--cache-from", f"type=local,src={whole}")
    assert "| had" in changed.stderr
    assert "filling the cache mount packages" in changed.stderr
    workshop.fresh({"tool": "again", "app": "a"})
    again = build(store, workshop, STAGES, "--cache-from", f"type=local,src={whole}")
    assert "| had" in again.stderr
    assert "filling" not in again.stderr, "what is here is not replaced"
    names = [name for name in os.listdir(store.paths.cache + "/mounts") if "." not in name]
    for name in os.listdir(f"{store.paths.cache}/mounts/{names[0]}"):
        os.unlink(f"{store.paths.cache}/mounts/{names[0]}/{name}")
    workshop.fresh({"tool": "third", "app": "a"})
    third = build(store, workshop, STAGES, "--cache-from", f"type=local,src={whole}")
    assert "filling the cache mount packages" in third.stderr


def test_cache_mounts_can_be_left_out(workshop: Workshop, other: Other, tmp_path: Path) -> None:
    prepared(workshop, "--cache-to", f"type=local,dest={tmp_path}/c,mode=max,mounts=false")
    workshop.fresh({"tool": "changed", "app": "a"})
    done = build(other.fresh(), workshop, STAGES, "--cache-from", f"type=local,src={tmp_path}/c")
    assert "| fetched" in done.stderr


def test_a_mount_that_was_not_needed_here_travels_on(
    workshop: Workshop, other: Other, whole: str, tmp_path: Path
) -> None:
    """A build that finds all its layers elsewhere, and has no cache mounts, does not make the next cache poorer."""
    workshop.fresh({"tool": "t", "app": "a"})
    options = ("--cache-from", f"type=local,src={whole}", "--cache-to", f"type=local,dest={tmp_path}/d,mode=max")
    build(other.fresh(), workshop, STAGES, *options)
    workshop.fresh({"tool": "changed", "app": "a"})
    done = build(other.fresh(), workshop, STAGES, "--cache-from", f"type=local,src={tmp_path}/d")
    assert "| had" in done.stderr


def blob_requests(server: RegistryServer, method: str) -> int:
    return sum(one.method == method and "/blobs/" in one.path for one in server.requests)


def test_a_registry_is_sent_only_what_it_lacks(workshop: Workshop, other: Other, server: RegistryServer) -> None:
    to = f"type=registry,ref={server.host}/c/sent:1,mode=max"
    prepared(workshop, "--cache-to", to)
    before = blob_requests(server, "PUT") + blob_requests(server, "PATCH")
    build(workshop.store, workshop, STAGES, "--cache-to", to)
    assert blob_requests(server, "PUT") + blob_requests(server, "PATCH") == before, "nothing has changed"
    workshop.fresh({"tool": "t", "app": "other"})
    build(workshop.store, workshop, STAGES, "--cache-to", to)
    after = blob_requests(server, "PUT") + blob_requests(server, "PATCH")
    assert after - before == 3, "two layers and what describes the cache"


def test_layers_are_fetched_only_for_steps_that_want_them(
    workshop: Workshop, other: Other, server: RegistryServer
) -> None:
    prepared(workshop, "--cache-to", f"type=registry,ref={server.host}/c/lazy:1,mode=max")
    workshop.fresh({"tool": "t", "app": "other"})
    store = other.fresh()
    server.requests.clear()
    done = build(store, workshop, STAGES, "--cache-from", f"{server.host}/c/lazy:1")
    assert done.stderr.count("CACHED") == 3
    # the description, and the layers of the three steps that did not change: neither the others nor the cache mount
    assert blob_requests(server, "GET") == 4
    server.requests.clear()
    build(store, workshop, STAGES, "--cache-from", f"{server.host}/c/lazy:1")
    assert server.requests == [], "what is here needs nobody else"


def test_an_inline_cache_travels_with_the_image(workshop: Workshop, other: Other, server: RegistryServer) -> None:
    name = f"{server.host}/c/inline:1"
    text = "FROM bb AS made\nRUN echo made > /made\nFROM bb\nCOPY --from=made /made /made\nRUN cat /made > /copy\n"
    forget(workshop.store)
    image = build(workshop.store, workshop, text, "-t", name, "--push", "--cache-to", "type=inline").stdout.strip()
    done = build(other.fresh(), workshop, text, "--cache-from", name)
    assert done.stdout.strip() == image
    assert done.stderr.count("CACHED") == 2, "a stage that is not in the image is built"


def test_several_places_are_asked_in_turn(workshop: Workshop, other: Other, whole: str) -> None:
    workshop.fresh({"tool": "t", "app": "a"})
    done = build(
        other.fresh(), workshop, STAGES, "--cache-from", "127.0.0.1:1/nobody/there:1",
        "--cache-from", f"type=local,src={whole}-not", "--cache-from", f"type=local,src={whole}",
    )  # fmt: skip
    assert done.stderr.count("CACHED") == 5
    assert done.stderr.count("is of no use here") == 2


@pytest.mark.parametrize("how", ["bytes", "gone", "other tar", "description", "foreign"])
def test_what_is_wrong_in_a_cache_is_passed_over(
    workshop: Workshop, other: Other, whole: str, tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "c"
    shutil.copytree(whole, folder)
    workshop.fresh({"tool": "t", "app": "a"})
    index = json.loads((folder / "index.json").read_text())
    blobs = folder / "blobs/sha256"
    manifest = blobs / index["manifests"][0]["digest"].partition(":")[2]
    tree = json.loads(manifest.read_text())
    config = blobs / tree["config"]["digest"].partition(":")[2]
    if how == "description":
        config.write_bytes(b"{" * 10)
    elif how == "foreign":
        tree["config"]["mediaType"] = "application/vnd.other+json"
        manifest.write_bytes(json.dumps(tree).encode())
    for layer in tree["layers"] if how in ("bytes", "gone") else ():
        path = blobs / layer["digest"].partition(":")[2]
        if how == "gone":
            path.unlink()
        else:
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    if how == "other tar":
        relabelled(folder, tree, config.read_bytes())
    store = other.fresh()
    done = build(store, workshop, STAGES, "--cache-from", f"type=local,src={folder}")
    assert "CACHED" not in done.stderr
    assert "is of no use here" in done.stderr
    if how in ("bytes", "other tar"):
        assert "no damage" in store.run("system", "fsck", "-q")


def relabelled(folder: Path, tree: dict[str, dict[str, object]], config: bytes) -> None:
    """A cache whose blobs are whole, but are other layers than it says."""
    from holdall.oci.digest import Digest

    description = json.loads(config)
    for number, step in enumerate(description["steps"]):
        step["diffId"] = str(Digest.of(b"%d" % number))
    described = json.dumps(description).encode()
    digest = Digest.of(described)
    (folder / "blobs/sha256" / digest.encoded).write_bytes(described)
    tree["config"].update(digest=str(digest), size=len(described))
    raw = json.dumps(tree).encode()
    (folder / "blobs/sha256" / Digest.of(raw).encoded).write_bytes(raw)
    index = json.loads((folder / "index.json").read_text())
    index["manifests"][0].update(digest=str(Digest.of(raw)), size=len(raw))
    (folder / "index.json").write_text(json.dumps(index))


def test_a_place_that_cannot_be_written_fails_the_build_unless_that_is_ignored(workshop: Workshop) -> None:
    workshop.fresh({"tool": "t", "app": "a"})
    place = "type=registry,ref=127.0.0.1:1/no:1"
    assert "127.0.0.1:1" in workshop.fails(STAGES, "--cache-to", place)
    done = workshop.attempt(STAGES, "--cache-to", place + ",ignore-error=true")
    assert done.returncode == 0
    assert "was not written" in done.stderr


def test_a_bucket(workshop: Workshop, other: Other, objectstore: ObjectStore) -> None:
    place = (
        f"type=s3,region=us-east-1,bucket={BUCKET},prefix=sys/,endpoint_url={objectstore.url},access_key_id=test,"
        "secret_access_key=test,use_path_style=true"
    )
    image = prepared(workshop, "--cache-to", place + ",mode=max")
    done = build(other.fresh(), workshop, STAGES, "--cache-from", place)
    assert done.stdout.strip() == image
    assert done.stderr.count("CACHED") == 5
    assert "secret_access_key=test" not in done.stderr


@pytest.mark.parametrize("driver", ["", "overlay"])
def test_layers_that_are_here_in_another_compression(workshop: Workshop, tmp_path: Path, driver: str) -> None:
    """An image may have come with the very layers that the cache has, and not one blob of it."""
    image = prepared(workshop, "--cache-to", f"type=local,dest={tmp_path}/c,compression=zstd", "-t", "both")
    workshop.store.run("save", "-o", f"{tmp_path}/both.tar", "both")
    folder = tempfile.mkdtemp(prefix="holdall-other-")
    store = CommandStore(folder, driver=driver)
    try:
        store.run("load", "-i", workshop.folder + "/base.tar")
        store.run("load", "-i", f"{tmp_path}/both.tar")
        done = build(store, workshop, STAGES, "--cache-from", f"type=local,src={tmp_path}/c")
        assert done.stdout.strip() == image
        assert "CACHED" in done.stderr
    finally:
        store.close()
        shutil.rmtree(folder)


def test_layers_from_elsewhere_can_be_sent_on(
    workshop: Workshop, other: Other, server: RegistryServer, tmp_path: Path
) -> None:
    """Of a layer that came from a folder only the tar is kept: its blob is made again when a registry wants it."""
    prepared(workshop, "--cache-to", f"type=local,dest={tmp_path}/c,mode=max,compression=zstd,compression-level=7")
    store = other.fresh()
    name = f"{server.host}/c/on:1"
    build(
        store, workshop, STAGES, "--cache-from", f"type=local,src={tmp_path}/c", "-t", name, "--push",
        "--cache-to", f"type=registry,ref={server.host}/c/on:cache,mode=max", "-o", f"type=oci,dest={tmp_path}/o.tar",
    )  # fmt: skip
    store.run("push", "-q", name)
    assert (tmp_path / "o.tar").stat().st_size > 0
    done = build(other.fresh(), workshop, STAGES, "--cache-from", f"{server.host}/c/on:cache")
    assert done.stderr.count("CACHED") == 5
