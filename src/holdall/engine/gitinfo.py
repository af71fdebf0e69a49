"""When the commit was made that a folder is at: read by git itself, if it is there."""

from __future__ import annotations

import os

SECONDS = 5.0


def commit_time(folder: str) -> int | None:
    """Seconds since the epoch; None outside a repository, without a commit, or without git."""
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
