"""When the commit was made that a folder is at: read by git itself, if it is there."""

from __future__ import annotations

import os

SECONDS = 5.0


def commit_time(folder: str) -> int | None:
    """Seconds since the epoch; None outside a repository, without a commit, or without git."""
    if "GIT_DIR" not in os.environ and not _is_in_repository(folder):
        return None
    import subprocess

    try:
        done = subprocess.run(
            ["git", "-C", folder, "-c", f"safe.directory={os.path.abspath(folder)}", "log", "-1", "--format=%ct"],
            check=False,
            capture_output=True,
            timeout=SECONDS,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = done.stdout.strip()
    return int(text) if done.returncode == 0 and text.isdigit() else None


def _is_in_repository(folder: str) -> bool:
    """Whether git would find a repository; most contexts are in none, and a process costs more than these look-ups."""
    path = os.path.realpath(folder)
    while True:
        if os.path.lexists(f"{path}/.git") or (os.path.isfile(f"{path}/HEAD") and os.path.isdir(f"{path}/objects")):
            return True
        if path == "/":
            return False
        path = os.path.dirname(path)
