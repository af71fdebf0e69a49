"""Expansion of one instruction with an environment: a new instruction, and which variables it asked for."""

from __future__ import annotations

from holdall.dockerfile import mount
from holdall.dockerfile.instructions import (
    Add,
    Copy,
    Env,
    Expose,
    InlineFile,
    Instruction,
    Label,
    NameValue,
    Run,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from holdall.dockerfile.shell import Lexer
from holdall.dockerfile.space import SPACE
from holdall.errors import DockerfileError
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdall.dockerfile.location import Source


@record
class Expansion:
    """An expanded instruction; `used` names were set, `missing` ones were not."""

    instruction: Instruction
    used: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


def expand(
    instruction: Instruction, env: Mapping[str, str], escape: str = "\\", source: Source | None = None
) -> Expansion:
    """Expand what the language expands in `instruction`: not RUN's, CMD's and ENTRYPOINT's commands, not ARG.

    RUN's mounts are made here. Raises DockerfileError, with place and excerpt when `source` is given.
    """
    expander = _EXPANDERS.get(type(instruction))
    if expander is None:
        return Expansion(instruction)
    lexer = Lexer(escape, env)
    try:
        done = expander(instruction, lexer)
    except DockerfileError as err:
        if source is None:
            raise
        raise source.error(err.cause, instruction.location, err.hint) from err
    return Expansion(done, frozenset(lexer.matched), frozenset(lexer.unmatched))


def _env(instruction: Env, lexer: Lexer) -> Env:
    return replace(instruction, pairs=_pairs(instruction.pairs, lexer))


def _label(instruction: Label, lexer: Lexer) -> Label:
    return replace(instruction, pairs=_pairs(instruction.pairs, lexer))


def _pairs(pairs: tuple[NameValue, ...], lexer: Lexer) -> tuple[NameValue, ...]:
    return tuple(NameValue(lexer.word(pair.name), lexer.word(pair.value), pair.legacy) for pair in pairs)


def _copy(instruction: Copy, lexer: Lexer) -> Copy:
    return replace(
        instruction,
        chown=lexer.word(instruction.chown),
        chmod=lexer.word(instruction.chmod),
        sources=tuple(map(lexer.word, instruction.sources)),
        destination=lexer.word(instruction.destination),
        files=tuple(_file(file, lexer) for file in instruction.files),
    )


def _add(instruction: Add, lexer: Lexer) -> Add:
    return replace(
        instruction,
        chown=lexer.word(instruction.chown),
        chmod=lexer.word(instruction.chmod),
        checksum=lexer.word(instruction.checksum),
        sources=tuple(map(lexer.word, instruction.sources)),
        destination=lexer.word(instruction.destination),
        files=tuple(_file(file, lexer) for file in instruction.files),
    )


def _file(file: InlineFile, lexer: Lexer) -> InlineFile:
    if not file.expand:
        return file
    # bodies follow a shell's rules whatever the escape directive says
    plain = Lexer("\\", lexer.env, keep_quotes=True)
    data = plain.word(file.data)
    lexer.matched |= plain.matched
    lexer.unmatched |= plain.unmatched
    return replace(file, data=data)


def _run(instruction: Run, lexer: Lexer) -> Run:
    mounts = tuple(mount.parse(text, lexer.word) for text in instruction.mount_flags)
    return replace(instruction, mounts=mounts)


def _workdir(instruction: Workdir, lexer: Lexer) -> Workdir:
    return replace(instruction, path=lexer.word(instruction.path))


def _user(instruction: User, lexer: Lexer) -> User:
    return replace(instruction, user=lexer.word(instruction.user))


def _stopsignal(instruction: Stopsignal, lexer: Lexer) -> Stopsignal:
    return replace(instruction, signal=lexer.word(instruction.signal))


def _volume(instruction: Volume, lexer: Lexer) -> Volume:
    paths = tuple(map(lexer.word, instruction.paths))
    if not all(path.strip(SPACE) for path in paths):
        raise DockerfileError("VOLUME cannot be an empty path")
    return replace(instruction, paths=paths)


def _expose(instruction: Expose, lexer: Lexer) -> Expose:
    return replace(instruction, ports=tuple(port for text in instruction.ports for port in lexer.words(text)))


_EXPANDERS: dict[type[Instruction], Callable[..., Instruction]] = {
    Add: _add,
    Copy: _copy,
    Env: _env,
    Expose: _expose,
    Label: _label,
    Run: _run,
    Stopsignal: _stopsignal,
    User: _user,
    Volume: _volume,
    Workdir: _workdir,
}
