"""Archives from anywhere made seekable: a plain file is used where it lies, all else is spooled to ingest/ first.

The spool file has no name, so that nothing of it is left whenever the process ends.
"""

from __future__ import annotations

import errno
import os
import stat

from holdall.errors import PathNotFound, SystemFailure
from holdall.layer.compression import NONE, open_layer, sniff
from holdall.store.ingest import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.paths import Paths

CHUNK = 1 << 20
HEAD = 6


def seekable(source: str | BinaryIO, paths: Paths) -> BinaryIO:
    """A real file with the plain archive, at its start; to be closed by the caller.

    `source` is a path or a stream, plain or compressed by gzip, zstd, bzip2 or xz.
    Raises PathNotFound, SystemFailure, NoSpace, InvalidArchive, LimitExceeded.
    """
    if not isinstance(source, str):
        return _plain(source, paths)
    try:
        stream = open(source, "rb", buffering=0)
    except FileNotFoundError as error:
        raise PathNotFound(f'no file "{source}"') from error
    except OSError as error:
        raise SystemFailure(f'cannot read "{source}": {error.strerror}') from error
    made = _plain(stream, paths, own=True)
    if made is not stream:
        stream.close()
    return made


def _plain(stream: BinaryIO, paths: Paths, *, own: bool = False) -> BinaryIO:
    try:
        fd = stream.fileno()
        regular = stat.S_ISREG(os.fstat(fd).st_mode) and stream.seekable()
    except (OSError, AttributeError):
        regular = False
    if not regular:
        return _spool(stream, paths)
    start = stream.tell()
    head = stream.read(HEAD)
    stream.seek(start)
    if sniff(head) != NONE:
        return _spool(stream, paths)
    if own:
        return stream
    # The caller's object may have read ahead: the descriptor is where its buffer ends, not where it stands.
    copy = open(os.dup(fd), "rb", buffering=0)
    copy.seek(start)
    return copy


def _spool(stream: BinaryIO, paths: Paths) -> BinaryIO:
    doing = "cannot spool the archive"
    try:
        out = open(_nameless(paths), "w+b", buffering=0)
    except OSError as error:
        raise failure(error, doing) from error
    try:
        plain = open_layer(stream)
        while data := plain.read(CHUNK):
            view = memoryview(data)
            while view:
                view = view[out.write(view) :]
        out.seek(0)
    except OSError as error:
        out.close()
        raise failure(error, doing) from error
    except BaseException:
        out.close()
        raise
    return out


def _nameless(paths: Paths) -> int:
    try:
        return os.open(paths.ingest, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    path = f"{paths.ingest}/spool-{os.urandom(8).hex()}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return fd
