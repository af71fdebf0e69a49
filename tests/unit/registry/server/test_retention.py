from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.oci.digest import Digest
from holdall.registry.server.catalog_values import Stored
from holdall.registry.server.garbage import Collector
from holdall.registry.server.policy import DAY, Policy, parse
from holdall.registry.server.shelf import open_local
from holdall.registry.server.sqlite_catalog import SqliteCatalog


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqliteCatalog]:
    found, _ = open_local(str(tmp_path / "s"))
    yield found
    found.close()


def put(
    catalog: SqliteCatalog, repository: str, text: str, *tags: str, days: float = 0.0, members: tuple[Digest, ...] = (),
    subject: Digest | None = None,
) -> Digest:  # fmt: skip
    """A manifest as if it had been pushed so many days ago."""
    raw = text.encode()
    one = Stored(Digest.of(raw), "application/x", raw, subject, members=members)
    assert not catalog.put_manifest(repository, one, tags)
    when = time.time() - days * DAY
    with catalog._writing() as db:
        number = (
            "(SELECT m.id FROM manifests m JOIN repositories r ON r.id = m.repository WHERE r.name = ? AND digest = ?)"
        )
        db.execute(f"UPDATE manifests SET pushed = ? WHERE id = {number}", (when, repository, str(one.digest)))
        db.execute(f"UPDATE tags SET updated = ? WHERE manifest = {number}", (when, repository, str(one.digest)))
    return one.digest


def collect(catalog: SqliteCatalog, tmp_path: Path, text: str, *, dry: bool = False) -> list[tuple[str, str]]:
    policy = parse(tomllib.loads(text), "p")
    _, blobs = open_local(str(tmp_path / "s"))
    steps = list(Collector(catalog, blobs, policy=policy, dry_run=dry).steps())
    assert all(len(step) <= 200 for step in steps)
    return [(one.kind, one.name) for step in steps for one in step if one.kind in ("tag", "manifest")]


def tags(catalog: SqliteCatalog, repository: str) -> list[str]:
    page = catalog.tags(repository, "", 1_000)
    return [] if page is None else list(page.names)


LAST = '[[retention]]\nrepositories = ["a/**"]\nkeep_last = 1\n'


def test_old_tags_and_their_manifests_go(catalog: SqliteCatalog, tmp_path: Path) -> None:
    old = put(catalog, "a/b", "old", "1", days=9)
    new = put(catalog, "a/b", "new", "2", days=3)
    put(catalog, "b", "other", "1", days=9)
    assert collect(catalog, tmp_path, LAST, dry=True) == [("tag", "a/b:1")]
    assert tags(catalog, "a/b") == ["1", "2"]
    assert collect(catalog, tmp_path, LAST) == [("tag", "a/b:1"), ("manifest", f"a/b@{old}")]
    assert tags(catalog, "a/b") == ["2"]
    assert tags(catalog, "b") == ["1"]
    assert catalog.manifest("a/b", str(old), content=False) is None
    assert catalog.manifest("a/b", str(new), content=False) is not None
    assert collect(catalog, tmp_path, LAST) == []


def test_an_index_takes_its_members_and_referrers_along(catalog: SqliteCatalog, tmp_path: Path) -> None:
    child = put(catalog, "a", "child", days=9)
    index = put(catalog, "a", "index", "1", days=9, members=(child,))
    put(catalog, "a", "signature", days=9, subject=index)
    put(catalog, "a", "new", "2", days=3)
    gone = collect(catalog, tmp_path, LAST.replace("a/**", "a"))
    assert len(gone) == 4
    assert catalog.counts()["manifests"] == 1


def test_manifests_stay_a_day_after_their_last_use(catalog: SqliteCatalog, tmp_path: Path) -> None:
    pulled, pushed = put(catalog, "a/b", "pulled", "1", days=9), put(catalog, "a/b", "pushed", "2", days=0.5)
    put(catalog, "a/b", "new", "3")
    catalog.note_pulls([("a/b", str(pulled), time.time() - DAY / 2)])
    assert collect(catalog, tmp_path, LAST) == [("tag", "a/b:2"), ("tag", "a/b:1")]
    for digest in (pulled, pushed):
        assert catalog.manifest("a/b", str(digest), content=False) is not None
    sooner = LAST + 'untagged = "1h"\n'
    assert len(collect(catalog, tmp_path, sooner)) == 2


def test_tags_of_another_manifest_go_with_it(catalog: SqliteCatalog, tmp_path: Path) -> None:
    old, new = put(catalog, "a/b", "old", "1", days=9), put(catalog, "a/b", "new", "2", days=9)
    for one in (old, new):
        put(catalog, "a/b", f"signature of {one}", str(one).replace(":", "-") + ".sig", days=8)
        put(catalog, "a/b", f"referrers of {one}", str(one).replace(":", "-"), days=8)
    text = LAST.replace("keep_last = 1", 'tags = ["1"]\ndrop = true')
    assert ("tag", "a/b:1") in collect(catalog, tmp_path, text)
    collect(catalog, tmp_path, text)
    collect(catalog, tmp_path, text)
    assert tags(catalog, "a/b") == ["2", str(new).replace(":", "-"), str(new).replace(":", "-") + ".sig"]


def test_unused_content_of_upstreams_goes_where_it_is_said(catalog: SqliteCatalog, tmp_path: Path) -> None:
    for repository in ("up/a", "keep/a"):
        for text in ("used", "unused"):
            raw = text.encode()
            catalog.mirror_manifest(repository, Stored(Digest.of(raw), "x", raw), text, 1.0)
    with catalog._writing() as db:
        db.execute("UPDATE manifests SET pushed = ?", (time.time() - 9 * DAY,))
    catalog.note_pulls([("up/a", str(Digest.of(b"used")), time.time())])
    text = '[[retention]]\nrepositories = ["up/**"]\nunused = "5d"\n'
    assert collect(catalog, tmp_path, text, dry=True) == [("manifest", f"up/a@{Digest.of(b'unused')}")]
    assert collect(catalog, tmp_path, text) == [("manifest", f"up/a@{Digest.of(b'unused')}")]
    assert tags(catalog, "up/a") == ["used"]
    assert tags(catalog, "keep/a") == ["unused", "used"]


def test_many_tags_go_in_short_steps(catalog: SqliteCatalog, tmp_path: Path) -> None:
    raw = b"many"
    catalog.put_manifest("a/b", Stored(Digest.of(raw), "x", raw), [f"t{n:04}" for n in range(1_100)])
    gone = collect(catalog, tmp_path, LAST)
    assert len(gone) == 1_099
    assert len(tags(catalog, "a/b")) == 1


def test_without_a_policy_nothing_goes(catalog: SqliteCatalog, tmp_path: Path) -> None:
    put(catalog, "a/b", "old", "1", days=900)
    put(catalog, "a/b", "loose", days=900)
    _, blobs = open_local(str(tmp_path / "s"))
    assert not [one for step in Collector(catalog, blobs, policy=Policy()).steps() for one in step]
