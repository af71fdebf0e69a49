"""Which shared libraries an ELF file loads, found as ld.so(8) finds them, or as musl's loader does."""

from __future__ import annotations

import os

from holdall.errors import InvalidInput, LimitExceeded, PathNotFound
from holdall.pack import ldcache
from holdall.pack.elf import Elf, is_elf, read_elf
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LIBRARIES = 10_000

_MULTIARCH = {
    "amd64": "x86_64-linux-gnu",
    "arm64": "aarch64-linux-gnu",
    "386": "i386-linux-gnu",
    "arm": "arm-linux-gnueabihf",
    "riscv64": "riscv64-linux-gnu",
    "s390x": "s390x-linux-gnu",
    "ppc64le": "powerpc64le-linux-gnu",
    "loong64": "loongarch64-linux-gnu",
}
_MUSL_DEFAULTS = ("/lib", "/usr/local/lib", "/usr/lib")
_MUSL_OWN = ("libc.so", "libc.musl-", "libpthread.so", "libm.so", "librt.so", "libdl.so", "libcrypt.so", "libutil.so")


@record
class Library:
    """A library a process loads: the name it was asked for by, where it was found, and who asked first."""

    name: str
    path: str
    needed_by: str
    from_cache: bool = False


@record
class Missing:
    """A library that was not found."""

    name: str
    needed_by: str


@record
class _Loaded:
    """An object in the chain of loaders: DT_RPATH is inherited along it."""

    path: str
    elf: Elf
    loader: _Loaded | None = None


@record
class Closure:
    """All that comes with a root: libraries in the order they are loaded, and those not found."""

    libraries: tuple[Library, ...]
    missing: tuple[Missing, ...]


