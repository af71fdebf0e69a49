from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.registry.server.blobfiles import BlobFiles, FileWriting
from holdall.registry.server.garbage import Collector
from holdall.registry.server.shelf import open_local
from holdall.registry.server.sqlite_catalog import SqliteCatalog

UPLOAD = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[SqliteCatalog, BlobFiles]]:
    catalog, blobs = open_local(str(tmp_path))
    blobs.begin(UPLOAD)
    os.utime(blobs.upload_path(UPLOAD), (1.0, 1.0))
    yield catalog, blobs
    catalog.close()


def test_an_upload_that_nobody_wrote_to_goes(both: tuple[SqliteCatalog, BlobFiles]) -> None:
    assert [one.name for step in Collector(*both).steps() for one in step] == [UPLOAD]
    assert not list(both[1].uploads())


def test_one_that_goes_on_just_then_stays(
    both: tuple[SqliteCatalog, BlobFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    really = BlobFiles.take

    def take(blobs: BlobFiles, upload: str) -> FileWriting | None:
        with really(blobs, upload) as writing:  # type: ignore[union-attr]
            writing.write(b"more")
        return really(blobs, upload)

    monkeypatch.setattr(BlobFiles, "take", take)
    assert not [one for step in Collector(*both).steps() for one in step]
    assert both[1].offset(UPLOAD) == 4
