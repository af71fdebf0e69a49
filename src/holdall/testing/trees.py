"""Whole file trees as values that two tools can be compared by."""

from __future__ import annotations

import hashlib
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OVERLAY = "trusted.overlay."
Facts = tuple[object, ...]


def survey(top: str) -> dict[str, Facts]:
    """Every path below `top` with kind, mode, owner, device, mtime (seconds), xattrs, content and its hard links.

    The top folder itself is left out: mounting tools set its times as they like.
    """
    found: dict[str, Facts] = {}
    links: dict[tuple[int, int], list[str]] = {}
    for path, status in _walk(top):
        name = path[len(top) + 1 :]
        if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
            links.setdefault((status.st_dev, status.st_ino), []).append(name)
        found[name] = (
            oct(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_rdev if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode) else 0,
            int(status.st_mtime),
            _xattrs(path),
            _content(path, status),
        )
    for group in links.values():
        for name in group:
            found[name] = (*found[name], tuple(sorted(group)))
    return found


def differences(expected: dict[str, Facts], found: dict[str, Facts], limit: int = 10) -> list[str]:
    """What differs between two surveys, the first `limit` of it, in words."""
    wrong = [f"missing: {name}" for name in sorted(expected.keys() - found.keys())]
    wrong += [f"too many: {name}" for name in sorted(found.keys() - expected.keys())]
    wrong += [
        f"{name}: {expected[name]} became {found[name]}"
        for name in sorted(expected.keys() & found.keys())
        if expected[name] != found[name]
    ]
    return wrong[:limit] + ([f"and {len(wrong) - limit} more"] if len(wrong) > limit else [])


def _walk(top: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(top) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            yield entry.path, entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)


def _xattrs(path: str) -> tuple[tuple[str, bytes], ...]:
    names = os.listxattr(path, follow_symlinks=False)
    return tuple(
        (name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names) if not name.startswith(OVERLAY)
    )


def _content(path: str, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
