from __future__ import annotations

import sys
from pathlib import Path

import pytest

from holdall.errors import InvalidOption, PathNotFound, SystemFailure
from holdall.registry.server.location import Location
from holdall.registry.server.shelf import open_existing, open_storage

DATABASE = "postgresql:///x"


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        (Location(""), "--storage is needed"),
        (Location("gs://x"), "s3://BUCKET/PREFIX"),
        (Location("s3://x"), "keeps no rows"),
        (Location("/x", "mysql://x"), "PostgreSQL"),
    ],
)
def test_what_cannot_be_is_refused(where: Location, hint: str) -> None:
    with pytest.raises(InvalidOption, match=hint):
        where.check()


def test_a_machine_has_a_folder_of_its_own() -> None:
    assert Location("/a").folder == "/a"
    assert Location("s3://b", "/rows").folder == "/rows"
    assert Location("s3://b", "/rows", scratch="/s").folder == "/s"
    one, two = Location("s3://b", DATABASE), Location("s3://c", DATABASE)
    assert one.folder.startswith("/")
    assert one.folder != two.folder
    assert one.folder == Location("s3://b", DATABASE).folder


@pytest.mark.parametrize(
    ("where", "module", "extra"),
    [(Location("{}", DATABASE), "psycopg", "postgres"), (Location("s3://b", "{}"), "boto3", "s3")],
)
def test_the_extra_to_install_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Location, module: str, extra: str
) -> None:
    for name in [
        one
        for one in sys.modules
        if one.startswith(("holdall.registry.server.s3_", "holdall.registry.server.postgres_"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemFailure) as caught:
        open_storage(Location(where.storage.format(tmp_path), where.catalog.format(tmp_path)))
    assert caught.value.hint == f"pip install holdall[{extra}]"


@pytest.mark.parametrize("name", ["s3://", "s3:///prefix", "s3://a b/c"])
def test_buckets_have_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidOption, match="s3://BUCKET/PREFIX"):
        open_storage(Location(name, str(tmp_path)))


def test_an_unknown_style_of_addressing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="addressing"):
        open_storage(Location("s3://b", str(tmp_path), addressing="wrong"))


def test_a_registry_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    for where in (Location(str(tmp_path)), Location("s3://b", str(tmp_path))):
        with pytest.raises(PathNotFound):
            open_existing(where)
    assert list(tmp_path.iterdir()) == []


def test_local_storage_imports_neither_client(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys; from holdall.registry.server import serve, worker, janitor;"
        " from holdall.registry.server.location import Location"
        "; from holdall.registry.server.shelf import open_storage"
        f"; open_storage(Location({str(tmp_path)!r}))"
        "; print([m for m in ('boto3', 'botocore', 'psycopg') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
