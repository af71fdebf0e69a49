"""`--chown` and USER words as numbers, looked up in the image's own /etc/passwd and /etc/group."""

from __future__ import annotations

from holdall.build import lookup
from holdall.errors import DockerfileError

MAX_FILE = 16 << 20


def owner(root: int | None, text: str) -> tuple[int, int]:
    """(uid, gid) of "user", "user:group" or numbers. Without a group: the user's own, or the user's number.

    Raises DockerfileError for a name that the image does not have.
    """
    user, _, group = text.partition(":")
    uid, own = _user(root, user or "0")
    return uid, _group(root, group) if group else own


def _user(root: int | None, name: str) -> tuple[int, int]:
    if name.isdigit():
        return int(name), int(name)
    for fields in _lines(root, "etc/passwd", 4):
        if fields[0] == name and fields[2].isdigit() and fields[3].isdigit():
            return int(fields[2]), int(fields[3])
    raise DockerfileError(f'the image has no user "{name}"', hint="name one of its /etc/passwd, or give numbers")


def _group(root: int | None, name: str) -> int:
    if name.isdigit():
        return int(name)
    for fields in _lines(root, "etc/group", 3):
        if fields[0] == name and fields[2].isdigit():
            return int(fields[2])
    raise DockerfileError(f'the image has no group "{name}"', hint="name one of its /etc/group, or give numbers")


def _lines(root: int | None, path: str, count: int) -> list[list[str]]:
    if root is None:
        return []
    found = [line.split(":") for line in lookup.read(root, path, MAX_FILE).decode(errors="replace").splitlines()]
    return [fields for fields in found if len(fields) >= count]
