"""Images pushed by a build, for one platform and for several; annotations; what peers make of them."""

from __future__ import annotations

import json
import subprocess
import tempfile
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from holdall.testing import docker_registry
from holdall.testing.building import Workshop
from holdall.testing.command import busybox_available
from holdall.testing.docker_registry import DockerRegistry
from holdall.testing.registry import RegistryServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]

ONE = "FROM bb\nCOPY f /f\n"
CROSS = """
FROM --platform=$BUILDPLATFORM bb AS cross
ARG TARGETPLATFORM TARGETARCH BUILDPLATFORM
RUN echo "$BUILDPLATFORM $TARGETPLATFORM $TARGETARCH" > /made
FROM scratch
COPY --from=cross /made /made
"""
SEVERAL = ("--platform", "linux/amd64,linux/arm64,linux/riscv64")


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with Workshop() as made:
        made.fresh({"f": "f"})
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as made:
        yield made


def document(server: RegistryServer, name: str) -> dict[str, Any]:
    kinds = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
    path, _, tag = name.rpartition(":") if "@" not in name else name.partition("@")
    request = urllib.request.Request(f"{server.url}/v2/{path}/manifests/{tag}", headers={"Accept": kinds})
    with urllib.request.urlopen(request) as reply:
        found: dict[str, Any] = json.load(reply)
        return found


def test_push_under_all_names(workshop: Workshop, server: RegistryServer) -> None:
    names = [f"{server.host}/push/a:1", f"{server.host}/push/b:2"]
    image = workshop.build(ONE, "-t", names[0], "-t", names[1], "--push")
    for name in ("push/a:1", "push/b:2"):
        assert document(server, name)["config"]["digest"] == image
    assert "push/a@sha256:" in workshop.store.run("image", "inspect", names[0])


def test_other_names_compression_and_a_digest_alone(workshop: Workshop, server: RegistryServer, tmp_path: Any) -> None:
    meta = tmp_path / "m"
    workshop.build(
        ONE, "-t", "stays:here", "-o",
        f"type=image,name={server.host}/only/digest,push-by-digest=true,compression=zstd",
        "--metadata-file", str(meta),
    )  # fmt: skip
    digest = json.loads(meta.read_text())["containerimage.digest"]
    found = document(server, f"only/digest@{digest}")
    assert found["layers"][-1]["mediaType"].endswith("zstd")
    with pytest.raises(urllib.error.HTTPError):
        document(server, "only/digest:latest")


def test_pushed_and_not_kept(workshop: Workshop, server: RegistryServer) -> None:
    workshop.build(ONE + "LABEL x=y\n", "-t", f"{server.host}/not/kept:1", "-o", "type=registry,store=false")
    assert document(server, "not/kept:1")["layers"]
    assert "not/kept" not in workshop.store.run("images")


def test_annotations_have_their_places(workshop: Workshop, server: RegistryServer) -> None:
    workshop.build(
        CROSS, *SEVERAL, "-t", f"{server.host}/notes:1", "--push", "--annotation", "all=1",
        "--annotation", "manifest[linux/arm64]:arm=2", "--annotation", "index:i=3",
        "--annotation", "index,manifest-descriptor[linux/riscv64]:d=4",
    )  # fmt: skip
    index = document(server, "notes:1")
    assert index["annotations"] == {"i": "3", "d": "4"}
    members = {one["platform"]["architecture"]: one for one in index["manifests"]}
    assert members["riscv64"]["annotations"] == {"d": "4"}
    assert "annotations" not in members["amd64"]
    notes = {arch: document(server, f"notes@{one['digest']}")["annotations"] for arch, one in members.items()}
    assert notes == {"amd64": {"all": "1"}, "arm64": {"all": "1", "arm": "2"}, "riscv64": {"all": "1"}}


