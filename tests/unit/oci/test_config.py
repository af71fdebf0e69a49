from __future__ import annotations

import json
import timeit
from typing import Any

import pytest

from holdall.errors import InvalidManifest, LimitExceeded
from holdall.oci.config import ImageConfig
from holdall.oci.container_config import ContainerConfig
from holdall.oci.digest import Digest
from holdall.oci.healthcheck import Healthcheck
from holdall.oci.history import History
from holdall.oci.platform import Platform

DIFF = Digest.of(b"layer")


def document(config: Any = ..., **changes: Any) -> bytes:
    tree: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [str(DIFF)]},
    }
    tree.update(changes)
    return json.dumps({key: value for key, value in tree.items() if value is not ...}).encode()


FULL_CONFIG: dict[str, Any] = {
    "User": "app:staff",
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    "Env": ["PATH=/bin", "A=1"],
    "Entrypoint": ["/entry"],
    "Cmd": ["a", "b"],
    "Volumes": {"/z": {}, "/data": {}},
    "WorkingDir": "/srv",
    "Labels": {"k": "v"},
    "StopSignal": "SIGINT",
    "StopTimeout": 30,
    "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000, "Retries": 3, "StartInterval": 1},
    "Shell": ["/bin/bash", "-c"],
    "ArgsEscaped": True,
    "OnBuild": ["RUN x"],
    "Hostname": "abc",
    "Tty": False,
}


def test_all_fields_are_read() -> None:
    raw = document(
        FULL_CONFIG,
        created="2023-11-14T22:13:20.5Z",
        author="me",
        variant="v2",
        **{"os.version": "1.2", "os.features": ["f"]},
        history=[
            {"created": "2023-11-14T22:13:20Z", "created_by": "x", "comment": "c", "author": "a"},
            {"empty_layer": True},
        ],
    )
    parsed = ImageConfig.parse(raw)
    assert parsed.raw == raw
    assert parsed.digest == Digest.of(raw)
    assert parsed.platform == Platform("linux", "amd64", "v2", "1.2", ("f",))
    assert parsed.diff_ids == (DIFF,)
    assert (parsed.created, parsed.author) == ("2023-11-14T22:13:20.5Z", "me")
    assert parsed.history == (History("2023-11-14T22:13:20Z", "x", "a", "c"), History(empty_layer=True))
    assert parsed.config == ContainerConfig(
        user="app:staff",
        env=("PATH=/bin", "A=1"),
        entrypoint=("/entry",),
        cmd=("a", "b"),
        working_dir="/srv",
        exposed_ports=("53/udp", "80/tcp"),
        volumes=("/data", "/z"),
        labels={"k": "v"},
        stop_signal="SIGINT",
        healthcheck=Healthcheck(("CMD-SHELL", "true"), interval=5_000_000_000, retries=3, start_interval=1),
        shell=("/bin/bash", "-c"),
        args_escaped=True,
        on_build=("RUN x",),
        stop_timeout=30,
    )
    assert parsed.config.argv == ("/entry", "a", "b")


def test_nulls_count_as_absent() -> None:
    nothing = dict.fromkeys(FULL_CONFIG)
    parsed = ImageConfig.parse(document(nothing, history=None, created=None, author=None))
    assert parsed.config == ContainerConfig()
    assert ImageConfig.parse(document()).config == ContainerConfig()
    assert ImageConfig.parse(document(None)).config == ContainerConfig()


def test_a_bare_string_is_a_command_of_one_word() -> None:
    parsed = ImageConfig.parse(document({"Entrypoint": "/e", "Cmd": ""})).config
    assert parsed.entrypoint == ("/e",)
    assert parsed.cmd == ("",)


