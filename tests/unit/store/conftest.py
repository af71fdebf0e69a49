"""A store in a temporary folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdall.paths import Paths
from holdall.store.content import ContentStore
from holdall.store.database import Database, open_database
from holdall.store.images import ImageStore
from holdall.store.snapshots.overlay import OverlaySnapshots

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "store"), str(tmp_path / "run"))


@pytest.fixture
def database(paths: Paths) -> Iterator[Database]:
    database = open_database(paths, durable=True)
    yield database
    database.close()


@pytest.fixture
def content(paths: Paths, database: Database) -> ContentStore:
    return ContentStore(paths)


@pytest.fixture
def images(paths: Paths, database: Database, content: ContentStore) -> ImageStore:
    return ImageStore(database, content, OverlaySnapshots(paths))