def test_several_platforms_are_one_name(workshop: Workshop, server: RegistryServer, tmp_path: Any) -> None:
    store = workshop.store
    name = f"{server.host}/multi:1"
    image = workshop.build(CROSS, *SEVERAL, "-t", name, "--metadata-file", str(tmp_path / "m"))
    digest = json.loads((tmp_path / "m").read_text())["containerimage.digest"]
    assert store.run("images", "-q", "--no-trunc", name) == image
    assert len(store.run("images", "-q").split()) == len(set(store.run("images", "-q").split()))
    # the whole of it is pushed, from the store
    assert store.run("push", "-q", name) == digest
    assert [one["platform"]["architecture"] for one in document(server, "multi:1")["manifests"]] == [
        "amd64", "arm64", "riscv64",
    ]  # fmt: skip
    # another build finds each platform under the name
    text = f"FROM {name}\nLABEL child=1\n"
    other = workshop.build(text, "--platform", "linux/riscv64")
    assert json.loads(store.run("image", "inspect", other))[0]["Architecture"] == "riscv64"
    assert store.run("images", "-q", "--no-trunc", name) == image, "the name stays with this machine's image"
    store.run("rmi", "-f", name)
    assert "no damage" in store.run("system", "fsck", "-q")


def test_files_of_several_platforms(workshop: Workshop, tmp_path: Any) -> None:
    workshop.build(CROSS, *SEVERAL, "-o", str(tmp_path / "out"))
    own = workshop.store.run("info", "--format", "{{.OSType}}/{{.Architecture}}").replace("x86_64", "amd64")
    for arch in ("amd64", "arm64", "riscv64"):
        text = (tmp_path / f"out/linux_{arch}/made").read_text()
        assert text == f"{own.replace('aarch64', 'arm64')} linux/{arch} {arch}\n"


def test_base_images_of_several_platforms(workshop: Workshop, server: RegistryServer) -> None:
    """A base image is pulled for each platform, and its name stays with this machine's."""
    store = workshop.store
    name = f"{server.host}/base:1"
    workshop.build(CROSS, *SEVERAL, "-t", name, "--push")
    store.run("rmi", "-f", name)
    store.run("image", "prune", "-af", "--filter", "label!=keep")
    store.run("import", workshop.folder + "/bb.tar", "bb")
    text = f"FROM {name}\nCOPY f /f\n"
    workshop.build(text, *SEVERAL, "-t", "child")
    asked = len(server.requests)
    again = workshop.build(text, *SEVERAL, "-t", "child")
    assert len(server.requests) == asked, "all platforms are here"
    assert json.loads(store.run("image", "inspect", again))[0]["Architecture"] in ("amd64", "arm64")
    assert json.loads(store.run("image", "inspect", name))[0]["Architecture"] in ("amd64", "arm64")


def test_run_for_another_platform_without_an_emulator(workshop: Workshop) -> None:
    """A program of another machine is refused with a hint, whether or not the table of emulators can be read."""
    with open("/proc/mounts") as file:
        if any(line.split()[2] == "binfmt_misc" for line in file):
            pytest.skip("this machine may have emulators")
    from holdall.linux import binfmt

    machine = "riscv64"
    program = binfmt.program_head(*binfmt.MACHINES[machine]) + bytes(64)
    workshop.fresh({"f": "f"})
    with open(workshop.context + "/program", "wb") as file:
        file.write(program)
    text = "FROM --platform=$TARGETPLATFORM scratch\nCOPY --chmod=755 program /program\n"
    workshop.build(text, "--platform", f"linux/{machine}")
    said = workshop.fails(text + 'RUN ["/program"]\n', "--platform", f"linux/{machine}")
    assert f"cannot RUN for linux/{machine}" in said
    assert '>>> RUN ["/program"]' in said
    assert "binfmt_misc" in said
    workshop.fresh({"f": "f"})


