"""What a container changed: an overlay upper directory against its lowers, as `docker diff` lists it and as a layer.

A thing is changed if its type, mode, owner, device number or attributes are, or, other than for directories, its
time, size or bytes; a file that was copied up and left as it was is none. A directory with a change below it counts
as changed. Counterpart of `unpack.py`; image-spec layer.md "Change Types".
"""

from __future__ import annotations

import os
import stat

from holdall.errors import Unsupported
from holdall.layer import names, overlay, xattrs
from holdall.layer.entry import Entry, Kind, show
from holdall.layer.fromfs import Recorder
from holdall.layer.walk import Node, walk
from holdall.linux import fsop
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from holdall.layer.hashing import Writable

ADDED, CHANGED, DELETED = "A", "C", "D"
_CHUNK = 1 << 20


@record
class Change:
    """`kind` is "A", "C" or "D"; `path` is absolute, undecodable bytes as surrogates."""

    kind: str
    path: str


def changes(upper: str, lowers: Sequence[str], *, placeholders: Collection[str] = ()) -> Iterator[Change]:
    """The changes, sorted by path. `lowers` are the layers below, top first; `placeholders` as in `write_layer`.

    Raises OSError, LimitExceeded, and Unsupported for an upper directory with redirects (see `overlay`).
    """
    found: dict[bytes, str] = {}
    for verdict in _judge_all(upper, lowers, through_opaque=True):
        node = verdict.node
        if verdict.kind == ADDED and node.status.st_size == 0 and "/" + os.fsdecode(node.path) in placeholders:
            continue
        deleted = [node.path + b"/" + name for name in verdict.hidden]
        found.update((path, DELETED) for path in deleted)
        if verdict.kind is not None:
            found[node.path] = verdict.kind
        if verdict.kind is not None or deleted:
            above: Node | None = node if deleted else node.parent
            while above is not None:
                found.setdefault(above.path, CHANGED)
                above = above.parent
    for path, kind in sorted(found.items()):
        yield Change(kind, "/" + os.fsdecode(path))


def write_layer(
    upper: str,
    lowers: Sequence[str],
    out: Writable,
    *,
    placeholders: Collection[str] = (),
    latest: int | None = None,
    shown: int | None = None,
) -> int:
    """Write the changes as a layer's tar: whiteouts as `.wh.` names, opaque markers, hard links and portable
    attributes kept, sockets left out. The same directory gives the same bytes. Returns the number of entries.
    `placeholders` are absolute paths whose empty files only serve as mount points and are left out. Times later than
    `latest` (seconds) become that. What has the time `shown` (ns) was given it only to be looked at: it counts as
    having the time that it has below.

    Raises OSError, LimitExceeded, and Unsupported for redirects and for names a layer cannot hold (`.wh.…`).
    """
    recorder = Recorder(out, latest)
    written: set[bytes] = set()
    times: dict[bytes, int] = {}

    def write(node: Node) -> None:
        if node.parent is not None and node.parent.path not in written:
            write(node.parent)
        if stat.S_ISDIR(node.status.st_mode):
            written.add(node.path)
        recorder.add(node.path, node.fd, node.name, node.status, time=times.get(node.path))

    for verdict in _judge_all(upper, lowers, through_opaque=False, shown=shown):
        node = verdict.node
        if verdict.time is not None:
            times[node.path] = verdict.time
        if verdict.kind == DELETED:
            if node.parent is not None and node.parent.path not in written:
                write(node.parent)
            recorder.put(_mark(node.path[: len(node.path) - len(node.name)] + names.WHITEOUT + node.name))
        elif verdict.kind is not None or verdict.opaque:
            if node.status.st_size == 0 and "/" + os.fsdecode(node.path) in placeholders:
                continue
            if node.name.startswith(names.WHITEOUT):
                raise Unsupported(f'"/{show(node.path)}" cannot be in a layer: ".wh." marks deletions')
            write(node)
            if verdict.opaque:
                recorder.put(_mark(node.path + b"/" + names.OPAQUE))
    recorder.close()
    return recorder.entries


