"""RUN: what of it the layer depends on, and the command made ready for the engine."""

from __future__ import annotations

import posixpath

from holdall.build import binds, foreign, settings
from holdall.build.progress import event
from holdall.dockerfile import arguments, heredoc
from holdall.errors import DockerfileError, StepFailed
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdall.build.binds import Bound
    from holdall.build.options import BuildOptions
    from holdall.build.progress import Step
    from holdall.build.secrets import Vault
    from holdall.build.state import LayerRef, State
    from holdall.build.walking import Walker
    from holdall.dockerfile.device import Device
    from holdall.dockerfile.instructions import Run
    from holdall.dockerfile.mount import Mount
    from holdall.layer.hashing import Writable

SCRIPT = "/dev/pipes/script"
SSH_AUTH_SOCK = "SSH_AUTH_SOCK"
HOSTNAME = "buildkitsandbox"
"""What BuildKit calls the machine: a name of its own for each step would end up in layers."""
HOSTNAME_ARGUMENT = "BUILDKIT_SANDBOX_HOSTNAME"


@record
class RunStep:
    """One RUN, ready to be executed.

    `script` is a heredoc's program, found at /dev/pipes/script by the command. `shell` is the stage's. `proxies` are
    variables that nothing depends on. Targets of `mounts` are absolute (but for secrets that are only variables).
    """

    args: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    user: str
    network: str
    mounts: tuple[Mount, ...]
    what: str
    script: str = ""
    security: str = "sandbox"
    devices: tuple[Device, ...] = ()
    shell: tuple[str, ...] = ()
    hostname: str = HOSTNAME
    proxies: tuple[str, ...] = ()


@record
class RunWork:
    """A RUN with what it stands on. `binds` maps the number of a mount to what it shows or begins with; files that the
    command writes get the time `epoch` (seconds) when theirs is later. `own` are the layers that builds made, not those
    of a base image. `imported` gives, for the name of a cache
    mount's folder, what fills it from elsewhere when it is empty and says whether it did, or None.
    """

    step: RunStep
    diff_ids: tuple[str, ...]
    binds: Mapping[int, Bound]
    epoch: int
    vault: Vault
    imported: Callable[[str], Callable[[str], bool] | None] | None = None
    own: tuple[str, ...] = ()


def run(walker: Walker, state: State, instruction: Run, step: Step) -> LayerRef:
    """The layer of a RUN. Raises DockerfileError, StepFailed, StartError, Cancelled."""
    build = walker.build
    ready = _ready(state, instruction, build.options)
    _check(ready, build.options)
    bound = {number: binds.bound(walker, mount, instruction) for number, mount in enumerate(ready.mounts)
             if mount.type in ("bind", "cache")}  # fmt: skip
    known = _facts(walker, ready, build.options, bound)
    binding = {number: one for number, one in bound.items() if one}
    folders = {binds.cache_name(mount, bound[number]): mount.id
               for number, mount in enumerate(ready.mounts) if mount.type == "cache"}  # fmt: skip
    build.mounts.use(folders)
    own = tuple([str(layer.diff_id) for layer in state.layers if not layer.base])
    work = RunWork(ready, state.diff_ids, binding, build.epoch, build.vault, build.mounts.imported, own)

    def fill(out: Writable) -> None:
        blotter = build.blotter()

        def tell(data: bytes) -> None:
            if data:
                build.report(event(step, "output", data))

        foreign.check(state.platform)
        build.mounts.executed(folders)
        try:
            build.runner.run(work, out, lambda data: tell(blotter.feed(data)))
        except StepFailed as err:
            raise foreign.explained(err, state.platform) from err
        finally:
            tell(blotter.end())

    build.recorder.ran(step, ready, known, state.diff_ids)
    return walker.layer(step, build.key("run", state.diff_ids, known), fill, job=True)


def _ready(state: State, instruction: Run, options: BuildOptions) -> RunStep:
    args, script = _argv(state, instruction)
    env = dict(state.scope.env)
    mounts: list[Mount] = []
    for mount in instruction.mounts or ():
        number = sum(one.type == "ssh" for one in mounts)
        mounts.append(_placed(state, mount, number))
        if mount.type == "ssh" and not number:
            env[SSH_AUTH_SOCK] = mounts[-1].target
    network = instruction.network if instruction.network != "default" else options.network
    proxies = arguments.proxy_environment(options.build_args)
    return RunStep(
        args=args,
        env=tuple([f"{name}={value}" for name, value in env.items()]),
        working_dir=state.config.working_dir or "/",
        user=state.config.user,
        network="default" if network == "bridge" else network,
        mounts=tuple(mounts),
        what=instruction.line,
        script=script,
        security=instruction.security,
        devices=instruction.devices,
        shell=state.shell,
        hostname=options.build_args.get(HOSTNAME_ARGUMENT) or HOSTNAME,
        proxies=tuple([f"{name}={value}" for name, value in proxies.items() if name not in env]),
    )


def _placed(state: State, mount: Mount, number: int) -> Mount:
    """With the id and the target that it has when none is given; `number` counts the ssh mounts."""
    if mount.type == "secret":
        name = mount.source or mount.id or mount.target.rpartition("/")[2]
        if mount.env is not None and not mount.target:
            return replace(mount, id=name, env=mount.env or name)
        return replace(
            mount, id=name, target=binds.target_of(state, mount) if mount.target else f"/run/secrets/{_base(name)}",
            env=None if mount.env is None else mount.env or name,
        )  # fmt: skip
    if mount.type == "ssh":
        target = binds.target_of(state, mount) if mount.target else f"/run/buildkit/ssh_agent.{number}"
        return replace(mount, id=mount.id or "default", target=target)
    if mount.type == "cache":
        mount = replace(mount, id=mount.id or posixpath.normpath(mount.target), sharing=mount.sharing or "shared")
    return replace(mount, target=binds.target_of(state, mount))


def _base(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


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


def _check(ready: RunStep, options: BuildOptions) -> None:
    """Refuse what the caller has not allowed. Raises DockerfileError."""
    needed = ["security.insecure"] if ready.security == "insecure" else []
    if ready.network == "host" and options.network != "host":
        needed.append("network.host")
    for name in needed:
        if name not in options.allow:
            raise DockerfileError(f"{name} is not allowed", hint=f"give the build --allow {name}")


def _facts(walker: Walker, ready: RunStep, options: BuildOptions, bound: Mapping[int, Bound | None]) -> object:
    """What the layer depends on, but for the layers below. Whatever is at its default is left out."""
    more: dict[str, object] = {}
    if ready.security != "sandbox":
        more["security"] = ready.security
    if ready.devices:
        more["devices"] = [[one.name, one.required] for one in ready.devices]
    if ready.hostname != HOSTNAME:
        more["hostname"] = ready.hostname
    if options.limits.facts is not None:
        more["limits"] = options.limits.facts
    mounts = [_mount_facts(walker, mount, bound.get(number)) for number, mount in enumerate(ready.mounts)]
    return [
        ready.args, ready.script, sorted(ready.env), ready.working_dir, ready.user, ready.network, mounts, more,
    ]  # fmt: skip


def _mount_facts(walker: Walker, mount: Mount, bound: Bound | None) -> object:
    """Contents of bind mounts and of what a cache begins with; of others the place and the looks only."""
    found = [
        mount.type,
        mount.target,
        mount.id,
        mount.readonly,
        mount.size,
        mount.env,
        mount.mode,
        mount.uid,
        mount.gid,
    ]
    return [*found, binds.facts(walker, bound)] if bound is not None else found
