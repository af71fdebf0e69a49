"""launch.json there and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdall.errors import ContainerNotFound, StoreCorrupt
from holdall.network.plan import PortBinding, make_attachment, make_plan
from holdall.paths import Paths
from holdall.runtime.launch import Aside, Directory, LayerMount, Overlay, SecretFile
from holdall.supervisor import launch as launches
from holdall.supervisor.launch import Launch, LogLimits, RestartPolicy, parse, read_launch, to_json, write_launch

PLAN = make_plan("bridge", "deadbeef", (), ("10.0.0.0/8",), 1400)
FULL = Launch(
    id="abc123", name="web", rootfs=Overlay(("/l1", "/l2"), "/u", "/w", volatile=True), cgroup="holdall/abc123",
    user="www-data:staff", groups=("audio", "7"), terminal=True, open_stdin=True, stdin_once=True, stop_signal=3,
    stop_timeout=-1, auto_remove=True, init=True, restart=RestartPolicy("on-failure", 4), log=LogLimits(1000, 2),
    seccomp="/cache/x.bpf", resources={"pids": {"limit": 7}}, network="bridge", plan=PLAN,
    attachment=make_attachment(PLAN, "abc123", "172.30.0.2/24", (PortBinding("tcp", "", 8080, 80),)),
    remove=("/usr/bin/holdall", "rm", "abc123"), bound=True,
    asides=(
        Aside("/p/0", Overlay(("/l3",), "/u2", "/w2", mounts=(LayerMount("/i", "/d", "/l3"),))),
        Aside("/p/1", files=(SecretFile("0", "/proc/7/fd/8", 0o440, 1, 2),)),
    ),
    secret_env=(("TOKEN", "/proc/7/fd/9"),),
)  # fmt: skip


@pytest.mark.parametrize("launch", [FULL, Launch("a", "b", Directory("/root", readonly=True), "holdall/a")])
def test_a_launch_comes_back_as_it_was(tmp_path: Path, launch: Launch) -> None:
    paths = Paths(str(tmp_path), str(tmp_path / "run"))
    Path(paths.container(launch.id)).mkdir(parents=True)
    write_launch(paths, launch)
    assert read_launch(paths, launch.id) == launch
    assert [path.name for path in Path(paths.container(launch.id)).iterdir()] == ["launch.json"]


def test_a_missing_launch_means_no_such_container(tmp_path: Path) -> None:
    with pytest.raises(ContainerNotFound, match="abc"):
        read_launch(Paths(str(tmp_path), str(tmp_path)), "abc")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"rootfs": {}}, {"restart": {"name": "sometimes"}}, {"restart": {"name": "no", "maximum": -1}},
        {"unknown": 1}, {"log": 5}, {"plan": {"x": 1}}, {"remove": None}, {"rootfs": {"kind": "overlay"}},
        {"asides": [{"place": "/p"}]},
        {"asides": [{"place": "/p", "root": {"kind": "directory", "path": "/"}, "files": []}]},
        {"asides": 1}, {"secret_env": [["a"]]},
    ],
)  # fmt: skip
def test_a_malformed_launch_is_corruption(change: dict[str, object]) -> None:
    raw = json.dumps({**to_json(FULL), **change}).encode()
    with pytest.raises(StoreCorrupt, match="here"):
        parse(raw, "here")


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b"null"])
def test_what_is_no_launch_is_corruption(raw: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        parse(raw, "here")


def test_an_oversized_launch_is_corruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launches, "MAX_LAUNCH_BYTES", 10)
    paths = Paths(str(tmp_path), str(tmp_path))
    Path(paths.container("abc123")).mkdir(parents=True)
    write_launch(paths, FULL)
    with pytest.raises(StoreCorrupt):
        read_launch(paths, "abc123")
