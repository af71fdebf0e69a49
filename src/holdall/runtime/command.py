"""From arguments to execve(2): look the command up in the container and word failures as Docker does."""

from __future__ import annotations

import errno
import os
import stat

from holdall.errors import CommandNotExecutable, CommandNotFound, StartError
from holdall.linux.inroot import open_in_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_EXECUTABLE = (errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.EISDIR, errno.ETXTBSY, errno.EINVAL, errno.E2BIG)


def environment(entries: tuple[str, ...], home: str, *, terminal: bool) -> dict[str, str]:
    """The environment of `NAME=value` entries, with HOME and, on a terminal, TERM where missing. Raises StartError."""
    values: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals or not name or "\0" in entry:
            raise StartError(f'invalid environment variable "{entry}"')
        values[name] = value
    if not values.get("HOME"):
        values["HOME"] = home
    if terminal:
        values.setdefault("TERM", "xterm")
    return values


def candidates(name: str, path: str | None) -> tuple[str, ...]:
    """The files that `name` may mean: itself when it holds a slash, else one per folder of `path`."""
    if not name:
        return ()
    if "/" in name:
        return (name,)
    return tuple([f"{folder or '.'}/{name}" for folder in (path or "").split(":")])


def find(args: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """The executable for `args[0]`, as seen by the calling process. Raises CommandNotFound or CommandNotExecutable."""
    if not args or not args[0]:
        raise CommandNotFound("no command specified")
    name = args[0]
    for file in candidates(name, environ.get("PATH")):
        try:
            status = os.stat(file)
        except OSError as err:
            if "/" in name:
                raise _not_found(name, err) from err
            continue
        usable = stat.S_ISREG(status.st_mode) and status.st_mode & 0o111
        if usable and os.access(file, os.X_OK, effective_ids=True):
            _refuse_ourselves(name, file)
            return file
        if "/" in name:
            text = "is a directory" if stat.S_ISDIR(status.st_mode) else "permission denied"
            raise CommandNotExecutable(f'exec: "{name}": {text}')
    raise CommandNotFound(f'exec: "{name}": executable file not found in $PATH')


def _not_found(name: str, err: OSError) -> StartError:
    reason = (err.strerror or "").lower()
    if err.errno == errno.EACCES:
        return CommandNotExecutable(f'exec: "{name}": {reason}')
    return CommandNotFound(f'exec: "{name}": stat {name}: {reason}')


def _refuse_ourselves(name: str, file: str) -> None:
    """A link to /proc/self/exe would run the host's interpreter inside the container (CVE-2019-5736)."""
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(open_in_root(root, os.path.join(os.getcwd(), file)))
    except OSError as err:
        if err.errno == errno.ELOOP:
            raise CommandNotExecutable(f'exec: "{name}": is a link to a running process\'s file') from err
    finally:
        os.close(root)


def execute(file: str, args: tuple[str, ...], environ: Mapping[str, str]) -> StartError:
    """execve(2); returns only when it fails, with what to report."""
    try:
        os.execve(file, args, environ)
    except OSError as err:
        reason = (err.strerror or "").lower()
        if err.errno in _NOT_EXECUTABLE:
            return CommandNotExecutable(f'exec: "{args[0]}": {reason}')
        if err.errno in (errno.ENOENT, errno.ENOTDIR):
            return CommandNotFound(
                f'exec: "{args[0]}": {reason}', hint="the file exists: check that its interpreter or loader does"
            )
        return StartError(f'exec: "{args[0]}": {reason}')
    except ValueError as err:
        return StartError(f"exec: {err}")
