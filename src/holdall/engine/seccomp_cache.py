"""Compiled seccomp filters, kept by content in the store's cache: a profile is compiled once, not once per run."""

from __future__ import annotations

import os

from holdall.errors import InvalidOption, PathNotFound
from holdall.linux import seccomp
from holdall.supervisor.durable import write_atomic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from holdall.paths import Paths

MAX_PROFILE = 1 << 20


def compiled(paths: Paths, profile: str, capabilities: Collection[str]) -> str:
    """Path of the filter for a profile file ("" for the default one) under a bounding set.

    Raises PathNotFound, InvalidInput or Unsupported for a profile that cannot be read or compiled.
    """
    raw = _read(profile) if profile else None
    folder = paths.cache + "/seccomp"
    path = f"{folder}/{seccomp.cache_name(raw, capabilities)}.bpf"
    if not os.path.exists(path):
        os.makedirs(folder, 0o700, exist_ok=True)
        write_atomic(path, seccomp.compile_filter(raw, capabilities), durable=True, shared=True)
    return path


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_PROFILE + 1)
    except OSError as err:
        raise PathNotFound(f'cannot read the seccomp profile "{path}": {err.strerror}') from err
    if len(raw) > MAX_PROFILE:
        raise InvalidOption(f'the seccomp profile "{path}" is larger than {MAX_PROFILE} bytes')
    return raw
