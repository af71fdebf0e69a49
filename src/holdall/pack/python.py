"""Python: the interpreter, its standard library and every module it can import, as the interpreter itself tells."""

from __future__ import annotations

import os
import re
import subprocess

from holdall.errors import HoldallError, InvalidInput
from holdall.oci.jsonval import JsonObject, loads
from holdall.pack import tls
from holdall.pack.python_probe import MARK, PROBE
from holdall.pack.python_trees import editable_wanted, site_wanted, source_wanted, stdlib_wanted
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.pack.collect import Collector
    from holdall.pack.elf import Elf
    from holdall.pack.libraries import Closure

TIMEOUT = 60
MAX_PATHS = 10_000

_KEPT = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONPLATLIBDIR")
"""Variables that say where modules are; every other PYTHON* is about how a run behaves and stays out."""


@record
class PythonFacts:
    """What an interpreter told. `path` is how it was called, `paths` its sys.path without the working directory."""

    path: str
    version: tuple[int, ...]
    executables: tuple[str, ...]
    prefixes: tuple[str, ...]
    stdlib: tuple[str, ...]
    paths: tuple[str, ...]
    redirected: tuple[str, ...]
    cache_tag: str
    cafile: str
    user_base: str
    user_site: str


def probe_environment() -> dict[str, str]:
    """The user's environment as far as it says where Python's modules are, relative paths made absolute."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON") or key in _KEPT}
    if env.get("PYTHONPATH"):
        env["PYTHONPATH"] = ":".join([os.path.abspath(one) for one in env["PYTHONPATH"].split(":") if one])
    return env


def ask(path: str) -> PythonFacts:
    """Ask the interpreter. Raises InvalidInput when it does not answer."""
    try:
        done = subprocess.run(
            [path, "-c", PROBE],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT,
            cwd="/",
            env=probe_environment(),
            check=True,
        )
        answer = loads(done.stdout.rpartition(MARK.encode())[2], f'answer of "{path}"', error=InvalidInput)
        return _facts(path, JsonObject.of(answer, f'answer of "{path}"', error=InvalidInput))
    except (OSError, subprocess.SubprocessError, HoldallError) as err:
        raise InvalidInput(
            f'"{path}" does not tell where its modules are: {_cause(err)}',
            hint=f"see what {path} -c 'import json' says",
        ) from err


def _cause(err: Exception) -> str:
    if isinstance(err, subprocess.CalledProcessError):
        lines = err.stderr.decode(errors="replace").strip().splitlines()
        return ascii(lines[-1][:200])[1:-1] if lines else f"exit code {err.returncode}"
    if isinstance(err, subprocess.TimeoutExpired):
        return f"no answer in {TIMEOUT} seconds"
    return str(err)[:200]


def _facts(path: str, obj: JsonObject) -> PythonFacts:
    redirections = obj.need_child("redirections")
    redirected = [one for key in redirections.values for one in redirections.strings(key, MAX_PATHS)]
    version = tuple([part for part in obj.items("version", 3) or [] if isinstance(part, int)])
    return PythonFacts(
        path,
        version,
        _absolute(obj.string("executable"), obj.string("base_executable")),
        _absolute(obj.string("prefix"), obj.string("base_prefix")),
        _absolute(*obj.strings("stdlib", MAX_PATHS), obj.string("os_module")),
        _absolute(*obj.strings("path", MAX_PATHS)),
        _absolute(*redirected),
        obj.string("cache_tag"),
        obj.string("cafile"),
        obj.string("user_base"),
        obj.string("user_site"),
    )


def _absolute(*paths: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([path for path in paths if path.startswith("/")]))


def behind_shim(path: str) -> str:
    """The interpreter behind a pyenv shim (a script that chooses a version when it runs); other paths unchanged."""
    if os.path.basename(os.path.dirname(path)) != "shims":
        return path
    try:
        with open(path, "rb") as file:
            text = file.read(4_096).decode(errors="replace")
        match = re.search(r'^exec "([^"\n]+/pyenv)" exec', text, re.MULTILINE)
        if not text.startswith("#!") or match is None:
            return path
        done = subprocess.run(
            [match[1], "which", os.path.basename(path)], capture_output=True, text=True, timeout=TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError) as err:
        raise InvalidInput(
            f'"{path}" is a pyenv shim, and pyenv does not tell what is behind it: {_cause(err)}'
        ) from err
    return done.stdout.strip() or path


def add(collector: Collector, path: str, elf: Elf, closure: Closure) -> None:
    """Add an interpreter's modules, with the libraries that its extension modules need."""
    facts = ask(path)
    host, plan, reason = collector.host, collector.plan, f"modules of {path}"
    for one in facts.executables:
        if os.path.lexists(one):
            host.follow(one, f"python of {path}")
    for folder in dict.fromkeys([*facts.prefixes, *[os.path.dirname(one) for one in facts.executables]]):
        if os.path.isfile(f"{folder}/pyvenv.cfg"):
            host.follow(f"{folder}/pyvenv.cfg", f"says where {path} has its standard library")
    files: list[str] = []
    library = {os.path.realpath(one) for one in facts.stdlib}
    for one in facts.stdlib:
        files += host.tree(one, reason, stdlib_wanted) if os.path.isdir(one) else []
    for one in facts.paths:
        files += _add_path(collector, one, library, reason)
    for one in facts.redirected:
        files += host.tree(one, reason, editable_wanted) if os.path.isdir(one) else _add_file(collector, one, reason)
    files = list(dict.fromkeys(files))
    collector.plugins(elf, files, closure)
    if facts.cafile:
        tls.add(host, facts.cafile)
    _set_environment(collector, facts)
    plan.directory("/tmp", "temporary files", 0o1777)
    collector.pythons.append((facts, [one for one in files if one.endswith(".py")]))


def _add_path(collector: Collector, path: str, library: set[str], reason: str) -> list[str]:
    real = os.path.realpath(path)
    if not os.path.isdir(real):
        return _add_file(collector, path, reason)
    if real in library or any(os.path.dirname(real) == one and _in_library(real) for one in library):
        collector.host.follow(path, reason)
        return []
    name = os.path.basename(real)
    wanted = site_wanted if name in ("site-packages", "dist-packages") else source_wanted(real)
    return collector.host.tree(path, reason, wanted)


def _in_library(path: str) -> bool:
    """Whether a folder inside the standard library's came with it already (lib-dynload)."""
    return os.path.basename(path) not in ("site-packages", "dist-packages")


def _add_file(collector: Collector, path: str, reason: str) -> list[str]:
    if os.path.isfile(path):
        return [collector.host.follow(path, reason)]
    module = f"{path}.py"
    return [collector.host.follow(module, reason)] if os.path.isfile(module) else []


def _set_environment(collector: Collector, facts: PythonFacts) -> None:
    env = probe_environment()
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR"):
        if env.get(name):
            collector.env[name] = env[name]
    if facts.user_site in facts.paths and os.path.isdir(facts.user_site):
        collector.env["PYTHONUSERBASE"] = facts.user_base
