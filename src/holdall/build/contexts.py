"""Where a build's files come from: the word that names the build context, and --build-context.

A folder is used where it lies. What comes from elsewhere (standard input, a URL, a git repository) is laid out in a
folder of the store that goes with the build. A Dockerfile is read from the context, never from where a symlink in a
foreign one leads to.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from holdall.build import lookup
from holdall.dockerfile import ignore
from holdall.dockerfile.lines import MAX_SIZE
from holdall.dockerfile.location import visible
from holdall.errors import DockerfileError, InvalidArchive, InvalidInput, InvalidOption, PathNotFound
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from holdall.build.giturl import GitAddress
    from holdall.build.options import BuildOptions
    from holdall.build.sources import Sources
    from holdall.layer.feed import Readable

STDIN = "-"
WEB = ("http://", "https://")
DOCKERFILE = "Dockerfile"
KEEP_GIT_DIR = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"
HEAD = 1 << 16


@record
class Context:
    """The build context: `folder` is on this machine, "" for none. `name` is the Dockerfile's for messages, `text` what
    it says. `ignore` are the patterns beside the Dockerfile, None for those of the context; `made` is when the commit
    was, in seconds since 1970.
    """

    folder: str
    name: str
    text: bytes
    ignore: bytes | None = None
    made: int | None = None


def opened(options: BuildOptions, sources: Sources) -> Context:
    """The context with its Dockerfile.

    Raises DockerfileError, InvalidOption, InvalidInput, PathNotFound, RegistryError, SystemFailure, Cancelled.
    """
    word = options.context
    if word and word != STDIN and os.path.isdir(word):
        return _local(options, sources, word)
    if word == STDIN:
        if options.stdin is None:
            raise InvalidOption('a context "-" needs the stream to read it from')
        return _stream(options, sources, options.stdin)
    from holdall.build import giturl

    address = giturl.parse(word, bare=True)
    if address is not None:
        folder = sources.folder()
        keep = address.keep_git_dir or options.build_args.get(KEEP_GIT_DIR, "").lower() in ("1", "t", "true")
        made = check_out(sources, address, folder, keep_git_dir=keep)
        return _foreign(options, sources, folder, made)
    if word.startswith(WEB):
        with sources.downloads.open(sources.downloads.look(word)) as body:
            return _stream(options, sources, body)
    if word:
        raise InvalidOption(
            f'the build context "{visible(word[:200])}" is no folder',
            hint="give a folder, for example ., the address of a git repository or an archive, or - for standard input",
        )
    name, text = _dockerfile(options, sources, "")
    return Context("", name, text)


def check_out(sources: Sources, address: GitAddress, folder: str, *, keep_git_dir: bool = False) -> int:
    """Lay a repository's files out in a folder; the time of the commit."""
    repositories = sources.repositories
    commit = repositories.commit(address)
    return repositories.checkout(address, commit, folder, keep_git_dir=keep_git_dir)


def lay_out(stream: Readable, folder: str) -> None:
    """Unpack an archive into a folder; everything is root's. Raises InvalidArchive, LimitExceeded, OSError."""
    from holdall.layer.compression import open_layer
    from holdall.layer.unpack import extract_into

    extract_into(open_layer(stream), folder, owner=(0, 0))


def _local(options: BuildOptions, sources: Sources, folder: str) -> Context:
    name, text = _dockerfile(options, sources, folder)
    if options.text is not None or options.dockerfile.startswith(WEB):
        return Context(folder, name, text)
    beside = os.path.abspath(name) + ".dockerignore"
    if not os.path.isfile(beside):
        return Context(folder, name, text)
    with open(beside, "rb") as file:
        return Context(folder, name, text, file.read(ignore.MAX_SIZE + 1))


def _dockerfile(options: BuildOptions, sources: Sources, folder: str) -> tuple[str, bytes]:
    if options.text is not None:
        return options.dockerfile or "-", options.text
    if options.dockerfile.startswith(WEB):
        with sources.downloads.open(sources.downloads.look(options.dockerfile)) as body:
            return posixpath.basename(options.dockerfile), body.read(MAX_SIZE + 1)
    path = options.dockerfile or os.path.join(folder, DOCKERFILE)
    if not options.dockerfile and not os.path.lexists(path) and os.path.isfile(os.path.join(folder, "dockerfile")):
        path = os.path.join(folder, "dockerfile")
    try:
        with open(path, "rb", opener=_opened) as file:
            return path, file.read(MAX_SIZE + 1)
    except (OSError, ValueError) as err:
        reason = (err.strerror or str(err)).lower() if isinstance(err, OSError) else "that is no path"
        raise DockerfileError(
            f'cannot read the Dockerfile "{visible(path)}": {reason}', hint="name it with -f, or - for standard input"
        ) from err


