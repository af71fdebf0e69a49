"""A Debian root made by mmdebstrap, through Holdall into every tool we know and back, and at work inside.

The file trees are compared whole: owner, mode, time, extended attributes, content and links. A ready tar of such a
root may be given by HOLDALL_DEBIAN_TAR, to save the two minutes of making one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator

import pytest

from holdall.testing.command import CommandStore
from holdall.testing.docker_daemon import DockerDaemon
from holdall.testing.docker_registry import DockerRegistry
from holdall.testing.trees import Facts, differences, survey

pytestmark = [
    pytest.mark.root,
    pytest.mark.peers,
    pytest.mark.network,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.xdist_group("debian"),
]

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PACKAGES = "python3,python3-pip,ca-certificates"
NAME = "debian-interop:1"
FULL = f"docker.io/library/{NAME}"
PIP = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")
CONTAINERS_CONF = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
RUNC = ("--runtime", "runc", "--cgroup-manager", "cgroupfs")
"""crun refuses hosts with both versions of cgroups."""
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


def tool(*words: str, env: dict[str, str] | None = None) -> str:
    """Run a peer; its standard output."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=240)
    assert done.returncode == 0, (words, done.stderr[-2000:])
    return done.stdout.strip()


@pytest.fixture(scope="session")
def folder() -> Iterator[str]:
    """A short name: podman refuses a runroot of more than 50 letters."""
    path = tempfile.mkdtemp(prefix="hd-interop-")
    yield path
    with open("/proc/self/mounts") as mounts:
        points = [line.split()[1] for line in mounts]
    for point in reversed([point for point in points if point.startswith(path)]):
        subprocess.run(["umount", "-l", point], check=False)
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def tar(folder: str) -> str:
    """The root as one tar, from the host's own package sources."""
    ready = os.environ.get("HOLDALL_DEBIAN_TAR")
    if ready:
        return ready
    sources = "/etc/apt/sources.list.d/debian.sources"
    path = folder + "/debian.tar"
    tool(
        "mmdebstrap", "--quiet", "--variant=apt", "--mode=root", f"--include={PACKAGES}",
        "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=force-unsafe-io", "bookworm", path, *([sources] if os.path.exists(sources) else []),
    )  # fmt: skip
    return path


@pytest.fixture(scope="session")
def expected(tar: str, folder: str) -> dict[str, Facts]:
    """What GNU tar makes of it."""
    place = folder + "/expected"
    os.mkdir(place)
    tool("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", tar, "-C", place)
    return survey(place)


def opened(path: str) -> Iterator[CommandStore]:
    os.mkdir(path)
    store = CommandStore(path)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture(scope="session")
def store(tar: str, folder: str) -> Iterator[CommandStore]:
    """The store with the image."""
    for store in opened(folder + "/store"):
        store.run("import", "--change", 'CMD ["bash"]', tar, NAME)
        yield store


@pytest.fixture
def other(folder: str) -> Iterator[CommandStore]:
    """An empty store."""
    try:
        yield from opened(folder + "/other")
    finally:
        shutil.rmtree(folder + "/other")


@pytest.fixture
def podman(folder: str) -> Iterator[Callable[..., str]]:
    """podman or buildah (the first word) with a store of its own."""
    place = folder + "/pod"
    os.makedirs(place)
    for name, text in (("containers.conf", CONTAINERS_CONF), ("policy.json", POLICY)):
        with open(f"{place}/{name}", "w") as file:
            file.write(text)
    roots = ["--root", f"{place}/root", "--runroot", f"{place}/run", "--storage-driver", "overlay"]
    env = {"CONTAINERS_CONF": f"{place}/containers.conf", "STORAGE_DRIVER": "overlay"}
    try:
        yield lambda program, *words: tool(program, *roots, *words, env=env)
    finally:
        subprocess.run(["podman", *roots, "rm", "-fa"], capture_output=True, env={**os.environ, **env})
        subprocess.run(["buildah", *roots, "rm", "-a"], capture_output=True, env={**os.environ, **env})
        with open("/proc/self/mounts") as mounts:
            points = [line.split()[1] for line in mounts if line.split()[1].startswith(place)]
        for point in reversed(points):
            subprocess.run(["umount", "-l", point], check=False)
        shutil.rmtree(place)


@pytest.fixture(scope="session", params=["docker-archive", "oci-archive"])
def saved(request: pytest.FixtureRequest, store: CommandStore, folder: str) -> tuple[str, str]:
    """(form, path) of the image saved."""
    path = f"{folder}/{request.param}.tar"
    store.run("save", "--format", request.param, "-o", path, NAME)
    return request.param, path


def tree_of(store: CommandStore, name: str = NAME) -> dict[str, Facts]:
    """The image's only layer: the tree as we show it."""
    (diff_id,) = json.loads(store.run("image", "inspect", name))[0]["RootFS"]["Layers"]
    from holdall.store.snapshots.overlay import OverlaySnapshots

    with OverlaySnapshots(store.paths).view([diff_id]) as (path,):
        return survey(path)


def test_the_imported_tree_is_the_tar(store: CommandStore, expected: dict[str, Facts]) -> None:
    assert len(expected) > 5000
    assert differences(expected, tree_of(store)) == []


