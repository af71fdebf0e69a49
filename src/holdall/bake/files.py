"""Which files describe the builds, of what kind each is, and all of them together as one definition."""

from __future__ import annotations

import os

from holdall.bake import compose, dotenv, json_file
from holdall.bake.definition import Definition
from holdall.bake.plain import plain_errors
from holdall.errors import InvalidInput, InvalidOption, PathNotFound
from holdall.oci.platform import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
JSON = ("docker-bake.json", "docker-bake.override.json")
HCL = ("docker-bake.hcl", "docker-bake.override.hcl")
STDIN = "-"
MAX_FILE = 4 << 20
HCL_HINT = "write the file as JSON: docker buildx bake --print does, or use a compose file"


def read(names: Sequence[str], stdin: BinaryIO, folder: str = ".") -> list[tuple[str, bytes]]:
    """Name and content of the files; without names of those in the folder that have the usual ones.

    Raises PathNotFound, InvalidOption (HCL).
    """
    if names:
        return [(name, _content(name, stdin)) for name in names]
    found = [name for name in (*COMPOSE, *JSON) if os.path.isfile(os.path.join(folder, name))]
    if not found:
        for name in HCL:
            if os.path.isfile(os.path.join(folder, name)):
                raise InvalidOption(f'"{name}" is HCL, which is not supported', hint=HCL_HINT)
        raise PathNotFound("there is no file that describes builds", hint=f"name one with -f, or make {JSON[0]}")
    return [(name, _content(os.path.join(folder, name), stdin)) for name in found]


def _content(name: str, stdin: BinaryIO) -> bytes:
    if name.lower().endswith(".hcl"):
        raise InvalidOption(f'"{name}" is HCL, which is not supported', hint=HCL_HINT)
    if "://" in name:
        raise InvalidOption(f'"{name}" is an address: remote definitions are not supported')
    try:
        if name == STDIN:
            return stdin.read(MAX_FILE + 1)
        with open(name, "rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as err:
        raise PathNotFound(f'cannot read "{name}": {(err.strerror or "").lower()}') from err


@plain_errors()
def parse(files: Sequence[tuple[str, bytes]], environ: Mapping[str, str], folder: str = ".") -> Definition:
    """The definition that the files make together: compose files first, then JSON. Raises InvalidInput, LimitExceeded.

    `environ` gives variables, for compose files together with those of the folder's .env.
    """
    made = Definition()
    described = [(name, raw) for name, raw in files if _is_json(name, raw)]
    composed = [one for one in files if one not in described]
    if composed:
        made.add(*compose.parse(composed, {**_dotenv(folder, environ), **environ}))
    if described:
        builtins = {"BAKE_CMD_CONTEXT": "cwd://", "BAKE_LOCAL_PLATFORM": str(host())}
        made.add(*json_file.parse(described, environ, builtins))
    return made


def _is_json(name: str, raw: bytes) -> bool:
    lower = name.lower()
    if lower.endswith((".yml", ".yaml")):
        return False
    return lower.endswith(".json") or raw.lstrip()[:1] == b"{"


def _dotenv(folder: str, environ: Mapping[str, str]) -> dict[str, str]:
    try:
        with open(os.path.join(folder, ".env"), "rb") as file:
            raw = file.read(dotenv.MAX_FILE + 1)
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except OSError as err:
        raise InvalidInput(f'cannot read ".env": {(err.strerror or "").lower()}') from err
    return dotenv.parse(raw, environ, ".env")
