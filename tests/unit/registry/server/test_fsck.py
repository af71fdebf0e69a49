from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from holdall.oci.digest import Digest
from holdall.registry.server.fsck import Check
from holdall.registry.server.shelf import open_local
from holdall.registry.server.sqlite_catalog import SqliteCatalog

DATA = b"what a crash left"
DIGEST = Digest.of(DATA)


@pytest.mark.parametrize("pushed", [False, True])
def test_bytes_without_a_row_go_unless_they_are_just_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pushed: bool
) -> None:
    catalog, blobs = open_local(str(tmp_path))
    path = Path(blobs.path(DIGEST))
    path.parent.mkdir()
    path.write_bytes(DATA)
    os.utime(path, (1.0, 1.0))
    really = SqliteCatalog.known

    def known(one: SqliteCatalog, digest: str) -> bool:
        found = really(one, digest)
        if pushed:
            monkeypatch.undo()
            one.place("a", digest, len(DATA), time.time() + 60, lambda: None)
        return found

    monkeypatch.setattr(SqliteCatalog, "known", known)
    found = [(one.kind, one.mended) for one in Check(catalog, blobs, repair=True).problems()]
    assert found == ([] if pushed else [("stray", "removed")])
    assert (catalog.blob_size("a", str(DIGEST)), path.exists()) == ((len(DATA), True) if pushed else (None, False))
    catalog.close()
