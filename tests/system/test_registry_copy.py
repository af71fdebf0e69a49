"""`registry copy`, `sync`, `inspect`, `tags` and `delete` as commands: beside skopeo, with passwords, through kills."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.oci.digest import Digest
from holdall.oci.reference import Reference
from holdall.registry.options import Options
from holdall.registry.query import head
from holdall.testing.docker_registry import DockerRegistry, available
from holdall.testing.images import random_image, random_index
from holdall.testing.registry import RegistryServer

LONG = os.environ.get("HOLDALL_SOAK") == "1"
COMMAND = [sys.executable, "-c", "from holdall.cli.entry import run; run()"]
IMAGE = random_image(seed=1, layers=3, size=40_000)
INDEX = random_index(seed=9, platforms=("linux/amd64", "linux/arm64"))
peers = [
    pytest.mark.peers,
    pytest.mark.skipif(not available() or shutil.which("skopeo") is None, reason="needs docker-registry and skopeo"),
]


class Command:
    """The command line with a home and a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.env = {
            **os.environ,
            "HOME": str(folder / "home"),
            "HOLDALL_ROOT": str(folder / "store"),
            "HOLDALL_RUN_ROOT": str(folder / "run"),
        }
        self.env.pop("DOCKER_CONFIG", None)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*COMMAND, *words],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def done(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*COMMAND, *words], env=self.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        return done

    def __call__(self, *words: str) -> str:
        return self.done("registry", *words).stdout


