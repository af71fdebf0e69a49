from __future__ import annotations

from pathlib import Path

import pytest

from holdall.build import checks
from holdall.build.options import BuildOptions
from holdall.dockerfile import stages
from holdall.errors import DockerfileError

TEXT = """\
ARG TAG=3
ARG UNUSED=1

# base where it begins
FROM alpine:${TAG} AS base
# WHO is greeted
ARG WHO=world
RUN --mount=type=secret,id=token,required=true --mount=type=cache,target=/cache true

FROM base AS other
ARG OTHER=$WHO-2
RUN --mount=type=ssh true

FROM base
ARG LAST
COPY --from=other / /
"""


def options(**more: object) -> BuildOptions:
    return BuildOptions("", text=b"", **more)  # type: ignore[arg-type]


def test_targets_are_the_stages_in_order() -> None:
    found = checks.targets(stages.read(TEXT))
    assert [(one.name, one.number, one.default, one.base) for one in found] == [
        ("base", 0, False, "alpine:${TAG}"),
        ("other", 1, False, "base"),
        ("", 2, True, "base"),
    ]
    assert found[0].description == "where it begins"


def test_an_outline_lists_what_the_target_takes_and_nothing_of_stages_it_does_not_need() -> None:
    whole = checks.outline(stages.read(TEXT), options(build_args={"WHO": "you"}))
    assert [(one.name, one.value) for one in whole.arguments] == [
        ("TAG", "3"),
        ("WHO", "you"),
        ("OTHER", "you-2"),
        ("LAST", None),
    ]
    assert [(one.name, one.required) for one in whole.secrets] == [("token", True)]
    assert [one.name for one in whole.ssh] == ["default"]
    assert [one.name for one in whole.caches] == ["/cache"]
    base = checks.outline(stages.read(TEXT), options(target="base"))
    assert [one.name for one in base.arguments] == ["TAG", "WHO"]
    assert base.arguments[1].description == "is greeted"
    assert base.ssh == ()


def test_a_mistyped_target_names_the_nearest() -> None:
    with pytest.raises(DockerfileError, match='no stage "bas"') as caught:
        checks.outline(stages.read(TEXT), options(target="bas"))
    assert "base" in (caught.value.hint or "")


def rules(text: str, **more: object) -> list[str]:
    done = checks.checked(stages.read(text), options(**more), lambda _: None, None)
    return [one.rule.name for one in done.report.warnings]


def test_checks_heed_the_directive_and_the_build_argument_that_replaces_it() -> None:
    text = "FROM scratch\nCMD echo hi\nMAINTAINER me\n"
    assert rules(text) == ["JSONArgsRecommended", "MaintainerDeprecated"]
    assert rules("# check=skip=JSONArgsRecommended\n" + text) == ["MaintainerDeprecated"]
    skipped = {checks.OVERRIDE: "skip=all"}
    assert rules(text, build_args=skipped) == []
    assert checks.chosen(stages.read("# check=error=true\n" + text), options()).error


def test_only_stages_that_the_target_needs_are_walked() -> None:
    text = "FROM scratch AS a\nWORKDIR rel\nFROM scratch AS b\nCMD echo hi\n"
    assert rules(text, target="a") == ["WorkdirRelativePath"]


def test_options_take_any_path(tmp_path: Path) -> None:
    made = BuildOptions(tmp_path, dockerfile=tmp_path / "Dockerfile")
    assert made.context == str(tmp_path)
    assert made.dockerfile == f"{tmp_path}/Dockerfile"
