from __future__ import annotations

from pathlib import Path

import pytest

from holdall.registry.server.watching import WatchedFile


@pytest.mark.parametrize("which", ["own", "other"])
def test_a_change_while_it_is_read_is_seen_at_the_next_look(tmp_path: Path, which: str) -> None:
    paths = {name: tmp_path / name for name in ("own", "other")}
    for path in paths.values():
        path.write_text("old")
    late = ["first", "second"]

    def read(_path: str) -> str:
        found = f"{paths['own'].read_text()} {paths['other'].read_text()}"
        if late:
            paths[which].write_text(late.pop(0))
        return found

    watched = WatchedFile(
        str(paths["own"]), read, pytest.fail, what=f"test {which}", files=lambda _: [str(paths["other"])]
    )
    assert watched.value == "old old"
    if which == "other":  # nobody knew of it before
        paths["other"].write_text("first, again")
    assert watched.look(1.0)
    assert "first" in watched.value
    assert watched.look(10.0)
    assert "second" in watched.value
    assert not watched.look(20.0)
