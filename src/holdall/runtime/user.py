"""Who a process runs as: Docker's `name|uid[:group|gid]` looked up in the root's own /etc/passwd and /etc/group.

Own parsing, bounded: the files belong to the image, and the C library's look-ups would load its NSS modules.
"""

from __future__ import annotations

import os
import stat

from holdall.errors import StartError
from holdall.linux.inroot import open_in_root
from holdall.record import record

MAX_FILE = 4 << 20
MAX_ID = 2**32 - 2
MAX_GROUPS = 65536


@record
class Account:
    """A resolved user. `home` is "/" when the passwd file has no entry.

    `groups` of a user looked up by text begin with `gid`, or files of that group would open to one who drops it and
    calls setgroups (CVE-2022-36109).
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def resolve(text: str | None, uid: int, gid: int, extra: tuple[str, ...], root: int) -> Account:
    """Look up `text` ("" is root; None: `uid` and `gid` as they are) and the additional groups `extra` inside `root`.

    With no group in `text`, the groups that list the user are added, as Docker does. Raises StartError.
    """
    passwd = read_lines(root, "/etc/passwd")
    group = read_lines(root, "/etc/group") if text is not None or extra else ()
    account = _numeric(uid, gid, passwd) if text is None else _named(text, passwd, group)
    more = [_group(name, group) for name in extra]
    return Account(account.uid, account.gid, (*account.groups, *more), account.home)


def read_lines(root: int, path: str) -> tuple[list[str], ...]:
    """The colon-separated fields of each line of a regular file inside `root`; () when it is missing."""
    try:
        fd = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return ()
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return ()
        # os.read allocates what it is asked for, so not more than the file has
        text = os.read(fd, min(found.st_size, MAX_FILE)).decode("utf-8", "surrogateescape")
    finally:
        os.close(fd)
    lines = [line.strip() for line in text.split("\n")]
    return tuple([line.split(":") for line in lines if line and not line.startswith("#")])


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None


def _checked(number: int, what: str) -> int:
    if number > MAX_ID:
        raise StartError(f"{what} {number} is out of range")
    return number


def _numeric(uid: int, gid: int, passwd: tuple[list[str], ...]) -> Account:
    for fields in passwd:
        if len(fields) >= 6 and _number(fields[2]) == uid:
            return Account(uid, gid, (), fields[5] or "/")
    return Account(uid, gid)


def _named(text: str, passwd: tuple[list[str], ...], group: tuple[list[str], ...]) -> Account:
    name, _, group_name = text.partition(":")
    name = name or "0"
    entry = _find_user(name, passwd)
    number = _number(name)
    if entry is not None:
        uid, gid = _number(entry[2]), _number(entry[3])
        login, home = entry[0], entry[5] or "/"
    else:
        uid, gid, login, home = number, 0, "", "/"
    if uid is None or gid is None:
        raise StartError(f"unable to find user {name}: no matching entries in passwd file")
    if group_name:
        number = _group(group_name, group)
        return Account(_checked(uid, "user ID"), number, (number,), home)
    member = [_number(fields[2]) for fields in group if login and len(fields) >= 4 and login in fields[3].split(",")]
    groups = tuple([number for number in member if number is not None][:MAX_GROUPS])
    return Account(_checked(uid, "user ID"), _checked(gid, "group ID"), (gid, *groups), home)


def _find_user(name: str, passwd: tuple[list[str], ...]) -> list[str] | None:
    number = _number(name)
    for fields in passwd:
        if len(fields) >= 6 and (fields[0] == name or (number is not None and _number(fields[2]) == number)):
            return fields
    return None


def _group(name: str, group: tuple[list[str], ...]) -> int:
    number = _number(name)
    for fields in group:
        if len(fields) >= 3 and fields[0] == name:
            found = _number(fields[2])
            if found is not None:
                return _checked(found, "group ID")
    if number is None:
        raise StartError(f"unable to find group {name}: no matching entries in group file")
    return _checked(number, "group ID")
