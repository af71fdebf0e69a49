"""Docker's small languages: what they mean and how they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdall.engine import syntax
from holdall.engine.options import CreateOptions, Device, Mount, RestartPolicy, Ulimit, from_json, to_json
from holdall.errors import HoldallError, InvalidOption, PathNotFound, Unsupported


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("1k", 1024),
        ("64KB", 65536),
        ("1.5g", 3 << 29),
        ("2GiB", 2 << 30),
        ("10b", 10),
        ("1t", 1 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert syntax.parse_size(text, "--x") == size


@pytest.mark.parametrize("text", ["", "k", "1x", "-1m", "nan", "inf", "1 2", "0x10"])
def test_wrong_sizes_name_the_option(text: str) -> None:
    with pytest.raises(InvalidOption, match="--memory"):
        syntax.parse_size(text, "--memory")


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/a:/b", Mount("bind", "/b", "/a", create_source=True)),
        ("/a:/b:ro", Mount("bind", "/b", "/a", read_only=True, create_source=True)),
        ("/a:/b:ro,rslave", Mount("bind", "/b", "/a", read_only=True, propagation="rslave", create_source=True)),
        ("vol:/b/../c", Mount("volume", "/c", "vol")),
        ("vol:/b:nocopy", Mount("volume", "/b", "vol", copy_up=False)),
        ("/b", Mount("volume", "/b")),
        ("vol:/b:z", Mount("volume", "/b", "vol")),
    ],
)
def test_volumes(text: str, mount: Mount) -> None:
    assert syntax.parse_volume(text) == mount


def test_a_relative_source_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert syntax.parse_volume("./x:/b").source == f"{tmp_path}/x"
    assert syntax.parse_volume(".:/b").source == str(tmp_path)


@pytest.mark.parametrize("text", ["", ":", "a:", ":/b", "/a:b", "/a:/", "a/b:/c", "/a:/b:ro:x"])
def test_wrong_volumes(text: str) -> None:
    with pytest.raises(InvalidOption):
        syntax.parse_volume(text)


def test_unknown_volume_option_is_named() -> None:
    with pytest.raises(Unsupported, match="idmap"):
        syntax.parse_volume("/a:/b:idmap")


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("type=bind,source=/a,target=/b,readonly", Mount("bind", "/b", "/a", read_only=True)),
        ("type=bind,src=/a,dst=/b,bind-nonrecursive=true", Mount("bind", "/b", "/a", recursive=False)),
        ("source=v,target=/b", Mount("volume", "/b", "v")),
        ("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770", Mount("tmpfs", "/t", size=1 << 20, mode=0o1770)),
    ],
)
def test_mounts(text: str, mount: Mount) -> None:
    assert syntax.parse_mount(text) == mount


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("type=nfs,target=/b", Unsupported),
        ("type=bind,source=/a,target=/b,volume-nocopy", Unsupported),
        ("type=bind,source=a,target=/b", InvalidOption),
        ("type=bind,source=/a", InvalidOption),
        ("type=tmpfs,target=/t,tmpfs-mode=9", InvalidOption),
        ("type=bind,source=/a,target=/b,readonly=maybe", InvalidOption),
    ],
)
def test_wrong_mounts(text: str, error: type[HoldallError]) -> None:
    with pytest.raises(error):
        syntax.parse_mount(text)


def test_tmpfs() -> None:
    assert syntax.parse_tmpfs("/t:size=64k,mode=700,exec") == Mount(
        "tmpfs", "/t", size=65536, mode=0o700, options=("exec",)
    )
    with pytest.raises(Unsupported, match="huge"):
        syntax.parse_tmpfs("/t:huge=always")


def test_ulimits_devices_cpus_restart() -> None:
    assert syntax.parse_ulimit("nofile=10:20") == Ulimit("nofile", 10, 20)
    assert syntax.parse_ulimit("core=-1") == Ulimit("core", -1, -1)
    assert syntax.parse_device("/dev/x") == Device("/dev/x", "/dev/x", "rwm")
    assert syntax.parse_device("/dev/x:r") == Device("/dev/x", "/dev/x", "r")
    assert syntax.parse_device("/dev/x:/dev/y:rw") == Device("/dev/x", "/dev/y", "rw")
    assert syntax.parse_cpus("1.5") == 1_500_000_000
    assert syntax.parse_restart("on-failure:3") == RestartPolicy("on-failure", 3)
    for wrong in ("nofile", "nosuch=1", "nofile=2:1", "nofile=a"):
        with pytest.raises(InvalidOption):
            syntax.parse_ulimit(wrong)
    for wrong in ("always:3", "sometimes", "on-failure:x"):
        with pytest.raises(InvalidOption):
            syntax.parse_restart(wrong)
    for wrong in ("x", "-1", "nan", "inf"):
        with pytest.raises(InvalidOption):
            syntax.parse_cpus(wrong)


def test_variables(tmp_path: Path) -> None:
    assert syntax.parse_env(["A=1", "B", "C"], {"B": "2"}) == ("A=1", "B=2")
    with pytest.raises(InvalidOption):
        syntax.parse_env(["=x"], {})
    path = tmp_path / "env"
    path.write_text("# no\n\n  A=1\nB\n")
    assert syntax.read_env_file(str(path)) == ("A=1", "B")
    path.write_text("A B=1\n")
    with pytest.raises(InvalidOption):
        syntax.read_env_file(str(path))
    with pytest.raises(PathNotFound):
        syntax.read_env_file(str(tmp_path / "none"))


@given(st.text(max_size=60))
def test_nothing_but_our_errors_comes_out(text: str) -> None:
    for parse in (syntax.parse_volume, syntax.parse_mount, syntax.parse_tmpfs, syntax.parse_ulimit, syntax.parse_device,
                  syntax.parse_restart, syntax.parse_cpus, lambda t: syntax.parse_size(t, "x")):  # fmt: skip
        try:
            parse(text)
        except HoldallError:
            continue


def test_options_survive_json() -> None:
    options = CreateOptions(
        "img", ("a", "b"), name="n", env=("A=1",), labels={"k": "v"}, mounts=(Mount("bind", "/b", "/a"),),
        devices=(Device("/d", "/d"),), ulimits=(Ulimit("core", 1, 2),), restart=RestartPolicy("always"),
    )  # fmt: skip
    import json

    assert from_json(json.loads(json.dumps(to_json(options)))) == options
