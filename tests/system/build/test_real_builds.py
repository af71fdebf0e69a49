"""Services as people write them, built by Holdall and by buildah on one Debian base made here, and compared whole.

Each is in real/NAME. The short form builds three of them; with HOLDALL_SOAK=1 all five. They install packages from
the registries that this machine is set up for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdall.engine.engine import Engine
from holdall.linux.stack import view
from holdall.testing.command import CommandStore
from holdall.testing.trees import Facts, differences, survey

pytestmark = [
    pytest.mark.root,
    pytest.mark.peers,
    pytest.mark.network,
    pytest.mark.soak,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

REAL = Path(__file__).parent / "real"
LONG = os.environ.get("HOLDALL_SOAK") == "1"
MINUTES = 10.0
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENV = (f"PATH={PATH}", *(f"{name}={CERTIFICATES}" for name in ("PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")))
INCLUDED = "ca-certificates,python3,python3-pip,python3-venv"
CONTAINERS_CONF = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'

OF_THE_MOMENT = (
    "etc/.pwd.lock", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/ld.so.cache", "etc/machine-id",
    "etc/ssl/certs/ssl-cert-snakeoil.pem", "etc/ssl/private/ssl-cert-snakeoil.key", "var/cache/ldconfig/aux-cache",
)  # fmt: skip
"""Files that a package's scripts or the engines write with what is true at that moment only."""
OF_A_NEW_KEY = re.compile(r"etc/ssl/certs/[0-9a-f]{8}\.0")
"""Links to certificates by their hash, among them one for a key that ssl-cert makes when it is installed."""
OF_A_NEW_KEY = re.compile(r"etc/ssl/certs/[0-9a-f]{8}\.0")
"""Links to certificates by their hash, among them one to a key that ssl-cert makes when it is installed."""
OF_THE_MOMENT_BELOW = (
    "var/log/",
    "var/cache/",
    "var/lib/apt/",
    "var/lib/dpkg/",
    "dev/",
    "proc/",
    "sys/",
    "run/",
    "tmp/",
)
SETTINGS = (
    "Env", "Cmd", "Entrypoint", "User", "WorkingDir", "ExposedPorts", "Volumes", "Labels", "StopSignal", "Healthcheck",
)  # fmt: skip


def tool(*words: str, env: dict[str, str] | None = None) -> str:
    """Run a peer; its standard output."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=MINUTES * 60
    )
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout.strip()


@pytest.fixture(scope="module")
def folder() -> Iterator[str]:
    """A short name: buildah refuses a runroot of more than 50 letters. Not below /tmp: a tmpfs on /tmp in a step loses
    buildah the layers it keeps there."""
    path = tempfile.mkdtemp(prefix="hd-real-", dir="/var/tmp")
    yield path
    with open("/proc/self/mounts") as mounts:
        points = [line.split()[1] for line in mounts]
    for point in reversed([point for point in points if point.startswith(path)]):
        subprocess.run(["umount", "-l", point], check=False)
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def base(folder: str) -> str:
    """A Debian root as a tar, with Python, from the host's own package sources and with its certificates.

    A ready one may be given by HOLDALL_REAL_BASE.
    """
    if ready := os.environ.get("HOLDALL_REAL_BASE"):
        return ready
    sources = "/etc/apt/sources.list.d/debian.sources"
    path = folder + "/base.tar"
    tool(
        "mmdebstrap", "--quiet", "--variant=apt", "--mode=root", f"--include={INCLUDED}",
        "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=force-unsafe-io", f"--customize-hook=copy-in {CERTIFICATES} /etc/ssl/certs", "bookworm", path,
        *([sources] if os.path.exists(sources) else []),
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def store(base: str, folder: str) -> Iterator[CommandStore]:
    os.mkdir(folder + "/store")
    store = CommandStore(folder + "/store")
    try:
        store.run("import", "--change", "ENV " + " ".join(ENV), base, "base")
        yield store
    finally:
        store.close()


@pytest.fixture(scope="module")
def buildah(base: str, folder: str) -> Iterator[Callable[..., str]]:
    """buildah or podman (the first word) with a store of its own that has the base."""
    place = folder + "/pod"
    os.makedirs(place)
    with open(f"{place}/containers.conf", "w") as file:
        file.write(CONTAINERS_CONF)
    roots = ["--root", f"{place}/root", "--runroot", f"{place}/run", "--storage-driver", "overlay"]
    env = {"CONTAINERS_CONF": f"{place}/containers.conf", "STORAGE_DRIVER": "overlay"}
    changes = [word for one in ENV for word in ("-c", f"ENV {one}")]
    tool("podman", *roots, "import", *changes, base, "base", env=env)
    yield lambda program, *words: tool(program, *roots, *words, env=env)
    subprocess.run(["buildah", *roots, "rm", "-a"], capture_output=True, env={**os.environ, **env})


def lasting(tree: dict[str, Facts]) -> dict[str, Facts]:
    """What two builds at different times must agree on: all but times, and files with something of the moment in."""
    kept = {}
    for name, facts in tree.items():
        if (
            name in OF_THE_MOMENT
            or OF_A_NEW_KEY.fullmatch(name)
            or name.startswith(OF_THE_MOMENT_BELOW)
            or name.rstrip("/") + "/" in OF_THE_MOMENT_BELOW
        ):
            continue
        content: object = facts[6]
        if name.endswith(".pyc"):
            content = "has the time of its source in it"
        kept[name] = (*facts[:4], facts[5], content, *facts[7:])
    return kept


def our_tree(store: CommandStore, name: str) -> dict[str, Facts]:
    """The image's files as a container would find them."""
    diff_ids = json.loads(store.run("image", "inspect", name))[0]["RootFS"]["Layers"]
    with stacked(store, diff_ids) as path:
        return survey(path)


