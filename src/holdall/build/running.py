"""RUN: what of it the layer depends on, and the command made ready for the engine."""

from __future__ import annotations

import os

from holdall.build import keys, lookup, settings
from holdall.build.copying import Request, plan
from holdall.build.progress import event
from holdall.dockerfile import heredoc
from holdall.errors import DockerfileError
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdall.build.build import Build
    from holdall.build.progress import Step
    from holdall.build.state import LayerRef, State
    from holdall.build.walking import Walker
    from holdall.dockerfile.instructions import Run
    from holdall.dockerfile.mount import Mount

SCRIPT = "/dev/pipes/script"


@record
class RunStep:
    """One RUN, ready to be executed. `script` is a heredoc's program, found at /dev/pipes/script by the command."""

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


def run(walker: Walker, state: State, instruction: Run, step: Step) -> LayerRef:
    """The layer of a RUN. Raises DockerfileError, StepFailed, StartError."""
    _check(instruction)
    build = walker.build
    args, script = _argv(state, instruction)
    ready = RunStep(
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
        ready.args, ready.script, sorted(ready.env), ready.working_dir, ready.user, ready.network,
        [_facts_of(build, mount) for mount in ready.mounts],
    ]  # fmt: skip

    def tell(data: bytes) -> None:
        build.report(event(step, "output", data))

    def files() -> dict[int, str]:
        return {number: _bound_folder(build, one) for number, one in enumerate(ready.mounts) if one.type == "bind"}

    return walker.layer(
        step,
        keys.key("run", state.diff_ids, facts),
        lambda out: build.runner.run(RunWork(ready, state.diff_ids, files(), build.epoch), out, tell),
        job=True,
    )


def _argv(state: State, instruction: Run) -> tuple[tuple[str, ...], str]:
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


def _check(instruction: Run) -> None:
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


def _facts_of(build: Build, mount: Mount) -> object:
    """What of a mount the layer depends on: contents of bind mounts, only the place of the others."""
    if mount.type != "bind":
        return [mount.type, mount.target, mount.id, mount.readonly]
    tree = build.sources.context()
    shown = plan(Request((mount.source or ".",), "/bound/"), tree, None)
    return [mount.type, mount.target, mount.readonly, keys.contents(shown, tree, build.sources.digests)]


def _bound_folder(build: Build, mount: Mount) -> str:
    """The folder or file of the build context that a bind mount shows; the ignore file has no say in it."""
    tree = build.sources.context()
    if tree is None:
        raise DockerfileError("a bind mount needs a build context")
    found = lookup.find(tree.root, mount.source)
    if found.status is None:
        raise DockerfileError(f'"{mount.source}" is not there', hint="paths are relative to the build context")
    return os.path.join(os.path.realpath(build.options.context), found.path)
