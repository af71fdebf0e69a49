"""Bake files as definitions: groups, heirs, matrices, --set, links; unknown keys refused by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from holdall.bake import files
from holdall.bake.definition import Chosen, Definition
from holdall.cli.commands.bake import printed
from holdall.engine.bake_options import options
from holdall.errors import HoldallError, InvalidInput, InvalidOption, LimitExceeded, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def defined(tree: Mapping[str, Any], **environ: str) -> Definition:
    return files.parse([("docker-bake.json", json.dumps(tree).encode())], environ)


def chosen(tree: Mapping[str, Any], *names: str, sets: tuple[str, ...] = (), **environ: str) -> Chosen:
    return defined(tree, **environ).choose(names, sets, environ)


HEIRS = {
    "group": {"default": {"targets": ["app", "more"]}, "more": {"targets": ["tool"]}},
    "target": {
        "one": {"args": {"A": "1", "B": "1"}, "tags": ["one"], "platforms": ["linux/amd64"]},
        "two": {"inherits": ["one"], "args": {"B": "2"}, "annotations": ["x=1"]},
        "app": {"inherits": ["two", "other"], "args": {"C": 3, "D": None}, "tags": ["app:1"]},
        "other": {"labels": {"l": True}, "annotations": ["y=2"], "cache-from": ["a"]},
        "tool": {"context": "tool", "no-cache": True},
    },
}


def test_groups_and_heirs() -> None:
    found = chosen(HEIRS)
    assert list(found.targets) == ["app", "tool"]
    assert found.groups == {"default": ("app", "more"), "more": ("tool",)}
    app = found.targets["app"]
    assert app["args"] == {"A": "1", "B": "2", "C": "3"}
    assert app["tags"] == ["app:1"]
    assert app["annotations"] == ["x=1", "y=2"]
    assert app["labels"] == {"l": "true"}
    assert (app["context"], app["dockerfile"], app["platforms"]) == (".", "Dockerfile", ["linux/amd64"])
    assert found.targets["tool"] == {"context": "tool", "dockerfile": "Dockerfile", "no-cache": True}


def test_names_and_patterns() -> None:
    assert list(chosen(HEIRS, "t*").targets) == ["two", "tool"]
    assert list(chosen(HEIRS, "one", "more").targets) == ["one", "tool"]
    with pytest.raises(NotFound, match="zzz"):
        chosen(HEIRS, "zzz*")
    with pytest.raises(NotFound) as err:
        chosen({"target": {"a": {}}})
    assert "there are a" in (err.value.hint or "")


def test_variables_have_defaults_types_and_values_of_the_environment() -> None:
    tree = {
        "variable": {
            "REPO": {"default": "reg"}, "NAME": {"default": "${REPO}/app"}, "PUSH": {"default": False},
            "PLATFORMS": {"default": ["linux/amd64"]}, "N": {"default": 1}, "NONE": {},
        },
        "target": {
            "default": {
                "tags": ["${NAME}:x"], "pull": "${PUSH}", "platforms": "${PLATFORMS}", "args": {"${REPO}_N": "${N}"},
                "labels": {"none": "${NONE}"},
            }
        },
    }  # fmt: skip
    plain = chosen(tree).targets["default"]
    assert (plain["tags"], plain["pull"], plain["platforms"]) == (["reg/app:x"], False, ["linux/amd64"])
    assert plain["args"] == {"reg_N": "1"}
    assert "labels" not in plain
    given = chosen(tree, REPO="other", PUSH="1", PLATFORMS="linux/arm64,linux/amd64", N="7", NONE="some").targets
    assert given["default"]["tags"] == ["other/app:x"]
    assert (given["default"]["pull"], given["default"]["platforms"]) == (True, ["linux/arm64", "linux/amd64"])
    assert (given["default"]["args"], given["default"]["labels"]) == ({"other_N": "7"}, {"none": "some"})


def test_a_matrix_gives_a_target_for_each_combination_and_a_group() -> None:
    tree = {
        "target": {
            "app": {
                "name": 'app-${tgt}-${replace(version.no, ".", "-")}',
                "matrix": {"tgt": ["lint", "run"], "version": [{"no": "1.0"}, {"no": "2.0"}]},
                "target": "${tgt}",
                "args": {"V": "${version.no}"},
            }
        }
    }
    found = chosen(tree, "app")
    assert list(found.targets) == ["app-lint-1-0", "app-lint-2-0", "app-run-1-0", "app-run-2-0"]
    assert found.targets["app-run-2-0"]["target"] == "run"
    assert found.targets["app-run-2-0"]["args"] == {"V": "2.0"}
    assert found.groups["app"] == tuple(found.targets)


LINKED = {
    "target": {
        "default": {"contexts": {"base": "target:base", "x": ""}},
        "base": {"contexts": {"root": "target:root"}, "tags": ["base"]},
        "root": {},
    }
}


def test_links_bring_what_they_need_and_keep_it_from_being_named() -> None:
    found = chosen(LINKED)
    assert list(found.targets) == ["default", "base", "root"]
    assert found.linked == {"base", "root"}
    assert found.targets["base"]["output"] == ["type=cacheonly"]
    assert found.targets["default"]["contexts"] == {"base": "target:base"}
    both = chosen(LINKED, "default", "base")
    assert both.linked == {"root"}
    assert "output" not in both.targets["base"]


@pytest.mark.parametrize(
    ("sets", "key", "wanted"),
    [
        (("app.args.X=1", "*.args.X=2"), "args", {"A": "1", "B": "2", "C": "3", "X": "2"}),
        (("app.tags=a", "app.tags=b"), "tags", ["a", "b"]),
        (("app.tags+=b",), "tags", ["app:1", "b"]),
        (("app.platform=linux/arm64,linux/s390x",), "platforms", ["linux/arm64", "linux/s390x"]),
        (("*.no-cache=true",), "no-cache", True),
        (("app.target=stage",), "target", "stage"),
        (("app.push=true",), "output", ["type=image,push=true"]),
        (("app.output=type=oci,dest=x", "app.load=true"), "output", ["type=oci,dest=x", "type=docker"]),
        (("app.output=type=image,name=x", "app.push=true"), "output", ["type=image,name=x,push=true"]),
        (("app.output=type=registry", "app.push=false"), "output", None),
        (("app.contexts.base=target:tool",), "contexts", {"base": "target:tool"}),
        (("app.args.FROM_ENV",), "args", {"A": "1", "B": "2", "C": "3", "FROM_ENV": "e"}),
        (("app.args.NOT_THERE",), "args", {"A": "1", "B": "2", "C": "3"}),
        (("app.labels.a.b=c",), "labels", {"l": "true", "a.b": "c"}),
        (("app.secrets=id=x", "app.secrets+=id=y"), "secret", ["id=x", "id=y"]),
    ],
)
def test_set(sets: tuple[str, ...], key: str, wanted: object) -> None:
    assert chosen(HEIRS, "app", sets=sets, FROM_ENV="e").targets["app"].get(key) == wanted


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("app", "TARGET.KEY"),
        ("app.tags", "TARGET.KEY"),
        ("app.what=1", "what"),
        ("app.args=1", "args.NAME"),
        ("app.tags.x=1", "tags"),
        ("app.pull+=true", "pull"),
        ("zzz.tags=a", "zzz"),
        ("app.pull=maybe", "pull"),
    ],
)
def test_set_that_is_refused(text: str, word: str) -> None:
    with pytest.raises(HoldallError) as err:
        chosen(HEIRS, "app", sets=(text,))
    assert word in f"{err.value.message} {err.value.hint}"


@pytest.mark.parametrize(
    ("tree", "word"),
    [
        ({"targets": {}}, "targets"),
        ({"function": {"f": {}}}, "functions"),
        ({"target": []}, "target"),
        ({"target": {"a": {"what": 1}}}, "what"),
        ({"target": {"a": {"args": []}}}, "args"),
        ({"target": {"a": {"tags": "x"}}}, "tags"),
        ({"target": {"a": {"pull": "perhaps"}}}, "pull"),
        ({"target": {"a b": {}}}, "a b"),
        ({"target": {"a": {"name": "x"}}}, "matrix"),
        ({"target": {"a": {"matrix": {"x": ["1", "2"]}}}}, "name"),
        ({"target": {"a": {"matrix": {"x": ["1", "1"]}, "name": "n-${x}"}}}, "twice"),
        ({"target": {"a": {"matrix": {"x": "1"}, "name": "n"}}}, "lists"),
        ({"target": {"a": {"inherits": ["a"]}}}, "inherits from itself"),
        ({"target": {"a": {"inherits": ["b"]}, "b": {"inherits": ["a"]}}}, "inherits from itself"),
        ({"target": {"a": {"contexts": {"x": "target:b"}}, "b": {"contexts": {"x": "target:a"}}}}, "which needs it"),
        ({"target": {"a": {"contexts": {"x": "target:a"}}}}, "which needs it"),
        ({"target": {"a": {"args": {"x": "${NO}"}}}}, "NO"),
        ({"variable": {"A": {"default": "${B}"}, "B": {"default": "${A}"}}, "target": {"a": {"tags": ["${A}"]}}},
         "itself"),
        ({"variable": {"A": {"what": 1}}}, "what"),
        ({"variable": {"A": {"validation": []}}}, "validation"),
        ({"group": {"a": {"what": []}}}, "what"),
        ({"target": {"a": {"platforms": ["linux/amd64", "linux/arm64"], "contexts": {"x": "target:b"}},
                     "b": {"platforms": ["linux/amd64", "linux/s390x"]}}}, "platforms"),
    ],
)  # fmt: skip
def test_files_that_are_refused_by_name(tree: Mapping[str, Any], word: str) -> None:
    with pytest.raises(InvalidInput) as err:
        chosen(tree, "a")
    assert word in str(err.value)


def test_a_matrix_has_an_end() -> None:
    tree = {"target": {"a": {"matrix": {k: list(range(50)) for k in "xyz"}, "name": "n-${x}-${y}-${z}"}}}
    with pytest.raises((InvalidInput, LimitExceeded)):
        chosen(tree, "a")


def test_what_is_printed_is_a_definition_of_the_same() -> None:
    tree = {
        "target": {
            "default": {
                "args": {"X": "$${not a template}"}, "tags": ["a"], "secret": ["id=s,src=f", {"id": "t", "env": "E"}],
                "ssh": ["default", {"id": "k", "paths": ["a", "b"]}], "output": ["type=oci,dest=x", "dir"],
                "cache-to": [{"type": "local", "dest": "c"}], "cache-from": ["reg/a", {"type": "local", "src": "c"}],
            }
        }
    }  # fmt: skip
    first = chosen(tree)
    text = printed(first)
    assert json.loads(text)["target"]["default"]["output"][0] == {"dest": "x", "type": "oci"}
    again = files.parse([("-", text.encode())], {}).choose((), (), {})
    assert printed(again) == text
    assert first.targets["default"]["args"] == {"X": "${not a template}"}


def test_options_of_a_build(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ctx").mkdir()
    tree = {
        "target": {
            "default": {
                "context": "cwd://ctx", "dockerfile": "sub/D", "contexts": {"x": "cwd://ctx", "y": "target:z"},
                "args": {"A": "1"}, "platforms": ["linux/amd64,linux/arm64"], "network": "none", "shm-size": "1m",
                "ulimits": ["nofile=1:2"], "extra-hosts": {"h": "1.2.3.4"}, "entitlements": ["network.host"],
                "ssh": ["default", "k=a,b"], "annotations": ["index:a=b"], "no-cache-filter": ["s"],
            },
            "z": {"dockerfile-inline": "FROM x\n"},
        }
    }  # fmt: skip
    found = chosen(tree)
    made = options("default", found.targets["default"], {"SOURCE_DATE_EPOCH": "5"})
    assert (made.context, made.dockerfile) == ("ctx", "ctx/sub/D")
    assert made.contexts == {"x": "ctx", "y": "target:z"}
    assert made.build_args == {"A": "1", "SOURCE_DATE_EPOCH": "5"}
    assert made.platforms == ("linux/amd64", "linux/arm64")
    assert (made.limits.shm_size, made.limits.ulimits, made.limits.add_hosts) == (
        1 << 20, (("nofile", 1, 2),), ("h:1.2.3.4",),
    )  # fmt: skip
    assert made.ssh == {"default": (), "k": ("a", "b")}
    assert (made.network, made.allow, made.no_cache_filter) == ("none", ("network.host",), ("s",))
    inline = options("z", found.targets["z"], {})
    assert (inline.text, inline.dockerfile) == (b"FROM x\n", "")


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ({"attest": ["type=sbom"]}, "attest"),
        ({"entitlements": ["fs.read=/"]}, "fs.read"),
        ({"call": "outline"}, "outline"),
        ({"context": "-"}, "standard input"),
        ({"network": "mine"}, "mine"),
        ({"output": ["type=what"]}, "what"),
    ],
)
def test_what_a_build_cannot_do_is_refused_with_the_targets_name(target: Mapping[str, Any], word: str) -> None:
    with pytest.raises(InvalidOption, match="app") as err:
        options("app", target, {})
    assert word in str(err.value)


def test_which_files_are_read(tmp_path: Any) -> None:
    import io

    with pytest.raises(HoldallError, match="no file"):
        files.read([], io.BytesIO(), str(tmp_path))
    (tmp_path / "docker-bake.hcl").write_text("")
    with pytest.raises(InvalidOption, match="HCL") as err:
        files.read([], io.BytesIO(), str(tmp_path))
    assert "JSON" in (err.value.hint or "")
    (tmp_path / "docker-bake.json").write_text("{}")
    (tmp_path / "compose.yaml").write_text("services: {}")
    assert [name for name, _ in files.read([], io.BytesIO(), str(tmp_path))] == ["compose.yaml", "docker-bake.json"]
    assert files.read(["-"], io.BytesIO(b"x")) == [("-", b"x")]
    for name in ("a.hcl", "https://example.org/x.json", str(tmp_path / "none.json")):
        with pytest.raises(HoldallError):
            files.read([name], io.BytesIO())


def test_several_files_add_to_each_other() -> None:
    one = {"target": {"a": {"tags": ["x"], "args": {"A": "1"}}}, "group": {"g": {"targets": ["a"]}}}
    two = {"target": {"a": {"tags": ["y"], "args": {"B": "2"}}, "b": {}}, "group": {"g": {"targets": ["b"]}}}
    found = files.parse([("1.json", json.dumps(one).encode()), ("2.json", json.dumps(two).encode())], {})
    whole = found.choose(["g"], (), {})
    assert whole.targets["a"]["tags"] == ["y"]
    assert whole.targets["a"]["args"] == {"A": "1", "B": "2"}
    assert list(whole.targets) == ["a", "b"]