class Linker:
    """Resolves for processes of one ABI and one loader (`interpreter`, the path in PT_INTERP)."""

    def __init__(self, elf: Elf, interpreter: str, cache: dict[str, tuple[str, ...]] | None = None) -> None:
        self.abi = elf.abi
        self.interpreter = interpreter
        self.musl = os.path.basename(interpreter).startswith("ld-musl-")
        self._multiarch = _MULTIARCH.get(elf.architecture, "")
        self._bits = elf.bits
        self._shape = (elf.bits, elf.little, elf.machine)
        self._cache = {} if self.musl else ldcache.read_cache() if cache is None else cache
        self._elves: dict[str, Elf | None] = {}

    def closure(self, path: str, loaded: Closure | None = None) -> Closure:
        """Libraries of the program or plugin at `path`; those `loaded` (a plugin's program's) are there already.

        Raises InvalidInput when `path` is no ELF file of this ABI; LimitExceeded.
        """
        root = self._elf(path)
        if root is None:
            raise InvalidInput(f'"{path}" is not an elf file for this processor')
        names = {library.name for library in loaded.libraries} if loaded else set[str]()
        found: dict[str, Library] = {}
        missing: list[Missing] = []
        queue = [_Loaded(path, root)]
        while queue:
            item = queue.pop(0)
            for name in item.elf.needed:
                if name in found or name in names or self._is_loader(name):
                    continue
                library = self._find(name, item)
                if library is None:
                    missing.append(Missing(name, item.path))
                    names.add(name)
                    continue
                elf = self._elf(library.path)
                found[name] = library
                names |= {name, elf.soname} if elf and elf.soname else {name}
                if len(found) > MAX_LIBRARIES:
                    raise LimitExceeded(f'"{path}" needs more than {MAX_LIBRARIES} libraries')
                if elf is not None:
                    queue.append(_Loaded(library.path, elf, item))
        return Closure(tuple(found.values()), tuple(missing))

    def locate(self, name: str) -> str | None:
        """Where a library that a process asks for by name (dlopen) is found, without any object's own paths."""
        asker = _Loaded("/", Elf(*self._shape))
        found = self._find(name, asker)
        return None if found is None else found.path

    def _is_loader(self, name: str) -> bool:
        """The loader itself, under its own name or, with musl, under the C library's."""
        if self.musl and name.startswith(_MUSL_OWN):
            return True
        return name == os.path.basename(self.interpreter)

    def _find(self, name: str, asker: _Loaded) -> Library | None:
        if "/" in name:
            path = self._expand(name, asker.path)[0]
            return Library(name, path, asker.path) if self._fits(path) else None
        for path in self._candidates(name, asker):
            if self._fits(path):
                return Library(name, path, asker.path)
        if not asker.elf.no_default_dirs or self.musl:
            for path in self._cache.get(name, ()):
                if self._fits(path):
                    return Library(name, path, asker.path, from_cache=True)
            for folder in self.default_dirs():
                if self._fits(f"{folder}/{name}"):
                    return Library(name, f"{folder}/{name}", asker.path)
        return None

    def _candidates(self, name: str, asker: _Loaded) -> Iterator[str]:
        """Paths by RPATH and RUNPATH. RPATH is inherited and void beside a RUNPATH; to musl both are RPATH."""
        chain: _Loaded | None = asker
        inherit = self.musl or not asker.elf.runpath
        while chain is not None and inherit:
            folders = (
                chain.elf.runpath or chain.elf.rpath if self.musl else () if chain.elf.runpath else chain.elf.rpath
            )
            for folder in folders:
                yield from [f"{one}/{name}" for one in self._expand(folder, chain.path)]
            chain = chain.loader
        if not self.musl:
            for folder in asker.elf.runpath:
                yield from [f"{one}/{name}" for one in self._expand(folder, asker.path)]

    def _expand(self, text: str, path: str) -> list[str]:
        """$ORIGIN, $LIB and $PLATFORM, in all the values that $LIB has on some distribution."""
        for token, value in (("ORIGIN", os.path.dirname(path)), ("PLATFORM", os.uname().machine)):
            text = text.replace("${" + token + "}", value).replace("$" + token, value)
        if "$LIB" not in text and "${LIB}" not in text:
            return [text]
        values = [f"lib/{self._multiarch}", "lib64" if self._bits == 64 else "lib", "lib"]
        return [text.replace("${LIB}", value).replace("$LIB", value) for value in values]

    def default_dirs(self) -> tuple[str, ...]:
        """Where the loader looks without being told."""
        if self.musl:
            return _musl_path(self.interpreter) or _MUSL_DEFAULTS
        folders = [f"/lib/{self._multiarch}", f"/usr/lib/{self._multiarch}"] if self._multiarch else []
        if self._bits == 64:
            folders += ["/lib64", "/usr/lib64"]
        return (*folders, "/lib", "/usr/lib")

    def _fits(self, path: str) -> bool:
        elf = self._elf(path)
        return elf is not None and elf.abi == self.abi

    def _elf(self, path: str) -> Elf | None:
        if path not in self._elves:
            try:
                self._elves[path] = read_elf(path)
            except (OSError, InvalidInput):
                self._elves[path] = None
        return self._elves[path]

    def fits_plugin(self, path: str) -> bool:
        """Whether a file is a shared object that processes of this ABI could load."""
        try:
            return is_elf(path) and self._fits(path)
        except OSError:
            return False


def _musl_path(interpreter: str) -> tuple[str, ...]:
    """The folders in /etc/ld-musl-ARCH.path."""
    try:
        with open(musl_path_file(interpreter), encoding="utf-8", errors="surrogateescape") as file:
            return tuple([part for line in file.read(65_536).splitlines() for part in line.split(":") if part])
    except OSError:
        return ()


def musl_path_file(interpreter: str) -> str:
    """Name of the file that holds musl's search path."""
    return f"/etc/{os.path.basename(interpreter).removesuffix('.1').removesuffix('.so')}.path"


def missing_library(one: Missing) -> PathNotFound:
    """The error for a program that could not start here either."""
    return PathNotFound(
        f'library "{one.name}" not found, which "{one.needed_by}" needs',
        hint="install the package that holds it, or add its folder to /etc/ld.so.conf and run ldconfig",
    )
