"""What one COPY or ADD is made of, in the order of its sources: files, archives, downloads, repositories.

Each part says what the layer depends on (`facts`, canonical JSON values) and, only if the layer has to be made, writes
its entries. Remote things are asked for the one, and fetched for the other.
"""

from __future__ import annotations

import os

from holdall.build import archives, copying
from holdall.build.contents import Contents, content_of
from holdall.build.tree import Tree
from holdall.dockerfile.location import visible
from holdall.errors import DockerfileError
from holdall.record import replace
from holdall.store import scratch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from holdall.build import gitsource
    from holdall.build.copying import Request
    from holdall.build.giturl import GitAddress
    from holdall.build.sources import Sources
    from holdall.build.tree import Match
    from holdall.build.urls import Remote
    from holdall.layer.writer import TarWriter

    class Part(Protocol):
        """One of them."""

        def facts(self) -> object:
            """What its entries depend on beside the layers below."""

        def write(self, tar: TarWriter) -> bool:
            """Write its entries; False when they may be others than `facts` said. Raises HoldallError."""


REMOTE_MODE = 0o600


class FilesPart:
    """Files of a tree, and heredocs."""

    def __init__(self, sources: Sources, request: Request, tree: Tree | None, lower: int | None, chosen: list[Match]):
        self._contents = Contents(copying.plan(request, tree, lower, chosen), tree, sources.digests)

    def facts(self) -> object:
        """See Part."""
        return ["files", self._contents.digest()]

    def write(self, tar: TarWriter) -> bool:
        """See Part."""
        return self._contents.write(tar)


class ArchivePart:
    """An archive of a tree, unpacked."""

    def __init__(self, sources: Sources, request: Request, tree: Tree, lower: int | None, match: Match) -> None:
        self._sources = sources
        self._tree = tree
        self._item = next(iter(tree.below(match, None)))
        self._target = _folder(request, lower)

    def facts(self) -> object:
        """See Part."""
        content = content_of(self._tree, self._item, self._sources.digests)
        return ["archive", content, self._target.folder, self._target.owner]

    def write(self, tar: TarWriter) -> bool:
        """See Part."""
        with open(self._tree.open(self._item), "rb", buffering=0) as file:
            archives.write(file, self._target, tar)
            now = os.fstat(file.fileno())
        before = self._item.status
        return (now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (
            before.st_size, before.st_mtime_ns, before.st_ctime_ns,
        )  # fmt: skip


class UrlPart:
    """What is behind a URL: a file of mode 600, or, with `unpack`, what is in it if it is an archive.

    `tell` gets bytes and total (0: unknown) while it is fetched.
    """

    def __init__(
        self,
        sources: Sources,
        request: Request,
        lower: int | None,
        remote: Remote,
        *,
        unpack: bool,
        tell: Callable[[int, int], None] | None = None,
    ) -> None:
        self._tell = tell
        self._sources = sources
        self._remote = remote
        self._unpack = _folder(request, lower) if unpack else None
        there, into = copying.place(request, lower, 1)
        if into and not remote.name and remote.pinned:
            # only the server knows the name
            remote = self._remote = replace(remote, name=sources.downloads.look(remote.url).name)
        name = remote.name if into else "file"
        if not name:
            raise DockerfileError(
                f'"{visible(remote.url[:200])}" names no file',
                hint="end the destination with a name in place of a slash",
            )
        asked = replace(request, sources=(), files=((name, b""),))
        self._pieces = copying.plan(asked, None, lower)
        self._path = os.fsencode(f"{there.path}/{name}" if into and there.path else name if into else there.path)
        chmod = request.chmod
        self._mode = REMOTE_MODE if chmod is None else chmod.applied(REMOTE_MODE, is_folder=False)

    def facts(self) -> object:
        """See Part."""
        places = Contents(self._pieces, None, self._sources.digests).digest()
        unpack = None if self._unpack is None else [self._unpack.folder, self._unpack.owner]
        return ["url", self._remote.content, places, self._mode, unpack]

    def write(self, tar: TarWriter) -> bool:
        """See Part."""
        with self._sources.downloads.open(self._remote, self._tell) as body:
            if self._unpack is not None and archives.is_archive(body.fileno()):
                archives.write(body, self._unpack, tar)
                return True
            size = os.fstat(body.fileno()).st_size
            for piece in self._pieces:
                if piece.entry.name == self._path:
                    tar.add(replace(piece.entry, mode=self._mode, size=size), body.fileno())
                else:
                    tar.add(piece.entry)
        return True


class GitPart:
    """The files of a commit."""

    def __init__(
        self, sources: Sources, request: Request, lower: int | None, address: GitAddress, *, keep_git_dir: bool
    ) -> None:
        self._sources = sources
        self._request = replace(request, sources=(".",), parents=False)
        self._lower = lower
        self._address = address
        self._keep_git_dir = keep_git_dir and not address.folder
        self._commit: gitsource.Commit | None = None
        there, _ = copying.place(self._request, lower, 1)
        if there.status is not None and not there.is_folder:
            raise DockerfileError(f'the destination "{request.destination}" is there and no folder')

    def _found(self) -> gitsource.Commit:
        if self._commit is None:
            self._commit = self._sources.repositories.commit(self._address)
        return self._commit

    def facts(self) -> object:
        """See Part."""
        request, commit = self._request, self._found()
        kept = [self._address.remote, commit.ref] if self._keep_git_dir else None
        return [
            "git", commit.id, self._address.folder, self._address.submodules, kept, request.destination, request.owner,
            repr(request.chmod), request.excludes,
        ]  # fmt: skip

    def write(self, tar: TarWriter) -> bool:
        """See Part."""
        with scratch.folder(self._sources.paths) as folder:
            files = f"{folder}/files"
            os.mkdir(files, 0o755)
            self._sources.repositories.checkout(self._address, self._found(), files, keep_git_dir=self._keep_git_dir)
            fd = os.open(files, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                tree = Tree(fd, own=True)
                return Contents(copying.plan(self._request, tree, self._lower), tree, None).write(tar)
            finally:
                os.close(fd)


def _folder(request: Request, lower: int | None) -> archives.Target:
    there, _ = copying.place(replace(request, several=True), lower, 1)
    return archives.Target(there.path, lower, request.owner, request.epoch)
