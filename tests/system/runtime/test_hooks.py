"""OCI hooks run where and when the specification says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdall.errors import StartError
from holdall.oci.runtime_spec import Hook, Hooks
from holdall.record import replace
from holdall.runtime import create, hooks
from holdall.runtime.launch import Stdio

pytestmark = pytest.mark.root

KINDS = ("prestart", "create_runtime", "create_container", "start_container")


def hook(script: str, timeout: int | None = None, folder: str = "") -> Hook:
    return Hook(f"{folder}/usr/bin/sh", ("sh", "-c", script), ("PATH=/usr/bin", "MARK=1"), timeout)


def with_hooks(rig, *args: str, **entries: tuple[Hook, ...]):
    launch = rig.launch(args, {"container_id": "the-id"})
    return replace(launch, spec=replace(launch.spec, hooks=Hooks(**entries), annotations={"a": "b"}))


def test_order_state_and_namespaces(rig) -> None:
    entries = {}
    for kind in KINDS:
        target = f"/tmp/{kind}" if kind == "start_container" else f"{rig.bundle}/{kind}"
        script = f"exec > {target}; cat; readlink /proc/self/ns/mnt; echo $MARK; cat /proc/uptime"
        entries[kind] = (hook(script),)
    running = rig.start_launch(with_hooks(rig, "readlink", "/proc/self/ns/mnt", **entries))
    result = running.wait()
    assert result.code == 0, (result.messages, result.err)
    host = Path("/proc/self/ns/mnt").readlink()
    times = []
    for kind in KINDS:
        text = ((rig.upper / "tmp") if kind == "start_container" else rig.bundle).joinpath(kind).read_text()
        document, rest = text.split("}mnt:", 1)
        state = json.loads(document + "}")
        assert state["id"] == "the-id"
        assert state["bundle"] == str(rig.bundle)
        assert state["annotations"] == {"a": "b"}
        assert state["status"] == ("created" if kind == "start_container" else "creating")
        assert state["pid"] == (running.pid if kind != "start_container" else 1)
        lines = ("mnt:" + rest).split()
        assert (lines[0] == str(host)) == (kind in ("prestart", "create_runtime"))
        if kind == "start_container":
            assert lines[0] + "\n" == result.out
        assert lines[1] == "1"
        times.append(float(lines[-2]))
    assert times == sorted(times)


@pytest.mark.parametrize("kind", ["prestart", "create_runtime"])
def test_failing_host_hook_stops_the_start_and_leaves_nothing(rig, kind) -> None:
    launch = with_hooks(rig, "touch", "/ran", **{kind: (hook("exit 3"),)})
    with pytest.raises(StartError, match="failed with status 3"):
        create.spawn(launch, Stdio(0, 1, 2))
    assert not (rig.upper / "ran").exists()


@pytest.mark.parametrize("kind", ["create_container", "start_container"])
def test_failing_container_hook_stops_the_start(rig, kind) -> None:
    result = rig.start_launch(with_hooks(rig, "touch", "/ran", **{kind: (hook("exit 3"),)})).wait()
    assert "failed with status 3" in result.error.message
    assert not (rig.upper / "ran").exists()


def test_hook_that_takes_too_long_is_killed() -> None:
    with pytest.raises(StartError, match="did not end within 1 s"):
        hooks.run((hook("sleep 100", timeout=1),), b"{}")


def test_missing_hook_and_hook_that_does_not_read() -> None:
    with pytest.raises(StartError, match="no such file"):
        hooks.run((Hook("/no/such/hook"),), b"{}")
    hooks.run((hook("true"),), b"x" * 1_000_000)
    with pytest.raises(StartError, match="status 137"):
        hooks.run((hook("kill -9 $$"),), b"{}")
