"""The variables of a stage while its instructions are walked: a pure state, stepped by ARG and ENV.

A stage that begins FROM another stage goes on with that stage's last scope; one that begins FROM an image starts with
the image's environment and no arguments.
"""

from __future__ import annotations

from holdall.dockerfile.arguments import NEVER_IN_ENVIRONMENT
from holdall.dockerfile.expand import Expansion, expand
from holdall.dockerfile.instructions import Arg, ArgDefinition, Env, Instruction
from holdall.dockerfile.shell import Lexer
from holdall.errors import DockerfileError
from holdall.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from holdall.dockerfile.location import Source


@record
class Settings:
    """What is the same for all stages of a build: global arguments, the ones given, escape character, source."""

    global_arguments: Mapping[str, str]
    build_arguments: Mapping[str, str]
    escape: str = "\\"
    source: Source | None = None


@record
class Scope:
    """`env` is what expansion and RUN see; `declared` the ARGs so far with their values (None: without one).

    `from_arguments` names the variables of `env` whose value an ARG gave: they are not in the image's config.
    """

    env: Mapping[str, str]
    declared: tuple[tuple[str, str | None], ...] = ()
    from_arguments: frozenset[str] = frozenset()

    @classmethod
    def of_image(cls, env: Iterable[str]) -> Scope:
        """The scope at the start of a stage from an image with this Config.Env."""
        pairs = (entry.partition("=") for entry in env)
        return cls({name: value for name, _, value in pairs})

    def step(self, instruction: Instruction, settings: Settings) -> tuple[Expansion, Scope]:
        """`instruction` expanded, and the scope after it. Raises DockerfileError."""
        if isinstance(instruction, Arg):
            return self._declare(instruction, settings)
        done = expand(instruction, self.env, settings.escape, settings.source)
        if not isinstance(done.instruction, Env):
            return done, self
        pairs = {pair.name: pair.value for pair in done.instruction.pairs}
        return done, replace(self, env={**self.env, **pairs}, from_arguments=self.from_arguments - frozenset(pairs))

    def _declare(self, instruction: Arg, settings: Settings) -> tuple[Expansion, Scope]:
        lexer = Lexer(settings.escape, dict(self.env))
        declared = list(self.declared)
        done: list[ArgDefinition] = []
        env = dict(self.env)
        for definition in instruction.definitions:
            value = _value(definition, lexer, instruction, settings)
            done.append(replace(definition, default=value))
            declared.append((definition.name, value))
            if value is not None and definition.name not in NEVER_IN_ENVIRONMENT:
                env[definition.name] = value
                lexer.env = env
        given = frozenset(name for name, value in declared[len(self.declared) :] if value is not None)
        expansion = Expansion(
            replace(instruction, definitions=tuple(done)), frozenset(lexer.matched), frozenset(lexer.unmatched)
        )
        return expansion, Scope(env, tuple(declared), self.from_arguments | given)


def _value(definition: ArgDefinition, lexer: Lexer, instruction: Arg, settings: Settings) -> str | None:
    if definition.name in settings.build_arguments:
        return settings.build_arguments[definition.name]
    if definition.default is None:
        return settings.global_arguments.get(definition.name)
    try:
        return lexer.word(definition.default)
    except DockerfileError as err:
        if settings.source is None:
            raise
        raise settings.source.error(err.cause, instruction.location, err.hint) from err
