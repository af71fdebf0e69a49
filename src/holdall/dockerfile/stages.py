"""A whole Dockerfile: global ARGs, then stages of typed instructions."""

from __future__ import annotations

from holdall.dockerfile import parser, typed
from holdall.dockerfile.directives import Directives
from holdall.dockerfile.instructions import Arg, From, Instruction
from holdall.dockerfile.location import Location, Source
from holdall.dockerfile.suggest import hint
from holdall.errors import DockerfileError
from holdall.record import record

MAX_STAGES = 1000


@record
class Stage:
    """FROM and what follows it. `index` counts from 0."""

    index: int
    start: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """The stage's name in lower case, "" without one."""
        return self.start.stage


@record
class Dockerfile:
    """What a Dockerfile says. `arguments` are the ARGs before the first FROM."""

    source: Source
    directives: Directives
    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    empty_continuations: tuple[Location, ...] = ()

    @property
    def escape(self) -> str:
        """The escape character."""
        return self.directives.escape

    def find(self, word: str, before: int | None = None) -> Stage | None:
        """The last stage called `word` (any case) or numbered so, among those before index `before`."""
        stages = self.stages[:before]
        for stage in reversed(stages):
            if stage.name and stage.name == word.lower():
                return stage
        if word.isascii() and word.isdigit() and len(word) < 10 and int(word) < len(stages):
            return stages[int(word)]
        return None

    def target(self, word: str = "") -> Stage:
        """The stage to build: named or numbered `word`, the last one for "". Raises DockerfileError."""
        if not word:
            return self.stages[-1]
        found = self.find(word)
        if found is None:
            names = [stage.name for stage in self.stages if stage.name]
            raise DockerfileError(f'no stage "{word}"', hint=_stage_hint(word, names), file=self.source.name)
        return found


def _stage_hint(word: str, names: list[str]) -> str | None:
    return hint(word.lower(), names) or ("stages: " + ", ".join(names[:20]) if names else None)


def read(data: bytes | str, name: str = "Dockerfile") -> Dockerfile:
    """Read a Dockerfile; `name` is for messages. Raises DockerfileError with place and excerpt."""
    tree = parser.parse(data, name)
    arguments: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for node in tree.nodes:
        made = typed.instruction(node, tree.source)
        if isinstance(made, From):
            stages.append((made, []))
        elif stages:
            stages[-1][1].append(made)
        elif isinstance(made, Arg):
            arguments.append(made)
        else:
            raise tree.source.error(f"{made.name} before the first FROM", made.location, "begin with FROM image")
    _check_count(stages, tree.source)
    done = tuple(Stage(index, start, tuple(body)) for index, (start, body) in enumerate(stages))
    return Dockerfile(tree.source, tree.directives, tuple(arguments), done, tree.empty_continuations)


def _check_count(stages: list[tuple[From, list[Instruction]]], source: Source) -> None:
    if not stages:
        raise DockerfileError("no stage to build", hint="begin with FROM image", file=source.name)
    if len(stages) > MAX_STAGES:
        raise source.error(f"more than {MAX_STAGES} stages", stages[MAX_STAGES][0].location)


def trigger(expression: str, place: Location, source: Source) -> Instruction:
    """The instruction an ONBUILD trigger of a base image stands for, placed at the FROM line `place`.

    Raises DockerfileError.
    """
    try:
        tree = parser.parse(expression, "ONBUILD trigger")
        if len(tree.nodes) != 1:
            raise DockerfileError("an ONBUILD trigger must be one instruction")
        made = typed.instruction(tree.nodes[0], tree.source)
    except DockerfileError as err:
        raise source.error(
            f'ONBUILD trigger "{expression[:100]}" of the base image: {err.cause}', place, err.hint
        ) from err
    if isinstance(made, From):
        raise source.error("FROM as an ONBUILD trigger of the base image", place)
    return type(made)(**{**made.__dict__, "location": place})