def test_skopeo_copies_what_we_save_and_we_load_it_back(
    saved: tuple[str, str], other: CommandStore, expected: dict[str, Facts]
) -> None:
    form, path = saved
    layout = other.folder + "/layout"
    tool("skopeo", "copy", "--insecure-policy", f"{form}:{path}", f"oci:{layout}:{NAME}")
    other.run("load", "-q", "-i", layout)
    (found,) = other.run("images", "-q", "--no-trunc").split()
    assert differences(expected, tree_of(other, found)) == []


@pytest.mark.parametrize("saved", ["docker-archive"], indirect=True)
def test_our_archives_load_into_another_store_under_the_same_name(
    saved: tuple[str, str], store: CommandStore, other: CommandStore, expected: dict[str, Facts]
) -> None:
    assert NAME in other.run("load", "-i", saved[1])
    assert other.run("images", "-q", "--no-trunc", NAME) == store.run("images", "-q", "--no-trunc", NAME)
    assert differences(expected, tree_of(other)) == []


def test_umoci_unpacks_the_store_itself(store: CommandStore, folder: str, expected: dict[str, Facts]) -> None:
    bundle = folder + "/umoci"
    tool("umoci", "unpack", "--image", f"{store.paths.root}:{FULL}", bundle)
    found = survey(bundle + "/rootfs")
    shutil.rmtree(bundle)
    assert differences(expected, found) == []


def test_podman_runs_what_we_save_and_we_load_what_it_saves(
    saved: tuple[str, str], podman: Callable[..., str], other: CommandStore, expected: dict[str, Facts]
) -> None:
    form, path = saved
    podman("podman", "load", "-q", "-i", path)
    (name,) = podman("podman", "images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    assert name == FULL
    mounted = podman("podman", "image", "mount", FULL)
    assert differences(expected, survey(mounted)) == []
    podman("podman", "image", "unmount", FULL)
    words = ("python3", "-c", "print(6 * 7)")
    assert podman("podman", *RUNC, "run", "--rm", "--network", "none", FULL, *words) == "42"
    back = other.folder + "/back.tar"
    podman("podman", "save", "-q", "--format", form, "-o", back, FULL)
    other.run("load", "-q", "-i", back)
    assert differences(expected, tree_of(other)) == []


@pytest.mark.parametrize("saved", ["docker-archive"], indirect=True)
def test_docker_runs_what_we_save_and_gives_it_back(
    saved: tuple[str, str], dockerd: DockerDaemon, registry_v2: DockerRegistry, other: CommandStore,
    expected: dict[str, Facts],
) -> None:  # fmt: skip
    dockerd.run("load", "-q", "-i", saved[1])
    pushed = f"{registry_v2.host}/interop/from-docker:1"
    try:
        done = dockerd.run("run", "--rm", "--network", "none", NAME, "python3", "-c", "print(6 * 7)")
        assert done.stdout == "42\n"
        back = other.folder + "/docker.tar"
        dockerd.run("save", "-o", back, NAME)
        other.run("load", "-q", "-i", back)
        assert differences(expected, tree_of(other)) == []
        assert other.run("run", "--rm", "--network", "none", NAME, "python3", "-c", "print(7 * 6)").strip() == "42"
        dockerd.run("tag", NAME, pushed)
        dockerd.run("push", pushed)
        other.run("pull", "-q", pushed)
        assert differences(expected, tree_of(other, pushed)) == []
    finally:
        dockerd.run("rmi", "-f", NAME, pushed, check=False)


@pytest.mark.parametrize("saved", ["oci-archive"], indirect=True)
def test_buildah_mounts_what_we_save(
    saved: tuple[str, str], podman: Callable[..., str], expected: dict[str, Facts]
) -> None:
    container = podman("buildah", "from", "--pull-never", podman("buildah", "pull", "-q", ":".join(saved)))
    assert differences(expected, survey(podman("buildah", "mount", container))) == []
    podman("buildah", "rm", container)


def test_a_registry_gives_back_what_we_push(
    store: CommandStore, other: CommandStore, registry_v2: DockerRegistry, expected: dict[str, Facts], folder: str
) -> None:
    name = f"{registry_v2.host}/interop/debian:1"
    store.run("tag", NAME, name)
    try:
        pushed = store.run("push", "-q", name)
    finally:
        store.run("rmi", name)
    seen = json.loads(tool("skopeo", "inspect", "--tls-verify=false", f"docker://{name}"))
    assert seen["Digest"] in pushed
    other.run("pull", "-q", name)
    assert differences(expected, tree_of(other, name)) == []


def inside(store: CommandStore, script: str) -> str:
    """Run a shell script in the image over the bridge, with the host's certificates."""
    words = ["-v", f"{CERTIFICATES}:{CERTIFICATES}:ro", "-e", f"PIP_CERT={CERTIFICATES}"]
    words += ["-e", f"SSL_CERT_FILE={CERTIFICATES}", "-e", "DEBIAN_FRONTEND=noninteractive"]
    for name in PIP:
        if name in os.environ:
            words += ["-e", name]
    return store.run("run", "--rm", *words, NAME, "sh", "-ec", script)


def test_apt_installs_a_package_inside(store: CommandStore) -> None:
    script = "apt-get -qq update && apt-get -qq install --no-install-recommends hello >/dev/null && hello"
    assert "Hello, world!" in inside(store, script)


def test_pip_installs_a_package_inside(store: CommandStore) -> None:
    script = (
        "pip install -q --break-system-packages --root-user-action=ignore --disable-pip-version-check iniconfig"
        " && python3 -c 'import iniconfig; print(iniconfig.__name__)'"
    )
    assert inside(store, script) == "iniconfig"