def test_empty_and_unset_commands_differ() -> None:
    parsed = ImageConfig.parse(document({"Entrypoint": [], "Cmd": None})).config
    assert parsed.entrypoint == ()
    assert parsed.cmd is None
    assert parsed.to_json() == {"Entrypoint": []}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": ...}, '"architecture" is missing'),
        ({"os": ""}, '"os" is missing'),
        ({"os": 1}, "must be a string"),
        ({"rootfs": ...}, '"rootfs" is missing'),
        ({"rootfs": {"type": "tree", "diff_ids": []}}, 'must be "layers"'),
        ({"rootfs": {"type": "layers", "diff_ids": ["x"]}}, "no algorithm"),
        ({"rootfs": {"type": "layers", "diff_ids": "x"}}, "must be a list"),
        ({"created": "yesterday"}, '"created": invalid time'),
        ({"history": {}}, "must be a list"),
        ({"history": [{"created": "x"}]}, r'history"\[0\] "created"'),
        ({"history": [{"empty_layer": 1}]}, "must be a boolean"),
        ({"config": []}, "must be an object"),
        ({"config": {"Env": "A=1"}}, "must be a list"),
        ({"config": {"Env": ["A=\0"]}}, "nul character"),
        ({"config": {"Cmd": ["\0"]}}, "nul character"),
        ({"config": {"User": "a\0"}}, "nul character"),
        ({"config": {"Entrypoint": [1]}}, "strings only"),
        ({"config": {"Volumes": ["/x"]}}, "must be an object"),
        ({"config": {"Labels": {"a": 1}}}, "strings only"),
        ({"config": {"Healthcheck": []}}, "must be an object"),
        ({"config": {"Healthcheck": {"Interval": -1}}}, "must be between 0"),
        ({"config": {"ArgsEscaped": "yes"}}, "must be a boolean"),
        ({"config": {"StopTimeout": "1"}}, "must be an integer"),
    ],
)
def test_malformed_configs_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidManifest, match=reason):
        ImageConfig.parse(document(**changes))


def test_counts_are_bounded() -> None:
    with pytest.raises(LimitExceeded):
        ImageConfig.parse(document(rootfs={"type": "layers", "diff_ids": [str(DIFF)] * 1_001}))
    with pytest.raises(LimitExceeded):
        ImageConfig.parse(document(history=[{}] * 10_001))


def test_build_is_canonical_and_parses_back() -> None:
    config = ContainerConfig.from_json(_obj(FULL_CONFIG))
    made = ImageConfig.build(
        Platform("linux", "arm", "v7"),
        [DIFF],
        config,
        history=[History(created_by="x")],
        created="2023-11-14T22:13:20Z",
    )
    assert ImageConfig.parse(made.raw) == made
    assert made.config == config
    again = ImageConfig.build(
        Platform("linux", "arm", "v7"),
        [DIFF],
        config,
        history=[History(created_by="x")],
        created="2023-11-14T22:13:20Z",
    )
    assert again.raw == made.raw
    assert json.loads(made.raw)["config"]["ExposedPorts"] == {"53/udp": {}, "80/tcp": {}}
    assert list(json.loads(made.raw)) == ["created", "architecture", "os", "variant", "config", "rootfs", "history"]


def test_unknown_fields_of_the_base_are_kept() -> None:
    base = ImageConfig.parse(document(FULL_CONFIG, docker_version="20.10", author="old"))
    made = ImageConfig.build(base.platform, [DIFF, DIFF], ContainerConfig(cmd=("new",)), base=base)
    tree = json.loads(made.raw)
    assert tree["docker_version"] == "20.10"
    assert tree["config"] == {"Cmd": ["new"], "Hostname": "abc", "Tty": False}
    assert "author" not in tree


def test_parsing_is_fast_enough_for_run() -> None:
    raw = document(FULL_CONFIG, history=[{"created_by": "x" * 200, "created": "2023-11-14T22:13:20.5Z"}] * 20)
    assert min(timeit.repeat(lambda: ImageConfig.parse(raw), number=5, repeat=10)) / 5 < 0.002


def _obj(value: dict[str, Any]) -> Any:
    from holdall.oci.jsonval import JsonObject

    return JsonObject.of(value, "config")
