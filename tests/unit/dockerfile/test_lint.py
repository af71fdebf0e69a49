"""What the golden cases do not show of the checks: options, base images, errors."""

from __future__ import annotations

import pytest

from holdall.dockerfile import arguments, stages
from holdall.dockerfile.lint import options, rules
from holdall.dockerfile.lint.check import ImageFacts, Situation, check
from holdall.dockerfile.lint.report import Report
from holdall.dockerfile.lint.steps import is_secret_name
from holdall.errors import DockerfileError
from holdall.oci.platform import Platform

KNOWN = arguments.predefined(Platform("linux", "amd64"), Platform("linux", "amd64"))


def report(text: str, **facts: ImageFacts) -> Report:
    return check(stages.read(text), Situation(KNOWN, {}, image=facts.get))


def names(text: str, **facts: ImageFacts) -> list[str]:
    return [warning.rule.name for warning in report(text, **facts).warnings]


def test_skip_all_and_some() -> None:
    body = "FROM scratch AS X\nMAINTAINER me\n"
    assert names(body) == ["StageNameCasing", "MaintainerDeprecated"]
    assert names("# check=skip=all\n" + body) == []
    assert names("# check=skip=StageNameCasing,Other\n" + body) == ["MaintainerDeprecated"]


def test_error_fails() -> None:
    found = report("# check=error=true\nFROM scratch\nMAINTAINER me\n")
    assert found.fails
    with pytest.raises(DockerfileError, match="MaintainerDeprecated"):
        found.raise_for_rules()
    report("# check=error=true\nFROM scratch\n").raise_for_rules()


@pytest.mark.parametrize("text", ["skip", "skpi=all", "error=maybe", "skip=a;x=y"])
def test_bad_options(text: str) -> None:
    with pytest.raises(DockerfileError):
        options.parse(text)
    with pytest.raises(DockerfileError):
        report(f"# check={text}\nFROM scratch\n")


def test_a_comment_skips_for_one_instruction() -> None:
    text = "FROM scratch\n# check=skip=all // known\nENV password=x\nENV token=y\n"
    assert [w.location.start for w in report(text).warnings] == [4]


def test_experimental_rules_are_asked_for() -> None:
    text = "# not about it\nFROM scratch AS one\n# two is fine\nARG two\n"
    assert names(text) == []
    assert names("# check=experimental=InvalidDefinitionDescription\n" + text) == ["InvalidDefinitionDescription"]


def test_undefined_variables_need_the_base_to_be_known() -> None:
    text = "FROM base\nENV version=1\nUSER $nobody\nUSER $verison\n"
    assert [w.location.start for w in report(text).warnings] == [4]
    assert [w.location.start for w in report(text, base=ImageFacts({})).warnings] == [3, 4]
    assert names("FROM base\nUSER $who", base=ImageFacts({"who": "me"})) == []


def test_stages_inherit_what_is_known() -> None:
    text = 'FROM scratch AS a\nENV x=1\nWORKDIR /w\nSHELL ["sh"]\nFROM a\nUSER $x\nWORKDIR y\nCMD z\n'
    assert names(text) == []


def test_unneeded_stages_are_left_out_for_a_target() -> None:
    found = stages.read("FROM scratch AS a\nENV token=x\nFROM scratch AS b\n")
    assert check(found, Situation(KNOWN, {}, target=found.target("b"))).warnings == ()
    assert len(check(found, Situation(KNOWN, {}, target=found.target("a"))).warnings) == 1


def test_errors_are_part_of_the_report() -> None:
    found = report("FROM scratch\nUSER ${x\nMAINTAINER me\n")
    assert found.error is not None
    assert found.error.start == 2
    assert [w.rule.name for w in found.warnings] == ["MaintainerDeprecated"]


@pytest.mark.parametrize("image", ["a b".replace(" ", ":"), "Upper", "a:-x", "a@sha256:1", "a//b"])
def test_bad_image_names(image: str) -> None:
    assert "InvalidDefaultArgInFrom" in names(f"FROM {image}\n") or image == "a:b"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("PASSWORD", True),
        ("db_password", True),
        ("GITHUB_TOKEN", True),
        ("auth", True),
        ("TOKENS", False),
        ("PUBLIC_KEY", False),
        ("KEY_FILE", False),
        ("monkey", False),
    ],
)
def test_secret_names(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


def test_every_rule_has_a_page_named_after_it() -> None:
    assert rules.JSON_ARGS_RECOMMENDED.url.endswith("/json-args-recommended/")
    assert rules.UNDEFINED_VAR.url.endswith("/undefined-var/")
    assert len(rules.ALL) == len({rule.name for rule in rules.ALL}) == 22


def test_rendering_shows_the_line() -> None:
    found = stages.read("FROM scratch\nMAINTAINER me\n")
    (warning,) = check(found, Situation(KNOWN, {})).warnings
    text = warning.render(found.source)
    assert "Dockerfile:2" in text
    assert ">>> MAINTAINER me" in text
