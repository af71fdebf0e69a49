"""Instructions that only change the configuration: pure functions from a state to the next."""

from __future__ import annotations

import posixpath
import re

from holdall.dockerfile import ports
from holdall.dockerfile.instructions import (
    Arg,
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    Stopsignal,
    User,
    Volume,
)
from holdall.errors import DockerfileError
from holdall.oci.healthcheck import Healthcheck as ImageHealthcheck
from holdall.record import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from holdall.build.state import State
    from holdall.dockerfile.instructions import CommandLine, Instruction

SIGNAL = re.compile(r"[A-Za-z0-9+]+\Z")


def apply(state: State, instruction: Instruction) -> State | None:
    """The state after an (expanded) instruction that makes no layer; None for one that does. Raises DockerfileError."""
    change = _CHANGES.get(type(instruction))
    return None if change is None else change(state, instruction)


def workdir(state: State, path: str) -> str:
    """The absolute folder that `path` means now."""
    return posixpath.normpath(posixpath.join("/", state.config.working_dir or "/", path))


def command(state: State, line: CommandLine) -> tuple[str, ...]:
    """argv of a command line: shell forms are given to the state's shell."""
    return (*state.shell, *line.arguments) if line.is_shell else line.arguments


def _configured(state: State, **changes: Any) -> State:
    return replace(state, config=replace(state.config, **changes))


def _arg(state: State, _instruction: Arg) -> State:
    return state


def _env(state: State, instruction: Env) -> State:
    env = {entry.partition("=")[0]: entry for entry in state.config.env}
    env.update({pair.name: f"{pair.name}={pair.value}" for pair in instruction.pairs})
    return _configured(state, env=tuple(env.values()))


def _label(state: State, instruction: Label) -> State:
    return _configured(state, labels={**state.config.labels, **{pair.name: pair.value for pair in instruction.pairs}})


def _cmd(state: State, instruction: Cmd) -> State:
    done = _configured(state, cmd=command(state, instruction.command), args_escaped=False)
    return replace(done, cmd_set=True)


def _entrypoint(state: State, instruction: Entrypoint) -> State:
    cmd = state.config.cmd if state.cmd_set else None
    return _configured(state, entrypoint=command(state, instruction.command), cmd=cmd)


def _expose(state: State, instruction: Expose) -> State:
    found = set(state.config.exposed_ports)
    for text in instruction.ports:
        found.update(ports.parse(text).names())
    return _configured(state, exposed_ports=tuple(sorted(found)))


def _volume(state: State, instruction: Volume) -> State:
    return _configured(state, volumes=tuple(sorted({*state.config.volumes, *instruction.paths})))


def _user(state: State, instruction: User) -> State:
    return _configured(state, user=instruction.user)


def _shell(state: State, instruction: Shell) -> State:
    return _configured(state, shell=instruction.arguments)


def _stopsignal(state: State, instruction: Stopsignal) -> State:
    if not SIGNAL.match(instruction.signal):
        raise DockerfileError(f'"{instruction.signal}" is no signal', hint="write a name as SIGTERM or a number")
    return _configured(state, stop_signal=instruction.signal)


def _onbuild(state: State, instruction: Onbuild) -> State:
    return _configured(state, on_build=(*state.config.on_build, instruction.expression))


def _maintainer(state: State, instruction: Maintainer) -> State:
    return replace(state, author=instruction.author)


def _healthcheck(state: State, instruction: Healthcheck) -> State:
    test = instruction.test
    return _configured(
        state,
        healthcheck=ImageHealthcheck(
            test,
            instruction.interval,
            instruction.timeout,
            instruction.start_period,
            instruction.start_interval,
            instruction.retries,
        ),
    )


_CHANGES: dict[type, Callable[[Any, Any], State]] = {
    Arg: _arg,
    Cmd: _cmd,
    Entrypoint: _entrypoint,
    Env: _env,
    Expose: _expose,
    Healthcheck: _healthcheck,
    Label: _label,
    Maintainer: _maintainer,
    Onbuild: _onbuild,
    Shell: _shell,
    Stopsignal: _stopsignal,
    User: _user,
    Volume: _volume,
}
