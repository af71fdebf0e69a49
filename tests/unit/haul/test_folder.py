from __future__ import annotations

from pathlib import Path

from holdall.haul.folder import Folder
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest


def test_a_copy_that_ends_takes_nothing_from_one_that_goes_on(tmp_path: Path) -> None:
    parts = {Descriptor("application/vnd.test", Digest.of(data), len(data)): data for data in (b"a", b"b", b"c")}
    first, second = Folder(str(tmp_path)), Folder(str(tmp_path))
    for descriptor, data in parts.items():
        first.finish()
        second.sink.put(descriptor, data)
    second.finish()
    assert sorted(path.name for path in (tmp_path / "blobs/sha256").iterdir()) == sorted(
        one.digest.encoded for one in parts
    )
    assert not (tmp_path / "ingest").exists()
