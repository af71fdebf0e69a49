"""Which files of Python's folders go into an image. Each rule is asked with (folder, name, whether it is a folder)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TESTS = frozenset(("test", "tests", "idle_test"))
_CACHES = frozenset(("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"))
_SITE = frozenset(("site-packages", "dist-packages"))
_METADATA = (".dist-info", ".egg-info", ".libs", ".data")


def _is_cache(folder: str, name: str, *, is_folder: bool) -> bool:
    """Compiled modules whose source is there; those without source are the module itself."""
    if is_folder:
        return name in _CACHES
    stem, dot, ending = name.rpartition(".")
    return bool(dot) and ending in ("pyc", "pyo") and os.path.exists(f"{folder}/{stem}.py")


def stdlib_wanted(folder: str, name: str, is_folder: bool) -> bool:
    """The standard library without its tests, what only builds of extensions need, and the folders of packages."""
    if _is_cache(folder, name, is_folder=is_folder):
        return False
    if is_folder:
        return name not in _TESTS and name not in _SITE and not name.startswith("config-")
    return not name.endswith(".a")


def site_wanted(folder: str, name: str, is_folder: bool) -> bool:
    """All of site-packages but the caches."""
    return not _is_cache(folder, name, is_folder=is_folder)


def editable_wanted(folder: str, name: str, is_folder: bool) -> bool:
    """A package under development: no caches, no hidden folders of tools."""
    return not _is_cache(folder, name, is_folder=is_folder) and not (is_folder and name.startswith("."))


def source_wanted(root: str) -> Callable[[str, str, bool], bool]:
    """For a folder of sources on sys.path: at its top only what can be imported, below that everything of it."""

    def wanted(folder: str, name: str, is_folder: bool) -> bool:
        if not editable_wanted(folder, name, is_folder):
            return False
        if folder != root:
            return True
        if is_folder:
            importable = name.isidentifier() or name.endswith(_METADATA)
            return importable and not os.path.exists(f"{folder}/{name}/pyvenv.cfg")
        return name.endswith((".py", ".pth", ".pyc", ".zip", ".egg-link")) or ".so" in name

    return wanted
