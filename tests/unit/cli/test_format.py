"""Go templates and tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdall.cli.format.template import Template
from holdall.cli.table import columns
from holdall.errors import HoldallError, InvalidOption

DATA = {
    "Name": "web", "N": 3, "Ok": True, "No": None, "List": ["a", "b"], "Empty": [],
    "Map": {"k2": "v2", "k1": "v1"}, "Deep": {"A": {"B": 7}}, "Ports": {"80/tcp": [{"HostPort": "8080"}]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}}", "web"),
        ("{{ .Deep.A.B }}!", "7!"),
        ("{{json .Map}}", '{"k2":"v2","k1":"v1"}'),
        ("{{.Ok}} {{.No}}", "true <no value>"),
        ("{{.List}} {{.Map}}", "[a b] map[k1:v1 k2:v2]"),
        ("{{if .Ok}}y{{else}}n{{end}}", "y"),
        ("{{if .Empty}}y{{else if eq .N 3}}three{{else}}n{{end}}", "three"),
        ("{{range .List}}<{{.}}>{{end}}", "<a><b>"),
        ("{{range $i, $e := .List}}{{$i}}{{$e}}{{end}}", "0a1b"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range $k, $v := .Map}}{{$k}}={{$v}};{{end}}", "k1=v1;k2=v2;"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ("{{with .Deep}}{{.A.B}}{{end}}", "7"),
        ('{{.Name | upper | printf "%-5s|"}}', "WEB  |"),
        ('{{join .List ","}} {{len .List}}', "a,b 2"),
        ("{{- .Name -}}  x", "webx"),
        ("a {{- /* comment */ -}} b", "ab"),
        ("{{$x := .N}}{{if gt $x 2}}{{$x}}{{end}}", "3"),
        ('{{if and .Ok (ne .Name "x")}}1{{end}}', "1"),
        ("{{println .Name .N}}", "web 3\n"),
        ("{{$.Name}}", "web"),
        ("{{slice .Name 0 2}}", "we"),
    ],
)
def test_templates(template: str, text: str) -> None:
    assert Template(template).render(DATA) == text


@pytest.mark.parametrize(
    "template",
    ["{{", "{{.Name", "{{if .Ok}}", "{{end}}", "{{else}}", "{{nosuch .}}", "{{}}", "{{.Name | }}", "{{(.Name}}"],
)
def test_templates_that_do_not_parse(template: str) -> None:
    with pytest.raises(InvalidOption):
        Template(template).render(DATA)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidOption, match='"Nmae"'):
        Template("{{.Nmae}}").render(DATA)


@given(st.text(alphabet='{}.|$()"`:=,-/* \tabNLifrangedws0123', max_size=60))
def test_only_our_errors_come_out(text: str) -> None:
    try:
        Template(text).render(DATA)
    except HoldallError:
        return


def test_columns() -> None:
    assert columns([["A", "BB", "C"], ["aaa", "b", "c"]]) == ["A     BB   C", "aaa   b    c"]