@pytest.mark.peers
@pytest.mark.skipif(not docker_registry.available(), reason="needs docker-registry")
def test_peers_pull_what_was_pushed(workshop: Workshop) -> None:
    with tempfile.TemporaryDirectory(prefix="hd-") as folder, DockerRegistry(folder) as registry:
        name = f"{registry.host}/peers:1"
        image = workshop.build(CROSS, *SEVERAL, "-t", name, "--push")
        shown = subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", "--config", "--raw", f"docker://{name}"],
            capture_output=True, check=True,
        ).stdout  # fmt: skip
        from holdall.oci.digest import Digest

        assert str(Digest.of(shown)) == image
        subprocess.run(
            ["skopeo", "copy", "-q", "--all", "--src-tls-verify=false", f"docker://{name}", f"oci:{folder}/copy:1"],
            check=True,
        )
        chunked = f"{registry.host}/chunked:1"
        workshop.build(ONE, "-t", chunked, "-o", "type=registry,compression=zstd:chunked,force-compression=true")
        subprocess.run(
            ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{chunked}", f"oci:{folder}/chunked:1"],
            check=True,
        )


@pytest.mark.peers
@pytest.mark.skipif(not docker_registry.available(), reason="needs docker-registry")
def test_podman_pulls_parts_of_zstd_chunked_layers(workshop: Workshop) -> None:
    """Debian's podman knows the format under the annotations of before 2022-09: the bytes are the same."""
    import os
    import shutil

    workshop.fresh({"f": "1", "big": os.urandom(300_000).hex()})
    text = "FROM bb\nCOPY big f /data/\n"
    with tempfile.TemporaryDirectory(prefix="hd-") as folder, DockerRegistry(folder) as registry:
        settings = (
            f'[storage]\ndriver = "overlay"\nrunroot = "{folder}/prun"\ngraphroot = "{folder}/proot"\n'
            '[storage.options]\npull_options = {enable_partial_images = "true"}\n'
        )
        with open(folder + "/storage.conf", "w") as file:
            file.write(settings)
        environment = {**os.environ, "CONTAINERS_STORAGE_CONF": folder + "/storage.conf"}
        try:
            for turn in ("1", "2"):
                with open(workshop.context + "/f", "w") as file:
                    file.write(turn)
                name = f"{registry.host}/parts:{turn}"
                workshop.build(text, "-t", name, "-o", "type=registry,compression=zstd:chunked,force-compression=true")
                old_keys(registry.host, turn)
                done = subprocess.run(
                    ["podman", "--log-level=debug", "pull", "--tls-verify=false", name + "-old"],
                    capture_output=True, text=True, check=True, env=environment,
                )  # fmt: skip
                assert "Retrieved partial blob" in done.stderr
                assert "Failed to retrieve partial blob" not in done.stderr
            place = subprocess.run(
                ["podman", "image", "mount", name + "-old"], capture_output=True, text=True, check=True, env=environment
            ).stdout.strip()
            for file_name in ("big", "f"):
                with open(f"{place}/data/{file_name}") as one, open(f"{workshop.context}/{file_name}") as two:
                    assert one.read() == two.read()
        finally:
            subprocess.run(["podman", "image", "umount", "-a"], check=False, env=environment, capture_output=True)
            shutil.rmtree(folder + "/proot", ignore_errors=True)
    workshop.fresh({"f": "f"})


def old_keys(host: str, tag: str) -> None:
    """The same manifest under another tag, with the annotations' older names."""
    kind = "application/vnd.oci.image.manifest.v1+json"
    base = f"http://{host}/v2/parts/manifests/"
    with urllib.request.urlopen(urllib.request.Request(base + tag, headers={"Accept": kind})) as reply:
        raw = reply.read()
    raw = raw.replace(b"io.github.containers.zstd-chunked", b"io.containers.zstd-chunked")
    request = urllib.request.Request(base + tag + "-old", data=raw, method="PUT", headers={"Content-Type": kind})
    urllib.request.urlopen(request).close()