def _mark(path: bytes) -> Entry:
    return Entry(path, Kind.FILE, 0o644)


class _Verdict:
    """What a node of the upper directory means. `hidden` names what an opaque directory no longer shows; `time` (ns)
    is what it has below, if it is now one that was only shown.
    """

    __slots__ = ("hidden", "kind", "node", "opaque", "time")

    def __init__(
        self,
        node: Node,
        kind: str | None,
        *,
        opaque: bool = False,
        hidden: tuple[bytes, ...] = (),
        time: int | None = None,
    ) -> None:
        self.node = node
        self.time = time
        self.kind = kind
        self.opaque = opaque
        self.hidden = hidden


def _judge_all(
    upper: str, lowers: Sequence[str], *, through_opaque: bool, shown: int | None = None
) -> Iterator[_Verdict]:
    """A verdict on each thing in the upper directory. Each node's `data` is the list of lower directories below it.

    With `through_opaque` an opaque directory is compared with what it hides, else everything in it counts as added.
    """
    root = fsop.open_directory(upper)
    bottom = [os.fsencode(lower) for lower in lowers]
    try:
        for node in walk(root):
            above = bottom if node.parent is None else node.parent.data
            assert isinstance(above, list)
            try:
                verdict = _judge(node, above, through_opaque=through_opaque, shown=shown)
            except FileNotFoundError:
                node.descend = False  # gone while we looked: the container is running
                continue
            yield verdict
    finally:
        os.close(root)


def _judge(node: Node, above: list[bytes], *, through_opaque: bool, shown: int | None) -> _Verdict:
    path = fsop.fd_path(node.fd, node.name)
    lower = overlay.look(above, node.name)
    if overlay.is_whiteout(path, node.status):
        return _Verdict(node, DELETED if lower.status is not None else None)
    overlay.refuse_redirects(path, node.status, node.path)
    opaque = False
    hidden: tuple[bytes, ...] = ()
    if stat.S_ISDIR(node.status.st_mode):
        opaque = bool(lower.directories) and overlay.is_opaque(path)
        if opaque and through_opaque:
            hidden = tuple(_missing(node, overlay.names_in(lower.directories)))
        node.data = [] if opaque and not through_opaque else lower.directories
    if lower.status is None:
        return _Verdict(node, ADDED, opaque=opaque, hidden=hidden)
    time = lower.status.st_mtime_ns if node.status.st_mtime_ns == shown else None
    kind = CHANGED if _differs(node, lower.status, lower.path, timed=time is None) else None
    return _Verdict(node, kind, opaque=opaque, hidden=hidden, time=time)


def _missing(node: Node, expected: list[bytes]) -> list[bytes]:
    fd = os.open(node.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=node.fd)
    try:
        present = {os.fsencode(name) for name in os.listdir(fd)}
    finally:
        os.close(fd)
    return [name for name in expected if name not in present]


def _differs(node: Node, old: os.stat_result, old_path: bytes, *, timed: bool) -> bool:
    new = node.status
    if (new.st_mode, new.st_uid, new.st_gid) != (old.st_mode, old.st_uid, old.st_gid):
        return True
    if (stat.S_ISCHR(new.st_mode) or stat.S_ISBLK(new.st_mode)) and new.st_rdev != old.st_rdev:
        return True
    if not stat.S_ISDIR(new.st_mode):
        if timed and new.st_mtime_ns != old.st_mtime_ns:
            return True
        if new.st_size != old.st_size:
            return True
    path = fsop.fd_path(node.fd, node.name)
    if xattrs.collect(path) != xattrs.collect(old_path):
        return True
    if stat.S_ISLNK(new.st_mode):
        return os.readlink(path) != os.readlink(old_path)
    return stat.S_ISREG(new.st_mode) and not _same_bytes(path, old_path)


def _same_bytes(path: bytes, old_path: bytes) -> bool:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with (
        open(os.open(path, flags), "rb", buffering=0) as new,
        open(os.open(old_path, flags), "rb", buffering=0) as old,
    ):
        while True:
            one, other = new.read(_CHUNK), old.read(_CHUNK)
            if one != other:
                return False
            if not one:
                return True
