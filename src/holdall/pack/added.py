"""`--add SRC:DEST`: files and trees copied as they are, owned by root."""

from __future__ import annotations

import os
import posixpath
import stat

from holdall.errors import LimitExceeded, NotPermitted, PathNotFound
from holdall.pack.host import MAX_DEPTH
from holdall.pack.plan import Item, Kind, Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.pack.options import Added


def add(plan: Plan, added: Added, working_dir: str) -> None:
    """Add one file, or the contents of one folder. A relative destination is below the working directory.

    The source itself may be a symlink; those inside a folder are kept. Modes are kept, setuid included.
    Raises PathNotFound, NotPermitted, InvalidOption when a file would take a folder's place, LimitExceeded.
    """
    source = os.path.realpath(os.path.abspath(added.source))
    try:
        info = os.stat(source)
    except OSError as err:
        raise PathNotFound(f'cannot add "{added.source}": {(err.strerror or "error").lower()}') from err
    dest = posixpath.normpath(posixpath.join("/", working_dir, added.dest))
    dest = "/" + dest.lstrip("/")
    reason = f"added from {added.source}"
    if stat.S_ISDIR(info.st_mode):
        _tree(plan, source, plan.resolve(dest, last=True), reason, 0)
        return
    existing = plan.get(plan.resolve(dest, last=True))
    if added.dest.endswith("/") or (existing is not None and existing.kind is Kind.DIRECTORY):
        dest = posixpath.join(dest, os.path.basename(os.path.abspath(added.source)))
    _one(plan, source, plan.resolve(dest, last=True), info, reason)


def _tree(plan: Plan, source: str, dest: str, reason: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise LimitExceeded(f'"{source}" is nested deeper than {MAX_DEPTH} folders')
    try:
        mode = stat.S_IMODE(os.stat(source).st_mode)
        with os.scandir(source) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except PermissionError as err:
        raise NotPermitted(f'cannot read "{source}": permission denied') from err
    if dest != "/":
        plan.add(Item(dest, Kind.DIRECTORY, reason, mode), override=True)
    for entry in listed:
        is_folder = entry.is_dir(follow_symlinks=False)
        inner = plan.resolve(posixpath.join(dest, entry.name), last=is_folder)
        if is_folder:
            _tree(plan, entry.path, inner, reason, depth + 1)
        else:
            _one(plan, entry.path, inner, entry.stat(follow_symlinks=False), reason)


def _one(plan: Plan, source: str, dest: str, info: os.stat_result, reason: str) -> None:
    if stat.S_ISLNK(info.st_mode):
        plan.add(Item(dest, Kind.SYMLINK, reason, 0o777, target=os.readlink(source)), override=True)
    elif stat.S_ISREG(info.st_mode):
        plan.add(Item(dest, Kind.FILE, reason, stat.S_IMODE(info.st_mode), source), override=True)
    else:
        plan.note(f'"{source}" is left out: it is neither a file nor a folder')
