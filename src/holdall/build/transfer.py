"""COPY, ADD and WORKDIR: from the instruction to the parts of its layer, their key, and the layer."""

from __future__ import annotations

import os
import stat

from holdall.build import archives, copying, giturl, keys, lookup, modes, owners, settings
from holdall.build.parts import ArchivePart, FilesPart, GitPart, UrlPart
from holdall.build.progress import event
from holdall.dockerfile.instructions import Add, Copy
from holdall.errors import (
    DockerfileError,
    IntegrityError,
    InvalidInput,
    LimitExceeded,
    NotFound,
    RegistryError,
    Unsupported,
)
from holdall.layer.writer import TarWriter
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.build.copying import Piece, Request
    from holdall.build.parts import Part
    from holdall.build.progress import Step
    from holdall.build.state import LayerRef, State
    from holdall.build.tree import Match, Tree
    from holdall.build.walking import Walker
    from holdall.dockerfile.instructions import FileTransfer
    from holdall.layer.hashing import Writable

WEB = ("http://", "https://")


def transfer(walker: Walker, state: State, instruction: FileTransfer, step: Step) -> LayerRef:
    """The layer of a COPY or ADD. Raises DockerfileError, NoSpace, Cancelled."""
    try:
        parts = _Parts(walker, state, instruction, step).made()
        facts = [part.facts() for part in parts]
        kind, lower = ("link", ()) if instruction.link else ("copy", state.diff_ids)
        key = walker.build.key(kind, lower, facts)
        return walker.layer(step, key, lambda out: _write(parts, out))
    except DockerfileError:
        raise
    except (InvalidInput, IntegrityError, LimitExceeded, NotFound, RegistryError, Unsupported) as err:
        # of what the instruction names: it is shown with its line
        raise DockerfileError(err.message, hint=err.hint) from err


def folders(walker: Walker, state: State, path: str) -> tuple[Piece, ...]:
    """The missing folders of a WORKDIR, with those above them as they are; nothing when it is there."""
    lower = below(walker, state)
    parts = path.strip("/").split("/")
    paths = ["/".join(parts[: count + 1]) for count in range(len(parts))] if parts != [""] else []
    places = [lookup.find(lower, one) if lower is not None else lookup.Found(one, None) for one in paths]
    if all(there.is_folder for there in places):
        return ()
    try:
        owner = owners.owner(lower, state.config.user) if state.config.user else (0, 0)
    except DockerfileError:
        # whoever runs the image may have the name in a file that comes later; BuildKit takes root as well
        owner = (0, 0)
    found = {there.path: copying.folder_entry(there.path, there, owner, walker.build.epoch) for there in places}
    return tuple([copying.Piece(found[path]) for path in sorted(found)])


def made(walker: Walker, state: State, pieces: tuple[Piece, ...], step: Step) -> LayerRef:
    """The layer of these folders."""

    def fill(out: Writable) -> None:
        tar = TarWriter(out)
        for piece in pieces:
            tar.add(piece.entry)
        tar.close()

    facts = keys.contents(pieces, None, walker.build.sources.digests)
    return walker.layer(step, walker.build.key("folders", state.diff_ids, facts), fill)


def below(walker: Walker, state: State) -> int | None:
    """The files a step stands on, as a descriptor; None for no layers."""
    return walker.build.sources.view(state.diff_ids) if state.layers else None


def _write(parts: Sequence[Part], out: Writable) -> bool:
    """The layer's tar; False when something changed since its key was made."""
    tar = TarWriter(out)
    steady = [part.write(tar) for part in parts]
    tar.close()
    return all(steady)


