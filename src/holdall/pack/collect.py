"""From programs to a plan: follows each to its interpreter, its libraries and, for Python and Perl, its modules."""

from __future__ import annotations

import os
import re

from holdall.errors import InvalidInput, LimitExceeded
from holdall.pack import glibc, ldcache, perl, python, tls
from holdall.pack.elf import Elf, is_elf, read_elf
from holdall.pack.host import Host
from holdall.pack.libraries import Closure, Linker, missing_library, musl_path_file
from holdall.pack.lookup import find_program
from holdall.pack.script import MAX_NESTING, read_shebang

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdall.pack.plan import Plan
    from holdall.pack.python import PythonFacts

_PYTHON = re.compile(r"(python|pypy)[0-9.]*")
_PERL = re.compile(r"perl[0-9.]*")


class Collector:
    """Fills `plan`. What else an image needs to know gathers in the attributes.

    `folders` are those of the programs, in order, for PATH; `env` what Python needs set; `pythons` the interpreters
    with the modules that could be compiled.
    """

    def __init__(self, plan: Plan, search: tuple[str, ...]) -> None:
        self.plan = plan
        self.host = Host(plan)
        self.search = search
        self.folders: list[str] = []
        self.env: dict[str, str] = {}
        self.architectures: list[str] = []
        self.pythons: list[tuple[PythonFacts, list[str]]] = []
        self._linkers: dict[object, Linker] = {}
        self._cached: dict[int, dict[str, str]] = {}
        self._programs: dict[str, str] = {}

    def program(self, path: str, reason: str, nesting: int = 0) -> str:
        """Add a program at an absolute path and all it needs; returns the path to run in the image.

        Raises PathNotFound (with who needs what), InvalidInput (neither ELF nor script), NotPermitted, LimitExceeded.
        """
        path = python.behind_shim(path)
        if path in self._programs:
            return path
        if nesting > MAX_NESTING:
            raise LimitExceeded(f'"{path}" is an interpreter of scripts deeper than {MAX_NESTING} levels')
        real = self._programs[path] = self.host.follow(path, reason)
        self.folders.append(os.path.dirname(path))
        try:
            elf = is_elf(real)
        except OSError as err:
            raise InvalidInput(f'cannot read "{path}": {(err.strerror or "error").lower()}') from err
        if elf:
            self._binary(path, real)
        else:
            self._script(path, real, nesting)
        return path

    def _script(self, path: str, real: str, nesting: int) -> None:
        interpreter = read_shebang(real)
        if interpreter is None:
            raise InvalidInput(
                f'"{path}" is neither an elf program nor a script that begins with #!',
                hint="pack its interpreter, and copy the file with --add",
            )
        self.program(interpreter.path, f"runs {path}", nesting + 1)
        if interpreter.name:
            self.program(find_program(interpreter.name, self.search), f"runs {path}", nesting + 1)

    def _binary(self, path: str, real: str) -> None:
        elf = read_elf(real)
        self.architectures.append(elf.architecture)
        closure = Closure((), ())
        if elf.interpreter:
            self.host.follow(elf.interpreter, f"loads {path}")
            closure = self._linker(elf).closure(real)
            if closure.missing:
                raise missing_library(closure.missing[0])
            self._add_libraries(elf, closure)
        elif elf.needed:
            raise InvalidInput(f'"{path}" is a shared library, not a program')
        names = {os.path.basename(path), os.path.basename(real)}
        if any(_PYTHON.fullmatch(name) for name in names):
            python.add(self, path, elf, closure)
        elif any(_PERL.fullmatch(name) for name in names):
            perl.add(self, path, elf, closure)

    def _linker(self, elf: Elf) -> Linker:
        key = (elf.abi, elf.interpreter)
        if key not in self._linkers:
            self._linkers[key] = Linker(elf, elf.interpreter)
            if self._linkers[key].musl and os.path.exists(musl_path_file(elf.interpreter)):
                self.host.follow(musl_path_file(elf.interpreter), "tells musl where libraries are")
        return self._linkers[key]

    def _add_libraries(self, elf: Elf, closure: Closure) -> None:
        linker = self._linker(elf)
        defaults = linker.default_dirs()
        for library in closure.libraries:
            self.host.follow(library.path, f"library of {library.needed_by}")
            if library.from_cache and os.path.dirname(library.path) not in defaults:
                self._cached.setdefault(elf.machine, {})[library.name] = library.path
            if library.name == glibc.LIBC:
                glibc.add(self, elf, library.path)
            if library.name.startswith(tls.LIBRARIES):
                tls.add(self.host)

    def library(self, elf: Elf, path: str) -> None:
        """Add a library that is loaded by name at run time, with those it needs; nothing when it is not there."""
        if os.path.exists(path):
            self.host.follow(path, "loaded at run time by the c library")
            self._add_libraries(elf, self._linker(elf).closure(path))

    def library_by_name(self, elf: Elf, name: str) -> None:
        """The same for a library that must be looked for."""
        linker = self._linker(elf)
        found = linker.locate(name)
        if found is not None:
            self.library(elf, found)

    def plugins(self, elf: Elf, files: Iterable[str], loaded: Closure) -> None:
        """Add the libraries of those `files` that a process of `elf` may load; a missing one is noted, not an error."""
        if not elf.interpreter:
            return
        linker = self._linker(elf)
        candidates = list(files)
        own = {os.path.basename(path) for path in candidates}
        for path in candidates:
            if not (".so" in os.path.basename(path) or os.access(path, os.X_OK)) or not linker.fits_plugin(path):
                continue
            closure = linker.closure(path, loaded)
            for one in closure.missing:
                if one.name in own:
                    continue  # a wheel's private library, found once the module that belongs to it is loaded
                self.plan.note(f'"{path}" will not work: library "{one.name}" not found')
            self._add_libraries(elf, closure)

    def finish(self) -> None:
        """Add what depends on the whole: a loader cache for libraries outside the default folders."""
        for machine, libraries in sorted(self._cached.items()):
            if ldcache.supports(machine) and ldcache.PATH not in self.plan:
                self.plan.data(
                    ldcache.PATH, ldcache.build_cache(libraries, machine), "tells the loader where libraries are"
                )
            else:
                folders = sorted({os.path.dirname(path) for path in libraries.values()})
                self.env["LD_LIBRARY_PATH"] = ":".join(folders)