@pytest.fixture
def holdall(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture
def one() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", IMAGE)
        server.store.add_image("team/app", "2", IMAGE)
        server.store.add_index("team/multi", "1", INDEX)
        yield server


def skopeo(*words: str) -> str:
    done = subprocess.run(["skopeo", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_questions(holdall: Command, one: RegistryServer) -> None:
    assert holdall("tags", f"{one.host}/team/app").split() == ["1", "2"]
    there, none = f"{one.host}/team/app:1", f"{one.host}/team/none:1"
    shown = holdall.done("registry", "inspect", "--format", "{{.Digest}} {{len .Layers}}", there, none, code=1)
    assert shown.stdout == f"{IMAGE.digest} 3\n"
    assert "none:1" in shown.stderr
    assert holdall("inspect", "--raw", f"{one.host}/team/multi:1").encode() == INDEX.index.raw


def test_deleting(holdall: Command, one: RegistryServer) -> None:
    holdall("delete", f"{one.host}/team/app:2")
    assert one.store.repository("team/app").tags == {"1": str(IMAGE.digest)}
    assert "neither tag nor digest" in holdall.done("registry", "delete", f"{one.host}/team/app", code=1).stderr
    assert holdall("delete", "--manifest", f"{one.host}/team/app:1") == f"{IMAGE.digest}\n"
    assert not one.store.repository("team/app").manifests
    assert "manifest unknown" in holdall.done("registry", "delete", f"{one.host}/team/app:1", code=1).stderr


def test_credentials_of_both_sides(holdall: Command, tmp_path: Path) -> None:
    with (
        RegistryServer(auth="token", users={"a": "one"}) as one,
        RegistryServer(auth="basic", users={"b": "two"}) as two,
    ):
        one.store.add_image("app", "1", IMAGE)
        words = ["registry", "copy", f"{one.host}/app:1", f"{two.host}/app:1"]
        holdall.done(*words, "--src-creds", "a:one", "--dest-creds", "b:wrong", code=1)
        holdall.done(*words, "--src-creds", "a:one", "--dest-creds", "b:two", "--digestfile", f"{tmp_path}/digest")
        assert (tmp_path / "digest").read_text() == str(IMAGE.digest)
        assert two.store.repository("app").tags == {"1": str(IMAGE.digest)}
        assert not any("dHdv" in seen.headers.get("Authorization", "") for seen in one.requests)


def test_sync_by_file(holdall: Command, one: RegistryServer, tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text(
        f"{one.host}:\n  images:\n    team/app: ['1', none]\n  images-by-tag-regex:\n    team/multi: ^1$\n"
    )
    with RegistryServer() as two:
        words = ["registry", "sync", "--file", f"{tmp_path}/list.yaml", "--all", "--scoped", f"{two.host}/m"]
        dry = holdall.done(*words, "--dry-run").stdout
        assert f"{one.host}/team/app:1 -> {two.host}/m/{one.host.replace(':', '-')}/team/app:1\n" in dry
        assert not two.store.repositories
        going = holdall.done(*words, "--keep-going", "--format", "json", code=1)
        assert "none" in going.stderr
        assert [json.loads(line)["Digest"] for line in going.stdout.splitlines()] == [
            str(IMAGE.digest),
            str(INDEX.digest),
        ]
        assert len(two.store.repositories) == 2


@pytest.mark.parametrize("target", ["registry", "oci", "oci-archive"] if LONG else ["registry", "oci-archive"])
def test_a_killed_copy_is_gone_on_with(holdall: Command, one: RegistryServer, tmp_path: Path, target: str) -> None:
    image = random_image(seed=4, layers=3, files=8, size=300_000)
    one.store.add_image("big", "1", image)
    with RegistryServer() as two:
        place = f"{two.host}/big:1" if target == "registry" else f"{target}:{tmp_path}/out"
        last = image.manifest.layers[-1].digest

        def there() -> int:
            if target == "registry":
                return len(two.store.repository("big").blobs)
            folder = tmp_path / ("out" if target == "oci" else "out.parts") / "blobs/sha256"
            return len([name for name in os.listdir(folder) if len(name) == 64]) if folder.exists() else 0

        for round_number in range(20 if LONG else 1):
            fault = one.fail("stall", path=f"blobs/{last}", seconds=1.0, times=-1)
            process = holdall.start("registry", "copy", f"{one.host}/big:1", place)
            deadline = time.monotonic() + 60
            while there() < 3 and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(0.05 * round_number)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            one.faults.pending.remove(fault)
        asked = len(one.requests)
        holdall("copy", f"{one.host}/big:1", place)
        whole = [ask for ask in one.requests[asked:] if ask.method == "GET" and "/blobs/" in ask.path]
        assert len(whole) <= 2
        if target == "registry":
            assert two.store.repository("big").tags == {"1": str(image.digest)}
        else:
            assert holdall("inspect", "--format", "{{.Digest}}", place) == f"{image.digest}\n"
            assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out")) == ["out"]


@pytest.mark.peers
@pytest.mark.skipif(not available() or shutil.which("skopeo") is None, reason="needs docker-registry and skopeo")
def test_skopeo_reads_what_we_copy_and_we_what_it_copies(
    holdall: Command, one: RegistryServer, registry_v2: DockerRegistry, tmp_path: Path
) -> None:
    host = registry_v2.host
    for name, digest in (("app", IMAGE.digest), ("multi", INDEX.digest)):
        there = f"{host}/copied/{name}:1"
        assert holdall("copy", "--all", f"{one.host}/team/{name}:1", there) == f"{digest}\n"
        assert Digest.of(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{there}").encode()) == digest
    for kind in ("oci", "oci-archive", "docker-archive") if LONG else ("oci", "docker-archive"):
        ours, theirs = f"{kind}:{tmp_path}/ours-{kind}", f"{kind}:{tmp_path}/theirs-{kind}"
        tag = "a/b:1" if kind == "docker-archive" else "1"
        holdall("copy", f"{host}/copied/app:1", f"{ours}:{tag}")
        skopeo("copy", "-q", f"{ours}:{tag}", f"dir:{tmp_path}/dir-{kind}")
        skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{host}/copied/app:1", f"{theirs}:{tag}")
        back = f"{host}/back/{kind}:1"
        digest = holdall("copy", f"{theirs}:{tag}", back).strip()
        if kind != "docker-archive":
            assert digest == str(IMAGE.digest)
            assert Digest.of((tmp_path / f"dir-{kind}/manifest.json").read_bytes()) == IMAGE.digest
    shown = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{host}/copied/app:1"))
    ours_shown = json.loads(holdall("inspect", f"{host}/copied/app:1"))[0]
    for key in ("Name", "Digest", "RepoTags", "Labels", "Architecture", "Os", "Layers", "Env"):
        assert ours_shown[key] == shown[key], key
    assert "does not delete" in holdall.done("registry", "delete", f"{host}/copied/app:1", code=1).stderr
    holdall("delete", "--manifest", f"{host}/copied/app:1")


@pytest.mark.peers
@pytest.mark.skipif(not available() or shutil.which("skopeo") is None, reason="needs docker-registry and skopeo")
def test_a_sync_ends_where_skopeos_does(
    holdall: Command, one: RegistryServer, registry_v2: DockerRegistry, tmp_path: Path
) -> None:
    host = registry_v2.host
    (tmp_path / "list.yaml").write_text(
        f"{one.host}:\n  tls-verify: false\n  images:\n    team/app: []\n    team/multi: ['1']\n"
    )
    skopeo(
        "sync",
        "--dest-tls-verify=false",
        "--all",
        "--src",
        "yaml",
        "--dest",
        "docker",
        f"{tmp_path}/list.yaml",
        f"{host}/theirs",
    )
    holdall("sync", "--all", "--file", f"{tmp_path}/list.yaml", f"{host}/ours")
    options = Options(environ={"HOME": str(tmp_path)})
    for name in ("app:1", "app:2", "multi:1"):
        found = [
            asyncio.run(head(Reference.parse(f"{host}/{who}/{name}"), options=options)) for who in ("ours", "theirs")
        ]
        assert found[0].digest == found[1].digest
