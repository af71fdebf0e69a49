from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from holdall.oci.digest import Digest
from holdall.registry.server import blobfiles
from holdall.registry.server.blobfiles import BlobFiles

UPLOAD = "00000000-0000-4000-8000-000000000000"
DATA = b"all of it"


@pytest.mark.parametrize("end", ["keep", "discard"])
def test_an_upload_that_ends_while_it_is_taken_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    files, digest, really = BlobFiles(str(tmp_path)), Digest.of(DATA), fcntl.flock
    files.begin(UPLOAD)
    first = files.take(UPLOAD)
    assert first is not None
    first.write(DATA)
    first.sync(digest)

    def late(fd: int, operation: int) -> None:
        with first:
            if end == "keep":
                first.keep(digest)
            else:
                first.discard()
        really(fd, operation)

    monkeypatch.setattr(blobfiles.fcntl, "flock", late)
    with pytest.raises(FileNotFoundError):
        files.take(UPLOAD)
