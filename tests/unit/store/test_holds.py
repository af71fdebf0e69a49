from __future__ import annotations

import os
import subprocess
import sys

import pytest

from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.paths import Paths
from holdall.store.database import Database
from holdall.store.holds import HeldContent
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.store.sweep import Swept, sweep

DATA = b"held bytes"
BLOB = Descriptor("a/b", Digest.of(DATA), len(DATA))
LAYER = Digest.of(b"layer")


def run(database: Database, paths: Paths) -> Swept:
    return sweep(database, paths, OverlaySnapshots(paths))


def layer_folder(paths: Paths) -> str:
    return f"{paths.layers}/sha256/{LAYER.encoded}"


def test_a_held_blob_survives_a_sweep_until_let_go(database: Database, paths: Paths) -> None:
    with HeldContent(paths) as held:
        held.put(BLOB, DATA)
        assert run(database, paths).blobs == {}
        assert held.has(BLOB.digest)
    assert list(run(database, paths).blobs) == [str(BLOB.digest)]
    assert database.all("SELECT * FROM holds") == []
    assert os.listdir(paths.ingest) == []


def test_asking_whether_a_blob_is_there_holds_it(database: Database, paths: Paths) -> None:
    with HeldContent(paths) as writer:
        writer.put(BLOB, DATA)
    with HeldContent(paths) as held:
        assert held.has(BLOB.digest)
        run(database, paths)
        assert held.read(BLOB.digest) == DATA


def test_a_blob_whose_digest_comes_last_is_held_too(database: Database, paths: Paths) -> None:
    with HeldContent(paths) as held:
        with held.create() as blob:
            blob.write(DATA)
            blob.commit("a/b")
        assert run(database, paths).blobs == {}


def test_a_held_layer_survives(database: Database, paths: Paths) -> None:
    os.makedirs(layer_folder(paths) + "/fs")
    with HeldContent(paths) as held:
        held.keep_layer(LAYER)
        assert run(database, paths).layers == {}
    assert list(run(database, paths).layers) == [str(LAYER)]
    assert os.listdir(f"{paths.layers}/sha256") == []


def test_a_dry_run_deletes_nothing(database: Database, paths: Paths) -> None:
    os.makedirs(layer_folder(paths) + "/fs")
    with HeldContent(paths) as held:
        held.put(BLOB, DATA)
    found = sweep(database, paths, OverlaySnapshots(paths), dry_run=True)
    assert (len(found.blobs), len(found.layers)) == (1, 1)
    assert found.size >= len(DATA)
    assert run(database, paths).blobs.keys() == found.blobs.keys()


def test_a_killed_holder_holds_nothing(database: Database, paths: Paths) -> None:
    code = (
        "import sys, time; from holdall.paths import Paths; from holdall.store.holds import HeldContent\n"
        "from holdall.oci.descriptor import Descriptor; from holdall.oci.digest import Digest\n"
        f"held = HeldContent(Paths(sys.argv[1], sys.argv[1])); data = {DATA!r}\n"
        "held.put(Descriptor('a/b', Digest.of(data), len(data)), data); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, paths.root], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    assert run(database, paths).blobs == {}
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert list(run(database, paths).blobs) == [str(BLOB.digest)]
    assert database.all("SELECT * FROM holds") == []


def test_only_candidates_are_looked_at(database: Database, paths: Paths) -> None:
    with HeldContent(paths) as held:
        held.put(BLOB, DATA)
    assert sweep(database, paths, OverlaySnapshots(paths), blobs=[], layers=[]).size == 0
    assert sweep(database, paths, OverlaySnapshots(paths), blobs=["sha256:" + "0" * 64], layers=[]).blobs == {}
    assert len(sweep(database, paths, OverlaySnapshots(paths), blobs=[str(BLOB.digest)], layers=[]).blobs) == 1


def test_closing_twice_is_no_error(paths: Paths) -> None:
    held = HeldContent(paths)
    held.close()
    held.close()


@pytest.mark.parametrize("table", ["parts", "manifests", "names", "containers"])
def test_what_a_row_names_stays(database: Database, paths: Paths, table: str) -> None:
    os.makedirs(layer_folder(paths) + "/fs")
    with HeldContent(paths) as held:
        held.put(BLOB, DATA)
    digest = str(BLOB.digest)
    with database.transaction():
        if table == "containers":
            database.execute("INSERT INTO containers VALUES ('c', 'n', 'i', '', ?, 0, '{}', '')", (str(LAYER),))
        else:
            manifest = digest if table == "manifests" else "sha256:m"
            database.execute(
                "INSERT INTO images VALUES ('i', ?, 'linux', 'amd64', '', 0, 0, 0, '', '{}', '')", (manifest,)
            )
            database.execute("INSERT INTO manifests VALUES (?, 'i', '', 0, '', 0)", (manifest,))
        if table == "parts":
            database.execute("INSERT INTO parts VALUES ('sha256:m', ?, 0)", (digest,))
        if table == "names":
            database.execute("INSERT INTO names VALUES ('n', 'r', 't', ?, 'sha256:m', 'i')", (digest,))
    found = run(database, paths)
    assert (len(found.blobs), len(found.layers)) == ((1, 0) if table == "containers" else (0, 1))
