from __future__ import annotations

import pytest

from holdall.errors import InvalidOption
from holdall.pack.plan import Item, Kind, Plan


def shown(plan: Plan) -> dict[str, str]:
    return {item.path: item.kind.value for item in plan}


def test_parents_come_by_themselves_and_first() -> None:
    plan = Plan()
    plan.data("/a-b", b"", "x")
    plan.data("/a/b/c", b"", "x")
    plan.symlink("/a/b/d", "c", "x")
    assert list(shown(plan)) == ["/a", "/a/b", "/a/b/c", "/a/b/d", "/a-b"]
    assert shown(plan)["/a/b"] == "directory"


def test_the_first_stays_unless_overridden() -> None:
    plan = Plan()
    plan.data("/a", b"1", "first")
    plan.data("/a", b"2", "second")
    assert plan.get("/a") == Item("/a", Kind.DATA, "first", 0o644, data=b"1")
    plan.add(Item("/a", Kind.DATA, "third", data=b"3"), override=True)
    found = plan.get("/a")
    assert found is not None
    assert found.data == b"3"


def test_an_implied_directory_gives_way() -> None:
    plan = Plan()
    plan.data("/tmp/x", b"", "x")
    plan.directory("/tmp", "temporary", 0o1777)
    found = plan.get("/tmp")
    assert found is not None
    assert found.mode == 0o1777


def test_a_path_is_not_both_a_file_and_a_directory() -> None:
    plan = Plan()
    plan.data("/a", b"", "x")
    plan.data("/d/e", b"", "x")
    for item in (Item("/a/b", Kind.DATA, "y"), Item("/a/b/c", Kind.DATA, "y"), Item("/d", Kind.DATA, "y")):
        with pytest.raises(InvalidOption, match="both a directory and a"):
            plan.add(item, override=True)
        with pytest.raises(InvalidOption, match="both a directory and a"):
            Plan(plan).add(item, override=True)


def test_a_plan_above_sees_the_one_below() -> None:
    below = Plan()
    below.directory("/srv", "x", 0o700)
    above = Plan(below)
    above.data("/srv/app", b"", "y")
    assert "/srv" in above
    found = above.get("/srv")
    assert found is not None
    assert found.mode == 0o700
    assert list(shown(above)) == ["/srv", "/srv/app"]


def test_resolve_follows_the_plans_links() -> None:
    plan = Plan()
    plan.directory("/usr/bin", "x")
    plan.symlink("/bin", "usr/bin", "x")
    plan.symlink("/usr/bin/sh", "../../opt/sh", "x")
    plan.symlink("/loop", "loop", "x")
    assert plan.resolve("/bin/ls") == "/usr/bin/ls"
    assert plan.resolve("/bin") == "/bin"
    assert plan.resolve("/bin", last=True) == "/usr/bin"
    assert plan.resolve("/bin/sh") == "/usr/bin/sh"
    assert plan.resolve("/bin/sh", last=True) == "/opt/sh"
    assert plan.resolve("/bin/../x/./y") == "/usr/x/y"
    assert plan.resolve("/../..") == "/"
    with pytest.raises(InvalidOption, match="too many"):
        plan.resolve("/loop/x")


def test_description_and_notes() -> None:
    plan = Plan()
    plan.file("/a", "/elsewhere/a", 0o644, "because")
    plan.file("/b", "/b", 0o644, "same")
    plan.symlink("/c", "a", "link")
    plan.directory("/d", "folder")
    plan.note("once")
    plan.note("once")
    assert [item.describe() for item in plan] == [
        "/a from /elsewhere/a  (because)",
        "/b  (same)",
        "/c -> a  (link)",
        "/d/  (folder)",
    ]
    assert plan.notes == ["once"]
