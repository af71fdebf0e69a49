"""Templates of bake's JSON: what HCL makes of them, as far as they are supported; the rest is refused by name."""

from __future__ import annotations

import pytest

from holdall.bake import expression
from holdall.errors import InvalidInput

VALUES = {"TAG": "1.2", "N": 3, "ON": True, "LIST": ["a", "b"], "item": {"name": "x", "no": [1, 2]}, "EMPTY": ""}


def value(text: str) -> object:
    def lookup(name: str) -> object:
        if name not in VALUES:
            raise InvalidInput(f'there is no variable "{name}"')
        return VALUES[name]

    return expression.value(text, lookup, "here")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a${TAG}b${N}", "a1.2b3"),
        ("${LIST}", ["a", "b"]),
        ("${ON}", True),
        ("x${ON}", "xtrue"),
        ("$${TAG} %%{if}", "${TAG} %{if}"),
        ("$5 100% {}", "$5 100% {}"),
        ("${item.name}-${item.no[1]}", "x-2"),
        ("${LIST[0]}", "a"),
        ('${"q\\"uote"}', 'q"uote'),
        ('${TAG == "1.2" ? "yes" : "no"}', "yes"),
        ('${TAG != "" && !ON || N >= 3 ? N + 2 * 2 : 0}', 7),
        ('${EMPTY == "" ? "none" : nothing.here}', "none"),
        ("${ON || nothing}", True),
        ("${-N % 2 == -1}", False),
        ("${6 / 4}", 1.5),
        ("${(1 + 2) * 3}", 9),
        ('${upper("a")}${lower("B")}', "Ab"),
        ('${replace(TAG, ".", "-")}', "1-2"),
        ('${join(",", LIST)}', "a,b"),
        ('${split("-", "a-b")}', ["a", "b"]),
        ('${concat(LIST, ["c"])}', ["a", "b", "c"]),
        ('${notequal("", TAG) ? "t:${TAG}" : ""}', None),
        ('${format("%s:%d", TAG, N)}', "1.2:3"),
        ('${sanitize("a/b.c")}', "a_b_c"),
        ('${coalesce(null, "x")}', "x"),
        ('${contains(LIST, "a")}', True),
        ('${equal(N, 3)}${equal(N, "3")}', "truefalse"),
    ],
)
def test_values(text: str, wanted: object) -> None:
    if wanted is None:
        with pytest.raises(InvalidInput):
            value(text)
    else:
        assert value(text) == wanted


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("${", "cannot read"),
        ("${TAG", "cannot read"),
        ("${nothing}", "nothing"),
        ("%{ if ON }x%{ endif }", "directives"),
        ("${timestamp()}", "timestamp"),
        ("${TAG ? 1 : 2}", "condition"),
        ("${!TAG}", '"!"'),
        ("${TAG + 1}", "numbers"),
        ("${1 / 0}", "division"),
        ("${item.other}", "other"),
        ("${LIST[9]}", "9"),
        ("${LIST[*]}", "cannot read"),
        ("${upper(1)}", "upper"),
        ("${upper()}", "upper"),
        ('${"open}', "quote"),
        ("${[1, 2}", "missing"),
        ("${{}}", "cannot read"),
        ("a${LIST}", "must be a text"),
        ("${" + "(" * 60 + "1" + ")" * 60 + "}", "deep"),
        ("${target.app.tags}", "target"),
    ],
)
def test_what_is_refused(text: str, word: str) -> None:
    with pytest.raises(InvalidInput, match=r"(?s).*") as err:
        value(text)
    assert word in str(err.value)
