"""system df, gc and fsck, images --tree and image inspect --layers from the command line."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdall.engine.engine import Engine
from holdall.oci.digest import Digest
from holdall.store.snapshots import probe
from holdall.testing.images import image_of_files
from holdall.testing.registry import RegistryServer

pytestmark = pytest.mark.root
Cli = Any
"""conftest.Cli."""


@pytest.fixture
def own(cli: Cli, tmp_path: Path) -> Iterator[Cli]:
    """A store of the test's own, in which nothing runs."""
    run = type(cli)(tmp_path / "store", tmp_path / "run")
    run.ok("import", "-", "base", stdin=tar(a=b"a" * 5000, b=b"b" * 3000))
    yield run
    run.ok("system", "reset", "--force")


def tar(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def du(path: Path) -> int:
    done = subprocess.run(["du", "-s", "--block-size=1", str(path)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_df_adds_up_to_du_within_a_hundredth(cli: Cli, name: str) -> None:
    cli.ok(
        "run",
        "-d",
        "--name",
        name,
        "-v",
        f"{name}:/v",
        "bb",
        "sh",
        "-c",
        "dd if=/dev/zero of=/v/x bs=1M count=3; sleep 99",
    )
    cli.ok("exec", name, "dd", "if=/dev/zero", "of=/written", "bs=1M", "count=2")
    rows = [json.loads(line) for line in cli.ok("system", "df", "--format", "json").splitlines()]
    assert [row["Type"] for row in rows] == [
        "Images",
        "Containers",
        "Local Volumes",
        "Build Cache",
        "Cache",
        "Leftovers",
        "Store",
    ]
    total = du(cli.root)
    assert abs(sum(row["Bytes"] for row in rows) - total) <= total / 100
    plain = cli.ok("system", "df").splitlines()
    assert plain[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    detailed = cli.ok("df", "-v")
    assert name in detailed
    assert "everything" in detailed


def test_gc_says_what_goes_and_takes_resumable_things_only_when_told(own: Cli) -> None:
    assert own.ok("system", "gc") == "Total reclaimed space: 0B\n"
    data = b"orphan" * 2000
    blob = own.root / "blobs/sha256" / Digest.of(data).encoded
    blob.write_bytes(data)
    part = own.root / "ingest" / f"sha256-{'1' * 64}.part"
    part.write_bytes(b"p" * 8000)
    dry = own.ok("gc", "--dry-run")
    assert dry == f"blob {Digest.of(data)}\nTotal reclaimable space: 12kB\n"
    assert blob.exists()
    found = json.loads(own.ok("system", "gc", "--format", "json").splitlines()[0])
    assert found == {"Kind": "blob", "Subject": str(Digest.of(data)), "Size": 12000}
    assert not blob.exists()
    assert part.exists()
    assert "partial download" in own.ok("system", "gc", "--grace", "0s")
    assert not part.exists()
    assert own("system", "gc", "--grace", "soon").returncode == 1


def test_gc_beside_pulls_and_removals(own: Cli) -> None:
    images = [image_of_files([{"common": b"c" * 50_000}, {"own": bytes([65 + n]) * 90_000}]) for n in range(3)]
    with RegistryServer() as server:
        for number, image in enumerate(images):
            server.store.add_image("team/app", str(number), image)
        names = [f"{server.host}/team/app:{number}" for number in range(3)]
        for _ in range(3):
            work = [own.popen("pull", "-q", one, stdout=subprocess.DEVNULL) for one in names]
            work += [own.popen("system", "gc", "--grace", "0s", stdout=subprocess.DEVNULL) for _ in range(2)]
            assert [one.wait(60) for one in work] == [0] * 5
            assert own.ok("system", "fsck", "-q").startswith("no damage: ")
            work = [own.popen("rmi", "-f", one, stdout=subprocess.DEVNULL) for one in names[:2]]
            work.append(own.popen("system", "gc", "--grace", "0s", stdout=subprocess.DEVNULL))
            assert [one.wait(60) for one in work] == [0] * 3
            assert own.ok("system", "fsck", "-q").startswith("no damage: ")
    assert own.ok("system", "gc", "--grace", "0s") == "Total reclaimed space: 0B\n"
    assert sorted(own.ok("images", "--format", "{{.Tag}}").split()) == ["2", "latest"]


def test_listings_are_made_and_go_with_the_budget(own: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    if probe.complaint(Engine(own.root, own.run_root).paths, "erofs"):
        pytest.skip("this kernel mounts no EROFS images")
    own.ok("system", "gc", "--contents")
    assert len(list(own.root.glob("layers/sha256/*/files"))) == 1
    own.ok("system", "gc")
    assert len(list(own.root.glob("layers/sha256/*/files"))) == 1
    monkeypatch.setenv("HOLDALL_STORE_BUDGET", "0")
    assert "file listing sha256:" in own.ok("system", "gc")
    assert list(own.root.glob("layers/sha256/*/files")) == []
    monkeypatch.setenv("HOLDALL_STORE_BUDGET", "plenty")
    refused = own("system", "df")
    assert refused.returncode == 1
    assert "hint: write a size" in refused.stderr


def test_fsck_ends_with_1_while_something_is_damaged(own: Cli) -> None:
    assert own.ok("system", "fsck", "-q").startswith("no damage: ")
    identifier = own.ok("images", "-q", "--no-trunc").strip().partition(":")[2]
    flip(own.root / "blobs/sha256" / identifier)
    bad = own("system", "fsck")
    assert bad.returncode == 1
    assert f'damage: blob "sha256:{identifier}" is damaged' in bad.stdout
    assert "(image base:latest)" in bad.stdout
    assert "fsck --repair" in bad.stderr
    row = json.loads(own("fsck", "--format", "json").stdout.splitlines()[0])
    assert (row["Kind"], row["Images"], row["Mended"]) == ("blob", ["base:latest"], "")
    assert own("system", "fsck", "--repair").returncode == 1, "nobody else has it"
    assert own("system", "fsck").returncode == 1


def test_what_a_registry_has_is_fetched_again(own: Cli) -> None:
    image = image_of_files([{"one": b"1" * 9000}, {"two": b"2" * 7000}])
    with RegistryServer() as server:
        server.store.add_image("team/app", "1", image)
        own.ok("pull", f"{server.host}/team/app:1")
        assert own.ok("system", "fsck", "-q").startswith("no damage: ")
        keeps_tar = (own.root / "blobs/sha256" / image.layers[0].diff_id.encoded).exists()
        layer = image.layers[0]
        flip(own.root / "blobs/sha256" / (layer.diff_id if keeps_tar else layer.descriptor.digest).encoded)
        flip(own.root / "blobs/sha256" / image.id.encoded)
        flip(own.root / "blobs/sha256" / image.digest.encoded)
        found = own("system", "fsck", "-q")
        assert found.returncode == 1
        assert found.stdout.count("damage: ") == 3
        mended = own("system", "fsck", "-q", "--repair")
        assert mended.returncode == 0, mended.stdout
        assert mended.stdout.count(f"fetched from {server.host}/team/app") == 3
        assert own.ok("system", "fsck", "-q").startswith("no damage: ")
        out = own.ok("save", f"{server.host}/team/app:1")
        assert out


def test_an_index_is_made_again_and_mounted_anew(cli: Cli, name: str) -> None:
    """The container runs on with the old mount; the next one sees the new."""
    indexes = list(cli.root.glob("layers/sha256/*/index.erofs"))
    if not indexes:
        pytest.skip("no layer is kept as a tar here")
    cli.ok("run", "-d", "--name", name, "bb", "sleep", "99")
    for index in indexes:
        # a file of its own: what is mounted stays as it is
        copy = index.with_name("copy")
        copy.write_bytes(index.read_bytes())
        flip(copy)
        copy.rename(index)
    report = cli.ok("system", "fsck", "-q", "--repair")
    assert "made again from its tar" in report
    assert cli.ok("exec", name, "cat", "/data/seed") == "from the image\n"
    assert cli.ok("run", "--rm", "bb", "cat", "/data/seed") == "from the image\n"
    assert cli.ok("system", "fsck", "-q").startswith("no damage: ")


def test_images_as_a_tree_and_layers_in_detail(cli: Cli, name: str) -> None:
    cli.ok("run", "--name", name, "bb", "sh", "-c", "echo changed > /data/seed; echo new > /fresh; rm /etc/group")
    cli.ok("commit", name, f"{name}:child")
    try:
        tree = cli.ok("images", "--tree").splitlines()
        assert tree[0].split() == ["IMAGE", "IMAGE", "ID", "LAYERS", "OWN", "SHARED"]
        (line,) = [line for line in tree if f"{name}:child" in line]
        assert line.lstrip("│ ").startswith(("└─ ", "├─ "))
        nested = json.loads(cli.ok("images", "--tree", "--format", "json"))
        tags = [tag for node in nested for child in node["Children"] for one in child["Images"] for tag in one["Tags"]]
        assert f"{name}:child" in tags
        table = cli.ok("image", "inspect", "--layers", f"{name}:child").splitlines()
        assert table[0].split()[:6] == ["LAYER", "BLOB", "ADDS", "OVERWRITES", "REMOVES", "WASTED"]
        assert len(table) == 4
        (found,) = json.loads(cli.ok("image", "inspect", "--layers", "--format", "json", f"{name}:child").join("[]"))
        base, upper = found["Layers"]
        assert upper["Adds"]["Paths"] == ["/fresh"]
        assert upper["Overwrites"]["Paths"] == ["/data/seed"]
        assert upper["Removes"]["Paths"] == ["/etc/group"]
        assert base["Wasted"] == upper["Removes"]["Bytes"] + len("from the image\n")
        (whole,) = json.loads(cli.ok("image", "inspect", f"{name}:child"))
        assert whole["RepoTags"] == [f"{name}:child"]
        assert cli("image", "inspect", name).returncode == 1, "a container is no image"
        assert cli("images", "--tree", "-q").returncode == 1
    finally:
        cli.ok("rmi", f"{name}:child")