class _Parts:
    """Sorts the sources of one instruction into parts, in their order."""

    def __init__(self, walker: Walker, state: State, instruction: FileTransfer, step: Step) -> None:
        self._walker = walker
        self._step = step
        self._sources = walker.build.sources
        self._instruction = instruction
        rootfs = below(walker, state) if instruction.chown or not instruction.link else None
        self._lower = None if instruction.link else rootfs
        self._request = _request(state, instruction, rootfs, walker.build.epoch)
        self._parts: list[Part] = []
        self._plain: list[Match] = []
        self._tree: Tree | None = None

    def made(self) -> list[Part]:
        """The parts. Raises DockerfileError."""
        instruction = self._instruction
        found = [(word, self._remote(word)) for word in instruction.sources]
        _check(instruction, [remote for _, remote in found])
        local = [self._matches(word) for word, remote in found if remote is None]
        several = sum(map(len, local)) + len(found) - len(local) + len(instruction.files) > 1
        self._request = replace(self._request, several=several)
        for word, remote in found:
            if remote is None:
                self._local(local.pop(0))
            elif isinstance(remote, giturl.GitAddress):
                self._git(remote)
            else:
                self._url(word)
        self._flush(files=True)
        return self._parts

    def _remote(self, word: str) -> giturl.GitAddress | str | None:
        """A repository's address, a URL, or None for files of a tree."""
        address = giturl.parse(word)
        remote = address or (word if word.startswith(WEB) else None)
        if remote is not None and isinstance(self._instruction, Copy):
            raise DockerfileError(f'COPY does not take "{word}": it is not in the build context', hint="use ADD")
        return remote

    def _matches(self, word: str) -> list[Match]:
        tree = self._files()
        return copying.matches(replace(self._request, sources=(word,)), tree)

    def _files(self) -> Tree:
        if self._tree is None:
            instruction, solver = self._instruction, self._walker.solver
            word = instruction.source if isinstance(instruction, Copy) else ""
            tree = solver.files_of(self._walker.stage, word, instruction) if word else self._sources.context()
            if tree is None:
                raise DockerfileError(
                    "there is no build context to copy from", hint="give a folder in place of -, or use --from"
                )
            self._tree = tree
        return self._tree

    def _local(self, matches: list[Match]) -> None:
        instruction = self._instruction
        for match in matches:
            if isinstance(instruction, Add) and instruction.unpack is not False and self._is_archive(match):
                self._flush()
                self._parts.append(ArchivePart(self._sources, self._request, self._files(), self._lower, match))
            else:
                self._plain.append(match)

    def _is_archive(self, match: Match) -> bool:
        if not stat.S_ISREG(match.status.st_mode) or not match.status.st_size:
            return False
        tree = self._files()
        fd = tree.open(next(iter(tree.below(match, None))))
        try:
            return archives.is_archive(fd)
        finally:
            os.close(fd)

    def _flush(self, *, files: bool = False) -> None:
        """Make the plain sources so far a part, at the end with the heredocs."""
        given = self._request.files if files else ()
        if self._plain or given:
            request = replace(self._request, files=given)
            self._parts.append(FilesPart(self._sources, request, self._tree, self._lower, self._plain))
            self._plain = []

    def _url(self, word: str) -> None:
        assert isinstance(self._instruction, Add)
        from holdall.build.http import shown

        self._flush()
        subject = shown(word)

        def tell(size: int, total: int) -> None:
            self._walker.build.report(event(self._step, "progress", size=size, total=total, subject=subject))

        remote = self._sources.downloads.look(word, self._instruction.checksum, tell)
        unpack = bool(self._instruction.unpack)
        self._parts.append(UrlPart(self._sources, self._request, self._lower, remote, unpack=unpack, tell=tell))

    def _git(self, address: giturl.GitAddress) -> None:
        instruction = self._instruction
        assert isinstance(instruction, Add)
        self._flush()
        keep, own = instruction.keep_git_dir, address.keep_git_dir
        if keep is not None and own is not None and keep != own:
            raise DockerfileError("--keep-git-dir and the address contradict each other")
        if instruction.checksum:
            if address.checksum and address.checksum != instruction.checksum:
                raise DockerfileError("--checksum and the address name two commits")
            address = replace(address, checksum=giturl.checksum(instruction.checksum))
        self._parts.append(GitPart(self._sources, self._request, self._lower, address, keep_git_dir=bool(keep or own)))


def _request(state: State, instruction: FileTransfer, rootfs: int | None, epoch: int) -> Request:
    destination = instruction.destination
    absolute = settings.workdir(state, destination)
    if destination.endswith(("/", "/.")) or destination in (".", ""):
        absolute = absolute.rstrip("/") + "/"
    return copying.Request(
        sources=instruction.sources,
        destination=absolute,
        files=tuple((file.name, file.data.encode("utf-8", "surrogateescape")) for file in instruction.files),
        owner=owners.owner(rootfs, instruction.chown) if instruction.chown else None,
        chmod=modes.parse(instruction.chmod),
        parents=isinstance(instruction, Copy) and instruction.parents,
        excludes=instruction.excludes,
        epoch=epoch,
    )


def _check(instruction: FileTransfer, remotes: Sequence[object]) -> None:
    if isinstance(instruction, Add) and instruction.checksum:
        if len(remotes) != 1 or instruction.files:
            raise DockerfileError("--checksum is for one source only")
        if remotes[0] is None:
            raise DockerfileError("--checksum is for URLs and git repositories", hint="leave it out for local files")
