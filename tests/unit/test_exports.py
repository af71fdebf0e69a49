"""The public face: what `holdall.__all__` promises is there, and nothing comes along before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import holdall


def test_exports_are_sorted_and_unique() -> None:
    assert list(holdall.__all__) == sorted(set(holdall.__all__))


@pytest.mark.parametrize("name", holdall.__all__)
def test_every_export_can_be_imported(name: str) -> None:
    space: dict[str, object] = {}
    exec(f"from holdall import {name}", space)
    assert space[name] is getattr(holdall, name)


def test_star_import_gives_the_exports() -> None:
    space: dict[str, object] = {}
    exec("from holdall import *", space)
    assert set(space) - {"__builtins__"} == set(holdall.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Nothing"):
        _ = holdall.Nothing


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    code = "import holdall, sys; print([name for name in sys.modules if name.startswith('holdall.')])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
