"""ADD of URLs and contexts behind URLs: asked for each time, fetched only when they changed.

What a server said (ETag, Last-Modified) and what came of it is kept in cache/urls/; the bytes themselves are not. So a
build whose layer is in the cache costs one conditional request, and none where --checksum names the content.
Proxies are the environment's (HTTP_PROXY, HTTPS_PROXY, NO_PROXY).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from urllib.parse import unquote, urlsplit

from holdall.build.http import Answer, Client
from holdall.errors import HoldallError, IntegrityError, InvalidInput, NoSpace
from holdall.oci.digest import Digest
from holdall.record import record
from holdall.store import durable
from holdall.store.ingest import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack
    from typing import BinaryIO

    from holdall.build.stop import Stop
    from holdall.paths import Paths

CHUNK = 1 << 20
ATTEMPTS = 4
BACK_OFF_SECONDS = 0.5
SPARE = 64 << 20
"""Bytes that a download leaves free on the store's disk."""
MAX_NOTE = 1 << 16
NAME_MAX = 255


@record
class Remote:
    """What is behind a URL now: `content` is its digest, `name` what its address ends in, else what the server calls
    it, else "".

    `pinned`: the content is what the Dockerfile says it is, not what the server had.
    """

    url: str
    content: str
    name: str = ""
    etag: str = ""
    last_modified: str = ""
    pinned: bool = False


class Downloads:
    """One build's. Usable from several threads; what was fetched is given back with `stack`."""

    def __init__(self, paths: Paths, secret: Callable[[str], str | None], stop: Stop, stack: ExitStack) -> None:
        self._paths = paths
        self._client = Client(secret)
        self._stop = stop
        self._stack = stack
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._known: dict[str, Remote] = {}
        self._bodies: dict[str, int] = {}

    def look(self, url: str, checksum: str = "", tell: Callable[[int, int], None] | None = None) -> Remote:
        """What is behind `url`. With a checksum nobody is asked; `tell` gets bytes and total while fetching.

        Raises InvalidInput (no checksum), IntegrityError, RegistryError, NoSpace, Cancelled.
        """
        if checksum:
            return Remote(url, str(_checksum(checksum)), name_of(url), pinned=True)
        with self._turn(url):
            known = self._known.get(url)
            if known is None:
                known = self._known[url] = self._asked(url, tell)
            return known

    def open(self, remote: Remote, tell: Callable[[int, int], None] | None = None) -> BinaryIO:
        """The bytes, at their start; fetched unless they are here. Raises IntegrityError when they are others now."""
        with self._turn(remote.url):
            if remote.url not in self._bodies:
                answer = self._fetched(remote.url, {}, remote, tell)
                assert answer is not None
            fd = self._bodies[remote.url]
            return open(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC), "rb", buffering=0)

    def _asked(self, url: str, tell: Callable[[int, int], None] | None) -> Remote:
        note = self._note(url)
        conditions = {}
        if note is not None and note.etag:
            conditions["If-None-Match"] = note.etag
        elif note is not None and note.last_modified:
            conditions["If-Modified-Since"] = note.last_modified
        found = self._fetched(url, conditions, None, tell)
        if found is None:
            assert note is not None
            return note
        if found.etag or found.last_modified:
            self._keep(found)
        return found

    def _fetched(
        self, url: str, conditions: Mapping[str, str], wanted: Remote | None, tell: Callable[[int, int], None] | None
    ) -> Remote | None:
        """Ask, and fetch what is there into a nameless file; None when nothing changed. Tries again a few times."""
        for attempt in range(ATTEMPTS):
            self._stop.check()
            try:
                answer = self._client.get(url, conditions)
                if answer is None:
                    return None
                with answer:
                    return self._taken(url, answer, wanted, tell)
            except HoldallError as err:
                if not getattr(err, "again", False) or attempt == ATTEMPTS - 1:
                    raise
            self._stop.wait(BACK_OFF_SECONDS * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _taken(
        self, url: str, answer: Answer, wanted: Remote | None, tell: Callable[[int, int], None] | None
    ) -> Remote:
        try:
            fd = os.open(self._paths.ingest, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as err:
            raise failure(err, "cannot store the download") from err
        try:
            self._check_room(fd, answer)
            hasher = (Digest.parse(wanted.content) if wanted else Digest("sha256", "")).hasher()
            size = 0
            while data := answer.read(CHUNK):
                self._stop.check()
                hasher.update(data)
                _write(fd, data)
                size += len(data)
                if tell is not None:
                    tell(size, answer.size or 0)
            answer.check_whole(size)
            digest = Digest.from_hasher(hasher)
            if wanted is not None and str(digest) != wanted.content:
                raise IntegrityError(
                    f'"{answer.shown}" has the checksum "{digest}", not "{wanted.content}"',
                    hint="check where it comes from before you change --checksum" if wanted.pinned else "build again",
                )
        except BaseException:
            os.close(fd)
            raise
        with self._lock:
            self._bodies[url] = fd
            self._stack.callback(os.close, fd)
        return Remote(url, str(digest), name_of(url) or plain(answer.name), answer.etag, answer.last_modified)

    def _check_room(self, fd: int, answer: Answer) -> None:
        disk = os.fstatvfs(fd)
        if answer.size is not None and answer.size > max(disk.f_bavail * disk.f_frsize - SPARE, 0):
            raise NoSpace(f'"{answer.shown}" has {answer.size} bytes, more than the disk has room for')

    def _turn(self, url: str) -> threading.Lock:
        with self._lock:
            return self._turns.setdefault(url, threading.Lock())

    def _path(self, url: str) -> str:
        return f"{self._paths.root}/cache/urls/{hashlib.sha256(url.encode('utf-8', 'surrogateescape')).hexdigest()}"

    def _note(self, url: str) -> Remote | None:
        """What an earlier build noted; None when there is nothing, or nothing that can be read."""
        try:
            with open(self._path(url), "rb") as file:
                found = json.loads(file.read(MAX_NOTE))
            content, name = str(Digest.parse(found["content"])), plain(found["name"])
            remote = Remote(url, content, name, found["etag"], found["modified"])
        except (OSError, ValueError, KeyError, TypeError, HoldallError):
            return None
        return remote if found.get("url") == url else None

    def _keep(self, remote: Remote) -> None:
        path = self._path(remote.url)
        try:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            note = {
                "url": remote.url, "content": remote.content, "name": remote.name, "etag": remote.etag,
                "modified": remote.last_modified,
            }  # fmt: skip
            durable.write_file(path, json.dumps(note).encode())
        except OSError as err:
            raise failure(err, "cannot store what is known of a URL") from err


def name_of(url: str) -> str:
    """The file name that a URL ends in, "" for none."""
    try:
        return plain(unquote(urlsplit(url).path, errors="surrogateescape"))
    except ValueError:
        return ""


def plain(name: str) -> str:
    """The last component of a name from outside, "" when none can be had of it."""
    base = name.rstrip("/").rpartition("/")[2]
    return base if base not in (".", "..") and len(os.fsencode(base)) <= NAME_MAX and "\0" not in base else ""


def _checksum(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except HoldallError as err:
        raise InvalidInput(
            f'--checksum="{text}" is none of a URL\'s content', hint="write sha256: or sha512: and hexadecimal digits"
        ) from err


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except OSError as err:
            raise failure(err, "cannot store the download") from err
