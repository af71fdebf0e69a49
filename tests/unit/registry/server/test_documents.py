from __future__ import annotations

from pathlib import Path

import pytest

from holdall.errors import Conflict
from holdall.registry.server.documents import Watched, change
from holdall.registry.server.shelf import open_local


def test_a_change_by_another_is_seen_and_not_lost(tmp_path: Path) -> None:
    one, two = (open_local(str(tmp_path))[0] for _ in range(2))
    watched = Watched(one, "x")
    assert watched.look()
    assert (watched.raw, watched.look()) == (b"", False)
    assert change(two, "x", lambda raw: raw + b"a") == b"a"
    assert (watched.look(), watched.raw, watched.look()) == (True, b"a", False)
    turns: list[bytes] = []

    def step(raw: bytes) -> bytes:
        turns.append(raw)
        if len(turns) == 1:
            change(two, "x", lambda before: before + b"b")
        return raw + b"c"

    assert change(one, "x", step) == b"abc"
    assert turns == [b"a", b"ab"]
    version = one.document_version("x")
    assert change(one, "x", lambda raw: raw) == b"abc"
    assert one.document_version("x") == version
    for catalog in (one, two):
        catalog.close()


def test_changing_is_given_up_some_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog, _ = open_local(str(tmp_path))
    monkeypatch.setattr(catalog, "put_document", lambda *_: False)
    with pytest.raises(Conflict):
        change(catalog, "x", lambda raw: raw + b"a")
    catalog.close()
