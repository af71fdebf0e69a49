"""Rows and bytes that lie apart, put together wrongly."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from holdall.errors import SystemFailure
from holdall.oci.digest import Digest
from holdall.registry.server.location import Location
from holdall.registry.server.shelf import open_existing, open_rows, open_storage

UPLOAD = "00000000-0000-4000-8000-000000000000"


def push(where: Location) -> None:
    catalog, blobs = open_storage(where, first=True)
    blobs.begin(UPLOAD)
    digest = Digest.of(b"abc")
    with blobs.take(UPLOAD) as writing:  # type: ignore[union-attr]
        writing.write(b"abc")
        writing.sync(digest)
        catalog.place("a", str(digest), 3, 1e12, lambda: writing.keep(digest))
    catalog.close()


@pytest.fixture
def there(tmp_path: Path) -> Location:
    where = Location(str(tmp_path / "bytes"), str(tmp_path / "rows"))
    push(where)
    return where


def test_what_belongs_together_is_opened_again(there: Location) -> None:
    for opened in (open_storage(there, first=True), open_existing(there)):
        assert opened[0].blob_size("a", str(Digest.of(b"abc"))) == 3
        opened[0].close()
    open_rows(there).close()


def test_other_rows_are_refused(there: Location, tmp_path: Path) -> None:
    empty, other = str(tmp_path / "empty"), str(tmp_path / "other")
    push(Location(str(tmp_path / "bytes of other"), other))
    for catalog in (empty, other):
        with pytest.raises(SystemFailure, match="different registries"):
            open_storage(Location(there.storage, catalog), first=True)
        with pytest.raises(SystemFailure, match="different registries"):
            open_existing(Location(there.storage, catalog))


def test_other_bytes_are_refused(there: Location, tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match="not in this storage"):
        open_storage(Location(str(tmp_path / "new bytes"), there.catalog), first=True)


def test_bytes_whose_rows_are_elsewhere_get_none_of_their_own(there: Location) -> None:
    with pytest.raises(SystemFailure, match="elsewhere"):
        open_storage(Location(there.storage), first=True)
    assert not (Path(there.storage) / "registry.db").exists()


def test_instances_that_start_at_once_agree(tmp_path: Path) -> None:
    where = Location(str(tmp_path / "bytes"), str(tmp_path / "rows"))
    raised: list[Exception] = []
    start = threading.Barrier(6)

    def run() -> None:
        try:
            start.wait()
            open_storage(where, first=True)[0].close()
        except Exception as err:  # noqa: BLE001  # looked at below
            raised.append(err)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    open_existing(where)[0].close()
