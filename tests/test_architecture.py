"""Imports point to a lower rank only, never sideways; and the path of `run` imports nothing it does not need."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "holdall"
RANKS = {
    "checksum": 0, "errors": 0, "record": 0, "events": 0, "paths": 0,
    "oci": 1, "linux": 1, "dockerfile": 1, "erofs": 1,
    "image": 2, "layer": 2, "network": 2, "runtime": 2,
    "store": 3, "registry": 3, "supervisor": 3,
    "pack": 4, "build": 4, "haul": 4,
    "bake": 5,
    "engine": 6,
    "cli": 7,
    "testing": 8,
}  # fmt: skip
HEAVY = {
    "dataclasses",
    "inspect",
    "typing",
    "pathlib",
    "subprocess",
    "asyncio",
    "aiohttp",
    "rich",
    "tarfile",
    "logging",
}


def package(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            if node.module == "holdall":
                found += [(node.lineno, f"holdall.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, node.module or ""))
    return [(line, name) for line, name in found if name.startswith("holdall.") and name != "holdall.__version__"]


def rank(name: str) -> int:
    return RANKS[name]


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for line, name in imports(path):
        other = package(name)
        if other != own and rank(own) > 0:
            assert rank(other) < rank(own), (
                f"{path}:{line}: {own} (rank {rank(own)}) imports {name} (rank {rank(other)})"
            )
        elif rank(own) == 0:
            assert rank(other) == 0, f"{path}:{line}: rank 0 imports {name}"


def test_every_package_has_a_rank() -> None:
    names = {p.name.removesuffix(".py") for p in SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert names - {"__init__", "__main__"} == set(RANKS)


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["holdall.record", "holdall.errors", "holdall.paths", "holdall.events"])
def test_ground_floor_is_light(module: str) -> None:
    assert not loaded_by(f"import {module}") & HEAVY