@contextmanager
def stacked(store: CommandStore, diff_ids: list[str]) -> Iterator[str]:
    """The layers on top of each other, as a path."""
    with Engine(store.paths.root, store.paths.run_root) as engine, engine.snapshots.view(diff_ids) as lowers:
        fd = view(lowers)
        try:
            yield f"/proc/self/fd/{fd}/."
        finally:
            os.close(fd)


def their_tree(buildah: Callable[..., str], name: str) -> dict[str, Facts]:
    container = buildah("buildah", "from", "--pull-never", f"localhost/{name}")
    try:
        return survey(buildah("buildah", "mount", container))
    finally:
        buildah("buildah", "rm", container)


def our_settings(store: CommandStore, name: str) -> dict[str, Any]:
    return settings(json.loads(store.run("image", "inspect", name))[0]["Config"])


def settings(config: dict[str, Any]) -> dict[str, Any]:
    """What both must have set, empty forms made one."""
    found = {key: config.get(key) or None for key in SETTINGS}
    found["Env"] = sorted(found["Env"] or [])
    found["WorkingDir"] = found["WorkingDir"] or "/"
    if found["Labels"]:
        found["Labels"] = {key: value for key, value in found["Labels"].items() if "buildah" not in key} or None
    return found


def build_both(store: CommandStore, buildah: Callable[..., str], name: str) -> None:
    begun = store.begin("build", "-t", name, str(REAL / name))
    _, said = begun.communicate(timeout=MINUTES * 60)
    assert begun.returncode == 0, said.decode()[-3000:]
    buildah(
        "buildah", "build", "--format", "docker", "--layers", "--runtime", "runc", "--network", "host",
        "-t", name, str(REAL / name),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["flask", "c", "django"] + (["node", "postgres"] if LONG else []))
def test_the_same_files_and_settings_as_buildah(store: CommandStore, buildah: Callable[..., str], name: str) -> None:
    build_both(store, buildah, name)
    theirs, ours = lasting(their_tree(buildah, name)), lasting(our_tree(store, name))
    assert len(ours) > (1 if name == "c" else 1000)
    assert differences(theirs, ours) == []
    described = json.loads(buildah("podman", "image", "inspect", f"localhost/{name}"))[0]
    config = {**described["Config"], "Healthcheck": described.get("Healthcheck")}
    assert our_settings(store, name) == settings(config)
    serves(store, name)


def finished_logs(store: CommandStore, container: str) -> tuple[str, str]:
    done = store.attempt("logs", container)
    return done.stdout, done.stderr


ANSWERS = {
    "flask": ("8000", "hello from uid 900"),
    "node": ("3000", "node production as 65534"),
    "django": ("8000", "django"),
}


def serves(store: CommandStore, name: str) -> None:
    """The service answers inside its container."""
    if name == "c":
        assert store.run("run", "--rm", "--network", "none", name) == "hello, world"
        assert store.run("run", "--rm", "--network", "none", name, "you") == "hello, you"
        return
    container = store.run("run", "-d", name)
    try:
        if name == "postgres":
            asked, wanted = ("psql", "-h", "127.0.0.1", "-Atc", "select 6 * 7"), "42"
        else:
            port, wanted = ANSWERS[name]
            asked = (
                "python3",
                "-c",
                f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/').read().decode())",
            )
        deadline = time.monotonic() + 60
        while (done := store.attempt("exec", container, *asked)).returncode != 0:
            assert time.monotonic() < deadline, done.stderr + "".join(finished_logs(store, container))
            time.sleep(0.3)
        assert done.stdout.strip() == wanted
    finally:
        store.run("rm", "-f", "-v", container)