def _opened(path: str, flags: int) -> int:
    """Open without waiting for somebody at the other end; of FIFOs only a shell's own, as in -f <(…)."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    if stat.S_ISFIFO(os.fstat(fd).st_mode) and not os.path.realpath(path).startswith("/proc/"):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is a FIFO")
    os.set_blocking(fd, True)
    return fd


def _stream(options: BuildOptions, sources: Sources, stream: BinaryIO) -> Context:
    """An archive is the context; anything else is a Dockerfile without one."""
    from holdall.build import archives

    if stream.seekable():
        stream.seek(0)
    head = _read(stream, HEAD)
    whole = _Joined(head, stream)
    if not archives.begins_archive(head):
        if options.text is not None:
            raise InvalidArchive("what is to be the build context is no archive")
        return Context("", options.dockerfile or "-", _read(whole, MAX_SIZE + 1))
    folder = sources.folder()
    lay_out(whole, folder)
    return _foreign(options, sources, folder, None)


def _foreign(options: BuildOptions, sources: Sources, folder: str, made: int | None) -> Context:
    """The Dockerfile of a context that is not the user's own: looked up as in a chroot."""
    if options.text is not None or options.dockerfile.startswith(WEB):
        name, text = _dockerfile(options, sources, "")
        return Context(folder, name, text, None, made)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        names = (options.dockerfile,) if options.dockerfile else (DOCKERFILE, "dockerfile")
        name = next((one for one in names if lookup.find(fd, one).status is not None), names[0])
        if lookup.find(fd, name).status is None:
            raise DockerfileError(f'the build context has no Dockerfile "{visible(name)}"', hint="name it with -f")
        patterns = ignore.file_names(name)[0]
        beside = lookup.read(fd, patterns, ignore.MAX_SIZE) if lookup.find(fd, patterns).status is not None else None
        return Context(folder, name, lookup.read(fd, name, MAX_SIZE), beside, made)
    finally:
        os.close(fd)


def _read(stream: Readable, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := stream.read(size - len(data))):
        data += piece
    return data


class _Joined:
    """Bytes that were read already, then the rest of the stream."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        data, self._head = (self._head, b"") if size < 0 else (self._head[:size], self._head[size:])
        return data or self._stream.read(size)


@record
class Named:
    """One --build-context. `kind` is "folder", "file", "image", "layout", "git" or "url"; `value` what it needs."""

    name: str
    kind: str
    value: str

    @property
    def is_image(self) -> bool:
        """Whether it is an image; the others are files only."""
        return self.kind in ("image", "layout")


def named(name: str, value: str) -> Named:
    """What a named context is. Raises InvalidOption, InvalidInput."""
    for prefix, kind in (("docker-image://", "image"), ("oci-layout://", "layout")):
        if value.startswith(prefix):
            return Named(name, kind, value.removeprefix(prefix))
    if os.path.isdir(value):
        return Named(name, "folder", os.path.abspath(value))
    if os.path.isfile(value):
        return Named(name, "file", os.path.abspath(value))
    from holdall.build import giturl

    if giturl.parse(value, bare=True) is not None:
        return Named(name, "git", value)
    if value.startswith(WEB):
        return Named(name, "url", value)
    raise InvalidOption(
        f'the build context "{visible(name)}" is "{visible(value[:200])}", which is not there',
        hint="give a folder, a file, docker-image://NAME, oci-layout://FOLDER[:TAG], or an address",
    )


def in_folder(one: Named, sources: Sources) -> str:
    """The folder that a named context of files is, laid out if need be. Raises as `opened`."""
    if one.kind == "folder":
        return one.value
    folder = sources.folder()
    if one.kind == "git":
        from holdall.build import giturl

        address = giturl.parse(one.value, bare=True)
        assert address is not None
        check_out(sources, address, folder, keep_git_dir=bool(address.keep_git_dir))
    elif one.kind == "url":
        _fetched(one, sources, folder)
    else:
        with open(one.value, "rb", buffering=0) as file:
            _one_file(folder, posixpath.basename(one.value), file, os.fstat(file.fileno()).st_mode & 0o7777)
    return folder


def _fetched(one: Named, sources: Sources, folder: str) -> None:
    from holdall.build import archives

    remote = sources.downloads.look(one.value)
    with sources.downloads.open(remote) as body:
        if archives.is_archive(body.fileno()):
            lay_out(body, folder)
        else:
            _one_file(folder, remote.name or "context", body, 0o600)


def _one_file(folder: str, name: str, stream: BinaryIO, mode: int) -> None:
    with open(f"{folder}/{name}", "xb") as file:
        os.fchmod(file.fileno(), mode)
        while data := stream.read(1 << 20):
            file.write(data)


def split_layout(value: str) -> tuple[str, str, str]:
    """Folder, tag and digest of what is behind oci-layout://; the latter two may be "". Raises PathNotFound."""
    folder, _, digest = value.partition("@")
    tag = ""
    if not os.path.isdir(folder):
        before, colon, after = folder.rpartition(":")
        if colon and "/" not in after:
            folder, tag = before, after
    if not os.path.isdir(folder):
        raise PathNotFound(f'no folder "{visible(folder)}" for oci-layout://')
    return folder, tag, digest


def key_of(name: str) -> str:
    """How a named context's name and an image's are compared: without what is left out as a rule."""
    from holdall.oci.reference import Reference

    try:
        familiar = Reference.parse(name).familiar()
    except InvalidInput:
        return name
    return familiar.removesuffix(":latest")
