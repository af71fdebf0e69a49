"""Typed instructions, their refusals, stages and dependencies."""

from __future__ import annotations

import pytest

from holdall.dockerfile import dependencies, stages
from holdall.dockerfile.instructions import Copy, Healthcheck, Run
from holdall.dockerfile.location import Location
from holdall.errors import DockerfileError


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("FROM", "one or three"),
        ("FROM a b", "one or three"),
        ("FROM a AS 1x", "stage name"),
        ("FROM --plattform=x a", "unknown flag"),
        ("ARG", "at least one"),
        ("ARG =x", "blank"),
        ("ENV", "at least one"),
        ("ENV a", "two arguments"),
        ("ENV a=b c", "no = in"),
        ("ENV =b", "blank"),
        ("LABEL --x a=b", "unknown flag"),
        ("COPY a", "two arguments"),
        ("COPY --link=maybe a b", "true or false"),
        ("COPY --link= a b", "empty value"),
        ("COPY --from a b", "needs a value"),
        ("COPY --from=a --from=b c d", "twice"),
        ("COPY --checksum=x a b", "unknown flag"),
        ("COPY a <<EOF\nEOF", "destination"),
        ("ADD --parents a b", "unknown flag"),
        ("RUN --network=bridge x", "network mode"),
        ("RUN --security=none x", "security mode"),
        ("RUN --mount=from=$x,target=/y z", "no variables"),
        ("RUN --device=a,b z", "key=value"),
        ("HEALTHCHECK", "at least one"),
        ("HEALTHCHECK x", "unknown type"),
        ("HEALTHCHECK CMD", "needs a command"),
        ("HEALTHCHECK NONE x", "no arguments"),
        ("HEALTHCHECK --interval=1 CMD x", "invalid duration"),
        ("HEALTHCHECK --interval=1us CMD x", "below 1ms"),
        ("HEALTHCHECK --retries=-1 CMD x", "negative"),
        ("HEALTHCHECK --retries=a CMD x", "invalid value"),
        ("SHELL /bin/sh", "JSON array"),
        ("SHELL []", "at least one"),
        ("ONBUILD", "at least one"),
        ("ONBUILD ONBUILD RUN x", "trigger of ONBUILD"),
        ("ONBUILD FROM x", "FROM cannot be"),
        ("VOLUME", "at least one"),
        ('VOLUME [""]', "empty"),
        ("USER", "exactly one"),
        ("WORKDIR", "exactly one"),
        ("STOPSIGNAL", "exactly one"),
        ("EXPOSE", "at least one"),
        ("MAINTAINER", "exactly one"),
        ("NOSUCH x", "unknown instruction"),
    ],
)
def test_refusals_name_the_line(line: str, message: str) -> None:
    with pytest.raises(DockerfileError, match=message) as caught:
        stages.read(f"FROM x\n{line}\n")
    assert caught.value.start == 2
    assert caught.value.message.startswith("Dockerfile:2: ")
    assert "   2 | >>> " in caught.value.excerpt


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("FRM x", "did you mean FROM?"),
        ("frmo x", "did you mean from?"),
        ("FROM x\nCOPY --chwon=1 a b", "did you mean --chown?"),
        ("FROM x\n&& y", "end the line before with a backslash to continue its command"),
        ("FROM x\nRUN --network=hots y", "did you mean host?"),
    ],
)
def test_hints(text: str, hint: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        stages.read(text)
    assert caught.value.hint == hint


def test_only_global_arguments_come_before_from() -> None:
    with pytest.raises(DockerfileError, match="before the first FROM"):
        stages.read("ENV a=b\nFROM x")
    with pytest.raises(DockerfileError, match="no stage"):
        stages.read("ARG a=b")


def test_find_and_target() -> None:
    found = stages.read("FROM a AS one\nFROM b AS Two\nFROM c\n")
    assert found.find("TWO") is found.stages[1]
    assert found.find("2") is found.stages[2]
    assert found.find("one", before=0) is None
    assert found.find("9") is None
    assert found.target() is found.stages[2]
    assert found.target("one") is found.stages[0]
    with pytest.raises(DockerfileError, match="no stage") as caught:
        found.target("tow")
    assert caught.value.hint == "did you mean two?"


def test_the_nearest_earlier_stage_of_a_name_is_meant() -> None:
    found = stages.read("FROM a AS x\nFROM b\nCOPY --from=x /a /b\nFROM c AS x\n")
    (copy,) = found.stages[1].instructions
    (need,) = dependencies.needs(found, found.stages[1], copy)
    assert need.stage is found.stages[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM a\nCOPY --from=b /x /y\nFROM c AS b", "defined after"),
        ("FROM a AS b\nCOPY --from=b /x /y", "itself"),
        ("FROM a\nCOPY --from=1 /x /y", "stage number 1"),
        ("FROM a\nCOPY --from=$b /x /y", "no variables"),
    ],
)
def test_impossible_sources(text: str, message: str) -> None:
    found = stages.read(text)
    with pytest.raises(DockerfileError, match=message):
        dependencies.needs(found, found.stages[0], found.stages[0].instructions[0])


def test_reachable_stages_only() -> None:
    found = stages.read(
        "FROM a AS a\nFROM b AS unused\nFROM a AS c\nFROM x AS d\nRUN --mount=from=c,target=/c true\n"
        "FROM scratch AS e\nCOPY --from=d / /\nCOPY --from=debian / /\n"
    )
    assert [stage.index for stage in dependencies.reachable(found, found.target("e"), {})] == [0, 2, 3, 4]
    assert [stage.index for stage in dependencies.reachable(found, found.target("e"), {}, {"d"})] == [3, 4]


def test_triggers_take_the_place_of_from() -> None:
    found = stages.read("ARG x\nFROM base")
    made = stages.trigger("COPY --from=y <<EOF /z\nbody\nEOF", Location(2, 2), found.source)
    assert isinstance(made, Copy)
    assert (made.location, made.files[0].data, made.source) == (Location(2, 2), "body\n", "y")
    for bad in ("FROM x", "RUN a\nRUN b", "NOPE", ""):
        with pytest.raises(DockerfileError, match="trigger"):
            stages.trigger(bad, Location(2, 2), found.source)


def test_onbuild_keeps_what_it_needs_to_be_read_again() -> None:
    found = stages.read("FROM a\nonbuild   RUN <<EOF cat\nx\nEOF\n")
    (onbuild,) = found.stages[0].instructions
    assert isinstance(stages.trigger(onbuild.__dict__["expression"], Location(1, 1), found.source), Run)


def test_health_durations() -> None:
    found = stages.read("FROM a\nHEALTHCHECK --interval=1h2m3.5s --timeout=0 --retries=0 CMD x")
    (check,) = found.stages[0].instructions
    assert isinstance(check, Healthcheck)
    assert (check.interval, check.timeout, check.retries) == (3_723_500_000_000, 0, 0)
