"""Which stages a stage needs: its base, COPY --from and RUN --mount=from."""

from __future__ import annotations

from holdall.dockerfile.instructions import Copy, Instruction, Run
from holdall.dockerfile.location import Location
from holdall.dockerfile.shell import Lexer
from holdall.dockerfile.suggest import hint
from holdall.errors import DockerfileError
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from holdall.dockerfile.stages import Dockerfile, Stage


@record
class Need:
    """A word that names where files come from; `stage` is None when it is an image or a named context."""

    word: str
    location: Location
    stage: Stage | None


def base_stage(dockerfile: Dockerfile, stage: Stage, image: str) -> Stage | None:
    """The stage before `stage` that its expanded FROM names, or None: it is an image, a context or scratch."""
    for earlier in reversed(dockerfile.stages[: stage.index]):
        if earlier.name and earlier.name == image.lower():
            return earlier
    return None


def source(dockerfile: Dockerfile, stage: Stage, word: str, location: Location) -> Need:
    """What `word` in --from or from= means inside `stage`. Raises DockerfileError for itself or a later stage."""
    found = dockerfile.find(word, stage.index)
    if found is None:
        later = dockerfile.find(word)
        if later is not None and later.index == stage.index:
            raise dockerfile.source.error(f'stage "{word}" copies from itself', location)
        if later is not None:
            raise dockerfile.source.error(
                f'stage "{word}" is defined after it is used', location, "move that stage before this one"
            )
        if word.isascii() and word.isdigit():
            raise dockerfile.source.error(f"no stage number {word}", location)
    return Need(word, location, found)


def needs(dockerfile: Dockerfile, stage: Stage, instruction: Instruction) -> tuple[Need, ...]:
    """The sources an instruction names, in order. Raises DockerfileError."""
    if isinstance(instruction, Run):
        words = tuple(word for word in instruction.mount_sources if word)
    elif isinstance(instruction, Copy) and instruction.source:
        words = (instruction.source,)
        _check_constant(dockerfile, instruction)
    else:
        words = ()
    return tuple(source(dockerfile, stage, word, instruction.location) for word in words)


def _check_constant(dockerfile: Dockerfile, instruction: Copy) -> None:
    try:
        changed = Lexer(dockerfile.escape).word(instruction.source) != instruction.source
    except DockerfileError:
        changed = True
    if changed:
        raise dockerfile.source.error(
            f'--from takes no variables: "{instruction.source}"',
            instruction.location,
            "define a stage with FROM and a global ARG, and name that",
        )


def reachable(
    dockerfile: Dockerfile, target: Stage, images: Mapping[int, str], replaced: Container[str] = ()
) -> tuple[Stage, ...]:
    """The stages `target` needs with itself, in file order. Raises DockerfileError.

    `images` holds the expanded FROM image by stage index; stages named in `replaced` (by named contexts) need nothing.
    ONBUILD triggers of base images can add needs: ask `needs` for them.
    """
    wanted = {target.index}
    for stage in reversed(dockerfile.stages[: target.index + 1]):
        if stage.index not in wanted or (stage.name and stage.name in replaced):
            continue
        before = base_stage(dockerfile, stage, images.get(stage.index, stage.start.image))
        found = [before] if before else []
        for instruction in stage.instructions:
            found += [need.stage for need in needs(dockerfile, stage, instruction) if need.stage]
        wanted |= {needed.index for needed in found}
    return tuple(dockerfile.stages[index] for index in sorted(wanted))


def unknown_stage_hint(dockerfile: Dockerfile, stage: Stage, word: str) -> str | None:
    """ "did you mean" for a word that was taken for an image but may be a mistyped stage."""
    return hint(word.lower(), [earlier.name for earlier in dockerfile.stages[: stage.index] if earlier.name])
