from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdall.errors import InvalidOption, PathNotFound
from holdall.pack.added import add
from holdall.pack.options import Added
from holdall.pack.plan import Plan


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "src"
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_text("x")
    (root / "bin/tool").chmod(0o4755)
    (root / "data").write_text("y")
    (root / "link").symlink_to("data")
    (root / "bin").chmod(0o750)
    return root


@pytest.fixture
def plan() -> Plan:
    below = Plan()
    below.directory("/usr/bin", "x")
    below.symlink("/bin", "usr/bin", "x")
    return Plan(below)


def shown(plan: Plan) -> dict[str, str]:
    return {item.path: item.target or f"{item.mode:o}" for item in plan}


def test_a_folder_gives_its_contents(plan: Plan, source: Path) -> None:
    add(plan, Added(str(source), "/srv/app"), "")
    assert shown(plan) == {
        "/srv": "755",
        "/srv/app": f"{source.stat().st_mode & 0o7777:o}",
        "/srv/app/bin": "750",
        "/srv/app/bin/tool": "4755",
        "/srv/app/data": "644",
        "/srv/app/link": "data",
    }


def test_links_of_the_image_are_followed(plan: Plan, source: Path) -> None:
    add(plan, Added(str(source), "/"), "")
    assert "/usr/bin/tool" in shown(plan)
    assert "/bin" not in shown(plan)
    add(plan, Added(str(source / "data"), "/bin"), "")
    add(plan, Added(str(source / "data"), "/bin/other"), "")
    assert {"/usr/bin/data", "/usr/bin/other"} <= set(shown(plan))


@pytest.mark.parametrize(
    ("dest", "workdir", "path"),
    [
        ("/a", "", "/a"),
        ("/a/", "", "/a/data"),
        ("a", "/w", "/w/a"),
        (".", "/usr/bin", "/usr/bin/data"),
        ("a", "", "/a"),
        ("/x/../../../y", "", "/y"),
        ("/usr/bin", "", "/usr/bin/data"),
        ("//a", "", "/a"),
    ],
)
def test_where_a_file_goes(plan: Plan, source: Path, dest: str, workdir: str, path: str) -> None:
    add(plan, Added(str(source / "data"), dest), workdir)
    assert path in shown(plan)


def test_the_source_itself_may_be_a_link(plan: Plan, source: Path) -> None:
    add(plan, Added(str(source / "link"), "/x/"), "")
    item = plan.get("/x/link")
    assert item is not None
    assert item.source == str(source / "data")


def test_the_last_addition_wins(plan: Plan, source: Path) -> None:
    add(plan, Added(str(source / "data"), "/f"), "")
    add(plan, Added(str(source / "bin/tool"), "/f"), "")
    item = plan.get("/f")
    assert item is not None
    assert item.source.endswith("tool")


def test_what_cannot_be(plan: Plan, source: Path) -> None:
    with pytest.raises(PathNotFound, match="cannot add"):
        add(plan, Added(str(source / "none"), "/x"), "")
    add(plan, Added(str(source / "data"), "/file"), "")
    with pytest.raises(InvalidOption, match="both a directory"):
        add(plan, Added(str(source), "/file"), "")
    os.mkfifo(source / "fifo")
    add(plan, Added(str(source), "/t"), "")
    assert "/t/fifo" not in plan
    assert "fifo" in plan.notes[0]


def test_parse() -> None:
    assert Added.parse("./a:/b") == Added("./a", "/b")
    assert Added.parse("a:b:/c") == Added("a:b", "/c")
    for text in ("a", "a:", ":b", ""):
        with pytest.raises(InvalidOption, match="--add"):
            Added.parse(text)
