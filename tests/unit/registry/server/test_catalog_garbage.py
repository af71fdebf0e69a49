from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from holdall.registry.server import catalog_garbage
from holdall.registry.server.sqlite_catalog import SqliteCatalog


@pytest.fixture
def plans(tmp_path: Path) -> dict[str, list[str]]:
    """How SQLite finds what is asked for, by the name of the condition."""
    SqliteCatalog(str(tmp_path / "registry.db")).close()
    queries = {
        "_UNUSED": f"SELECT 1 FROM links l JOIN blobs b ON b.id = l.blob WHERE {catalog_garbage._UNUSED}",
        "LOOSE": f"SELECT 1 FROM manifests m WHERE {catalog_garbage.LOOSE}",
    }
    with sqlite3.connect(tmp_path / "registry.db") as db:
        found = {
            name: [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + query, (0,) * query.count("?"))]
            for name, query in queries.items()
        }
    db.close()
    return found


@pytest.mark.parametrize("name", ["_UNUSED", "LOOSE"])
def test_what_holds_a_digest_is_found_by_the_digest(plans: dict[str, list[str]], name: str) -> None:
    """By the repository it would be all its manifests for each of its blobs, a minute for 100,000."""
    steps = [one for one in plans[name] if one.startswith(("SEARCH x ", "SCAN x"))]
    assert len(steps) == 1
    assert "members_by_digest (digest=?)" in steps[0]
