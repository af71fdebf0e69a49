"""A stage walked instruction by instruction: each either changes the configuration or becomes a layer."""

from __future__ import annotations

from holdall.build import copying, keys, lookup, owners, settings
from holdall.build.state import LayerRef, State
from holdall.dockerfile import heredoc
from holdall.dockerfile.instructions import Add, Arg, Copy, FileTransfer, Run, Workdir
from holdall.dockerfile.location import at
from holdall.errors import DockerfileError, StepFailed
from holdall.oci.history import History
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdall.build.build import Build
    from holdall.build.copying import Piece
    from holdall.build.tree import Tree
    from holdall.dockerfile.instructions import Instruction
    from holdall.dockerfile.mount import Mount
    from holdall.dockerfile.scope import Settings
    from holdall.dockerfile.stages import Stage

SCRIPT = "/dev/pipes/script"
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")


@record
class RunStep:
    """One RUN, ready to be executed. `script` is a heredoc's program, found at /dev/pipes/SCRIPT by the command."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    user: str
    network: str
    mounts: tuple[Mount, ...]
    what: str
    script: str = ""


@record
class RunWork:
    """A RUN with what it stands on. `files` maps the number of a bind mount to the folder on the host it shows; files
    that the command writes get the time `epoch` (seconds) when theirs is later."""

    step: RunStep
    diff_ids: tuple[str, ...]
    files: Mapping[int, str]
    epoch: int


class Walker:
    """Walks one stage of a build."""

    def __init__(self, build: Build, stage: Stage, given: Settings) -> None:
        self.build = build
        self.stage = stage
        self.given = given

    def step(self, state: State, instruction: Instruction) -> State:
        """The state after one instruction. Raises DockerfileError that shows the line, and what the step raises."""
        source = self.build.dockerfile.source
        try:
            done, scope = state.scope.step(instruction, self.given)
            state = replace(state, scope=scope)
            return self._apply(state, done.instruction)
        except DockerfileError as err:
            raise (err if err.start else at(source, instruction.location, err)) from err
        except StepFailed as err:
            raise StepFailed(
                f"{source.name}:{instruction.location.start}: {err.message}", code=err.code,
                excerpt=source.excerpt(instruction.location),
            ) from err  # fmt: skip

    def _apply(self, state: State, instruction: Instruction) -> State:
        if isinstance(instruction, Run):
            return self._run(state, instruction)
        if isinstance(instruction, FileTransfer):
            return self._transfer(state, instruction)
        if isinstance(instruction, Workdir):
            return self._workdir(state, instruction)
        changed = settings.apply(state, instruction)
        if changed is None:
            raise DockerfileError(f"{instruction.name} is not supported")
        return changed if isinstance(instruction, Arg) else self._noted(changed, instruction)

    def _noted(self, state: State, instruction: Instruction) -> State:
        history = History(self.build.created, instruction.line, state.author, "holdall build", empty_layer=True)
        return replace(state, history=(*state.history, history))

    def _layered(self, state: State, instruction: Instruction, layer: LayerRef) -> State:
        history = History(self.build.created, instruction.line, state.author, "holdall build")
        return state.with_layer(layer, history)

    # RUN

    def _run(self, state: State, instruction: Run) -> State:
        _check_run(instruction)
        args, script = self._argv(state, instruction)
        step = RunStep(
            args=args,
            env=tuple(f"{name}={value}" for name, value in state.scope.env.items()),
            working_dir=state.config.working_dir or "/",
            user=state.config.user,
            network="none" if instruction.network == "none" else "host" if instruction.network == "host" else "",
            mounts=instruction.mounts or (),
            what=instruction.line,
            script=script,
        )
        facts = [
            step.args, step.script, sorted(step.env), step.working_dir, step.user, step.network,
            [_facts_of(self, mount) for mount in step.mounts],
        ]  # fmt: skip
        key = keys.key("run", state.diff_ids, facts)
        layer = self.build.cached(key, instruction) or self.build.run(state, step, key, instruction)
        return self._layered(state, instruction, layer)

    def _argv(self, state: State, instruction: Run) -> tuple[tuple[str, ...], str]:
        """argv, and the script it is, when a heredoc alone is the command and says by `#!` what reads it."""
        line = instruction.command
        if not line.heredocs:
            return settings.command(state, line), ""
        if not line.is_shell:
            raise DockerfileError("a heredoc needs the shell form of RUN")
        first, text = line.heredocs[0], line.arguments[0].strip()
        if len(line.heredocs) == 1 and heredoc.parse_word(text) is not None:
            if first.body.startswith("#!"):
                return (SCRIPT,), first.body
            return (*state.shell, first.body), ""
        bodies = "".join([f"{one.content}{one.name}\n" for one in line.heredocs])
        return (*state.shell, f"{line.arguments[0]}\n{bodies}"), ""

    # COPY and ADD

    def _transfer(self, state: State, instruction: FileTransfer) -> State:
        _check_transfer(instruction)
        tree, lower = self._source(instruction), self.build.below(state)
        return self._copied(
            state, instruction, copying.plan(self._request(state, instruction, lower), tree, lower), tree
        )

    def _copied(self, state: State, instruction: Instruction, pieces: tuple[Piece, ...], tree: Tree | None) -> State:
        """One layer more, of these files: from the cache or written."""
        key = keys.key("copy", state.diff_ids, keys.contents(pieces, tree, self.build.digests))
        layer = self.build.cached(key, instruction) or self.build.write(pieces, tree, key, instruction)
        return self._layered(state, instruction, layer)

    def _source(self, instruction: FileTransfer) -> Tree | None:
        word = instruction.source if isinstance(instruction, Copy) else ""
        return self.build.files_of(self.stage, word, instruction) if word else self.build.context_files()

    def _request(self, state: State, instruction: FileTransfer, lower: int | None) -> copying.Request:
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
            epoch=self.build.epoch,
        )

    # WORKDIR

    def _workdir(self, state: State, instruction: Workdir) -> State:
        path = settings.workdir(state, instruction.path)
        state = replace(state, config=replace(state.config, working_dir=path))
        pieces = self._folders(state, path, self.build.below(state))
        return self._copied(state, instruction, pieces, None) if pieces else self._noted(state, instruction)

    def _folders(self, state: State, path: str, lower: int | None) -> tuple[Piece, ...]:
        """The missing folders of a path, with those above them as they are; nothing when it is there."""
        parts = path.strip("/").split("/")
        paths = ["/".join(parts[: count + 1]) for count in range(len(parts))] if parts != [""] else []
        places = [lookup.find(lower, one) if lower is not None else lookup.Found(one, None) for one in paths]
        if all(there.is_folder for there in places):
            return ()
        owner = owners.owner(lower, state.config.user) if state.config.user else (0, 0)
        found = {there.path: copying.folder_entry(there.path, there, owner, self.build.epoch) for there in places}
        return tuple([copying.Piece(found[path]) for path in sorted(found)])


def _check_run(instruction: Run) -> None:
    if instruction.security != "sandbox":
        raise DockerfileError(f"RUN --security={instruction.security} is not supported")
    if instruction.devices:
        raise DockerfileError("RUN --device is not supported")
    for mount in instruction.mounts or ():
        if mount.type == "ssh":
            raise DockerfileError("RUN --mount=type=ssh is not supported")
        if mount.source_stage:
            raise DockerfileError(
                f"RUN --mount=type={mount.type},from={mount.source_stage} is not supported", hint="use COPY --from"
            )
        if mount.sharing == "private":
            raise DockerfileError(
                "RUN --mount=type=cache,sharing=private is not supported", hint="give it an id of its own"
            )


def _check_transfer(instruction: FileTransfer) -> None:
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


def _facts_of(walker: Walker, mount: Mount) -> object:
    """What of a mount the layer depends on: contents of bind mounts, only the place of the others."""
    if mount.type != "bind":
        return [mount.type, mount.target, mount.id, mount.readonly]
    return [mount.type, mount.target, mount.readonly, walker.build.bound(mount)]
