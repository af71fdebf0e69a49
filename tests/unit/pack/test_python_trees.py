from __future__ import annotations

from pathlib import Path

from holdall.pack.python_trees import editable_wanted, site_wanted, source_wanted, stdlib_wanted


def test_standard_library() -> None:
    wanted = [("json", True), ("os.py", False), ("lib-dynload", True)]
    unwanted = [("test", True), ("__pycache__", True), ("config-3.11-x", True), ("site-packages", True), ("x.a", False)]
    assert all(stdlib_wanted("/lib", name, folder) for name, folder in wanted)
    assert not any(stdlib_wanted("/lib", name, folder) for name, folder in unwanted)


def test_compiled_modules_stay_only_without_source(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    assert not site_wanted(str(tmp_path), "a.pyc", False)
    assert site_wanted(str(tmp_path), "b.pyc", False)
    assert site_wanted(str(tmp_path), "tests", True)
    assert not editable_wanted(str(tmp_path), ".git", True)


def test_of_a_source_folder_only_what_can_be_imported(tmp_path: Path) -> None:
    root = str(tmp_path)
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/pyvenv.cfg").write_text("")
    wanted = source_wanted(root)
    assert all(wanted(root, name, True) for name in ("pkg", "pkg-1.dist-info"))
    assert all(wanted(root, name, False) for name in ("mod.py", "ext.cpython-311.so"))
    assert not any(wanted(root, name, True) for name in (".git", "venv", "node-modules", "__pycache__"))
    assert not any(wanted(root, name, False) for name in ("README.md", "secrets.env"))
    assert wanted(f"{root}/pkg", "data.json", False)
    assert wanted(f"{root}/pkg", "some-folder", True)
