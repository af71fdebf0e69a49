"""The transient folder of a container: there from before its first side effect until after the last is undone."""

from __future__ import annotations

import os

HELD_PAUSE = "/held-pause"
"""Name of the file that says: the pause ends with the client, or with the supervisor, that made it."""


def make_run_folder(path: str) -> None:
    """Make the folder, empty. Raises OSError."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        remove_run_folder(path)
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        os.makedirs(path, 0o700)


def remove_run_folder(path: str) -> None:
    """Remove the folder and the pipes in it; harmless when it is not there."""
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return
    for name in names:
        try:
            os.unlink(f"{path}/{name}")
        except FileNotFoundError:
            pass
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass


def run_folders(run_root: str) -> tuple[str, ...]:
    """IDs of the containers that have one."""
    try:
        return tuple(os.listdir(run_root + "/containers"))
    except FileNotFoundError:
        return ()
