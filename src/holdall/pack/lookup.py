"""A program's path from what the user wrote: looked up in PATH as a shell does, or taken as a path."""

from __future__ import annotations

import os
import stat

from holdall.errors import InvalidInput, PathNotFound

STANDARD_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def find_program(name: str, search: tuple[str, ...]) -> str:
    """The absolute path of a program, symlinks not followed.

    Raises PathNotFound; InvalidInput for a folder or a file that is not executable.
    """
    if not name:
        raise InvalidInput("the name of a program is empty")
    if "/" in name:
        path = os.path.abspath(name)
        _check(path, name)
        return path
    for folder in search:
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    raise PathNotFound(f'program "{name}" not found in PATH', hint="give its full path, or install it first")


def _check(path: str, name: str) -> None:
    try:
        info = os.stat(path)
    except OSError as err:
        raise PathNotFound(f'program "{name}" not found: {(err.strerror or "error").lower()}') from err
    if stat.S_ISDIR(info.st_mode):
        raise InvalidInput(f'"{name}" is a folder, not a program', hint="copy folders into the image with --add")
    if not os.access(path, os.X_OK):
        raise InvalidInput(f'"{name}" is not executable', hint=f"chmod +x {name}, or copy it with --add")


def search_path(environ: dict[str, str]) -> tuple[str, ...]:
    """Absolute folders of $PATH, then the standard ones."""
    folders = [one for one in environ.get("PATH", "").split(":") if one.startswith("/")]
    return tuple(dict.fromkeys([*folders, *STANDARD_PATH]))
