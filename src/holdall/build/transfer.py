"""COPY, ADD and WORKDIR: from the instruction to a plan of entries, and the layer they make."""

from __future__ import annotations

from holdall.build import copying, keys, lookup, owners, settings
from holdall.dockerfile.instructions import Add, Copy
from holdall.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdall.build.copying import Piece
    from holdall.build.progress import Step
    from holdall.build.state import LayerRef, State
    from holdall.build.tree import Tree
    from holdall.build.walking import Walker
    from holdall.dockerfile.instructions import FileTransfer

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")


def transfer(walker: Walker, state: State, instruction: FileTransfer, step: Step) -> LayerRef:
    """The layer of a COPY or ADD. Raises DockerfileError."""
    _check(instruction)
    word = instruction.source if isinstance(instruction, Copy) else ""
    if word:
        tree: Tree | None = walker.solver.files_of(walker.stage, word, instruction)
    else:
        tree = walker.build.sources.context()
    lower = below(walker, state)
    pieces = copying.plan(_request(state, instruction, lower, walker.build.epoch), tree, lower)
    return _copied(walker, state, step, pieces, tree)


def folders(walker: Walker, state: State, path: str) -> tuple[Piece, ...]:
    """The missing folders of a WORKDIR, with those above them as they are; nothing when it is there."""
    lower = below(walker, state)
    parts = path.strip("/").split("/")
    paths = ["/".join(parts[: count + 1]) for count in range(len(parts))] if parts != [""] else []
    places = [lookup.find(lower, one) if lower is not None else lookup.Found(one, None) for one in paths]
    if all(there.is_folder for there in places):
        return ()
    owner = owners.owner(lower, state.config.user) if state.config.user else (0, 0)
    found = {there.path: copying.folder_entry(there.path, there, owner, walker.build.epoch) for there in places}
    return tuple([copying.Piece(found[path]) for path in sorted(found)])


def made(walker: Walker, state: State, pieces: tuple[Piece, ...], step: Step) -> LayerRef:
    """The layer of these folders."""
    return _copied(walker, state, step, pieces, None)


def below(walker: Walker, state: State) -> int | None:
    """The files a step stands on, as a descriptor; None for no layers."""
    return walker.build.sources.view(state.diff_ids) if state.layers else None


def _copied(walker: Walker, state: State, step: Step, pieces: tuple[Piece, ...], tree: Tree | None) -> LayerRef:
    key = keys.key("copy", state.diff_ids, keys.contents(pieces, tree, walker.build.sources.digests))
    return walker.layer(step, key, lambda out: copying.write(pieces, tree, out))


def _request(state: State, instruction: FileTransfer, lower: int | None, epoch: int) -> copying.Request:
    destination = instruction.destination
    absolute = settings.workdir(state, destination)
    if destination.endswith(("/", "/.")) or destination in (".", ""):
        absolute = absolute.rstrip("/") + "/"
    return copying.Request(
        sources=instruction.sources,
        destination=absolute,
        files=tuple((file.name, file.data.encode("utf-8", "surrogateescape")) for file in instruction.files),
        owner=owners.owner(lower, instruction.chown) if instruction.chown else None,
        chmod=_mode(instruction.chmod),
        parents=isinstance(instruction, Copy) and instruction.parents,
        excludes=instruction.excludes,
        epoch=epoch,
    )


def _check(instruction: FileTransfer) -> None:
    if instruction.link:
        raise DockerfileError(f"{instruction.name} --link is not supported")
    if not isinstance(instruction, Add):
        return
    for word in instruction.sources:
        if "://" in word or word.startswith("git@"):
            raise DockerfileError(f'ADD of "{word}" is not supported: only files of the build context are')
        if word.endswith(ARCHIVES) and instruction.unpack is not False:
            raise DockerfileError(f'ADD does not unpack "{word}"', hint="use COPY, or unpack it in a RUN")
    if instruction.unpack or instruction.checksum or instruction.keep_git_dir:
        raise DockerfileError("ADD --unpack, --checksum and --keep-git-dir are not supported")


def _mode(text: str) -> int | None:
    if not text:
        return None
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise DockerfileError(f'--chmod="{text}" is not supported', hint="give the mode in octal, as 755")
    return mode
