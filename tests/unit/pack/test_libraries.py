"""Closures over made-up ELF files, rule by rule of ld.so(8) and of musl's loader."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from holdall.errors import InvalidInput
from holdall.pack.elf import read_elf
from holdall.pack.libraries import Closure, Library, Linker
from holdall.testing.elf import build_elf


class Tree:
    """ELF files in a folder and a linker for them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, **what: object) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(build_elf(**what))  # type: ignore[arg-type]
        return str(path)

    def linker(self, path: str, interpreter: str = "/lib64/ld-linux-x86-64.so.2", **cache: tuple[str, ...]) -> Linker:
        return Linker(read_elf(path), interpreter, {name.replace("_", "."): where for name, where in cache.items()})

    def closure(self, path: str, **cache: tuple[str, ...]) -> Closure:
        return self.linker(path, **cache).closure(path)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def paths(closure: Closure) -> list[str]:
    return [library.path for library in closure.libraries]


def test_runpath_with_origin(tree: Tree) -> None:
    program = tree.put("bin/p", needed=["liba.so"], runpath="$ORIGIN/../lib")
    tree.put("lib/liba.so")
    assert paths(tree.closure(program)) == [f"{tree.root}/bin/../lib/liba.so"]


def test_rpath_is_inherited_and_runpath_is_not(tree: Tree) -> None:
    for kind, missing in (("rpath", ()), ("runpath", ("libb.so",))):
        program = tree.put(f"{kind}/p", needed=["liba.so"], **{kind: "${ORIGIN}"})
        tree.put(f"{kind}/liba.so", needed=["libb.so"])
        tree.put(f"{kind}/libb.so")
        closure = tree.closure(program)
        assert tuple(one.name for one in closure.missing) == missing


def test_a_runpath_voids_the_rpath_beside_it(tree: Tree) -> None:
    program = tree.put("p", needed=["libzz.so"], rpath="$ORIGIN/one", runpath="$ORIGIN/two")
    tree.put("one/libzz.so")
    assert tree.closure(program).missing
    tree.put("two/libzz.so")
    assert paths(tree.closure(program)) == [f"{tree.root}/two/libzz.so"]


def test_another_abi_is_passed_over(tree: Tree) -> None:
    program = tree.put("p", needed=["libzz.so"], runpath=f"{tree.root}/a:{tree.root}/b:{tree.root}/c")
    tree.put("a/libzz.so", machine=183)
    tree.put("b/libzz.so", bits=32, machine=62)
    (tree.root / "c").mkdir()
    (tree.root / "c/libzz.so").write_text("/* GNU ld script */")
    assert tree.closure(program).missing[0].name == "libzz.so"
    tree.put("c/libzz.so")
    assert paths(tree.closure(program)) == [f"{tree.root}/c/libzz.so"]


def test_the_cache_is_used_and_said(tree: Tree) -> None:
    program = tree.put("p", needed=["libzz.so"])
    found = tree.put("opt/libzz.so")
    closure = tree.closure(program, libzz_so=("/nowhere/libzz.so", found))
    assert closure.libraries == (Library("libzz.so", found, program, from_cache=True),)
    closed = tree.put("q", needed=["libzz.so"], no_default_dirs=True)
    assert tree.closure(closed, libzz_so=(found,)).missing


def test_a_loaded_soname_satisfies(tree: Tree) -> None:
    program = tree.put("p", needed=["liba.so", "libb.so"], runpath="$ORIGIN")
    tree.put("liba.so", soname="libreal.so.1")
    tree.put("libb.so", needed=["libreal.so.1"])
    assert [one.name for one in tree.closure(program).libraries] == ["liba.so", "libb.so"]


def test_plugins_build_on_their_program(tree: Tree) -> None:
    program = tree.put("p", needed=["liba.so"], runpath="$ORIGIN/lib")
    tree.put("lib/liba.so")
    plugin = tree.put("plugin.so", needed=["liba.so"])
    linker = tree.linker(program)
    assert linker.closure(plugin).missing
    assert linker.closure(plugin, linker.closure(program)) == Closure((), ())


def test_cycles_end(tree: Tree) -> None:
    program = tree.put("p", needed=["liba.so"], rpath="$ORIGIN")
    tree.put("liba.so", needed=["libb.so"])
    tree.put("libb.so", needed=["liba.so"])
    assert len(tree.closure(program).libraries) == 2


def test_names_with_slash_and_lib_token(tree: Tree) -> None:
    direct = tree.put("direct.so")
    program = tree.put("p", needed=[direct, "libzz.so"], runpath="$ORIGIN/$LIB")
    tree.put("lib64/libzz.so")
    assert paths(tree.closure(program)) == [direct, f"{tree.root}/lib64/libzz.so"]


def test_the_loader_is_no_library(tree: Tree) -> None:
    program = tree.put("p", needed=["ld-linux-x86-64.so.2"])
    assert tree.closure(program) == Closure((), ())


def test_musl_has_its_c_library_in_the_loader_and_inherits_runpath(tree: Tree) -> None:
    program = tree.put("p", needed=["libc.musl-x86_64.so.1", "libc.so", "liba.so"], runpath="$ORIGIN")
    tree.put("liba.so", needed=["libb.so"])
    tree.put("libb.so")
    linker = tree.linker(program, "/lib/ld-musl-x86_64.so.1")
    closure = linker.closure(program)
    assert [one.name for one in closure.libraries] == ["liba.so", "libb.so"]
    assert not closure.missing
    assert linker.default_dirs()


def test_a_program_for_another_processor(tree: Tree) -> None:
    program = tree.put("p")
    with pytest.raises(InvalidInput, match="not an elf file"):
        tree.linker(program).closure(str(tree.root))


@pytest.mark.parametrize("name", ["bash", "git", "perl", "python3.11", "curl", "ssh"])
def test_closures_agree_with_ldd(name: str) -> None:
    path = shutil.which(name, path="/usr/bin:/bin")
    if path is None or shutil.which("ldd") is None:
        pytest.skip(f"no {name} here")
    elf = read_elf(path)
    closure = Linker(elf, elf.interpreter).closure(os.path.realpath(path))
    shown = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    theirs = {line.split(" => ")[1].split(" (")[0] for line in shown.splitlines() if " => " in line}
    assert {os.path.realpath(one) for one in paths(closure)} == {os.path.realpath(one) for one in theirs}
    assert not closure.missing
