"""Layers mounted on the host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.errors import StartError
from holdall.linux import erofs_mount, loop, mount
from holdall.runtime import layers
from holdall.runtime.launch import LayerMount

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def layer(tmp_path: Path) -> Iterator[LayerMount]:
    from holdall.store.snapshots.probe import write_sample

    found = LayerMount(str(tmp_path / "index.erofs"), str(tmp_path / "tar"), str(tmp_path / "run/layers/abc"))
    write_sample(found.source, found.device)
    try:
        os.close(erofs_mount.open_mount(found.source, found.device))
    except OSError as err:
        pytest.skip(f"no EROFS: {err}")
    yield found
    layers.clear(os.path.dirname(found.target))


def read(folder: str) -> bytes:
    return Path(folder, "file").read_bytes()


def test_a_layer_is_mounted_once(layer: LayerMount) -> None:
    layers.ensure([layer])
    device = os.stat(layer.target).st_dev
    layers.ensure([layer, layer])
    assert os.stat(layer.target).st_dev == device
    assert layers.mounted(os.path.dirname(layer.target)) == [layer.target]
    assert read(layer.target) == b"holdall"
    layers.detach(layer.target)
    layers.detach(layer.target)
    assert layers.mounted(os.path.dirname(layer.target)) == []
    layers.ensure([layer])
    assert read(layer.target) == b"holdall"


def test_what_uses_a_layer_keeps_it(layer: LayerMount) -> None:
    layers.ensure([layer])
    held = os.open(layer.target, os.O_PATH | os.O_DIRECTORY)
    layers.clear(os.path.dirname(layer.target))
    assert not os.path.exists(layer.target)
    assert read(f"/proc/self/fd/{held}") == b"holdall"
    os.close(held)


@pytest.mark.parametrize("mounted", [True, False])
def test_a_borrowed_layer_is_nobody_elses(layer: LayerMount, mounted: bool) -> None:
    if mounted:
        layers.ensure([layer])
    fd = layers.borrow(layer)
    layers.clear(os.path.dirname(layer.target))
    assert read(f"/proc/self/fd/{fd}") == b"holdall"
    os.close(fd)


def test_a_folder_in_the_way_is_not_borrowed(layer: LayerMount) -> None:
    os.makedirs(layer.target)
    Path(layer.target, "file").write_bytes(b"other")
    fd = layers.borrow(layer)
    assert read(f"/proc/self/fd/{fd}") == b"holdall"
    os.close(fd)


def test_a_layer_that_cannot_be_mounted_is_told(layer: LayerMount) -> None:
    Path(layer.source).write_bytes(b"x" * 4096)
    with pytest.raises(StartError, match="cannot mount layer") as caught:
        layers.ensure([layer])
    assert caught.value.hint
    assert layers.mounted(os.path.dirname(layer.target)) == []


def test_long_paths_are_mounted_too(layer: LayerMount, tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 200) / ("e" * 200) / "a,b c"
    folder.mkdir(parents=True)
    for name in ("index.erofs", "tar"):
        os.rename(tmp_path / name, folder / name)
    moved = LayerMount(str(folder / "index.erofs"), str(folder / "tar"), layer.target)
    layers.ensure([moved])
    assert read(layer.target) == b"holdall"


@pytest.mark.skipif(not os.path.exists(loop.CONTROL), reason="no loop devices here")
def test_loop_devices_go_with_the_mount(layer: LayerMount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(erofs_mount.VARIABLE, erofs_mount.LOOP)
    layers.ensure([layer])
    assert read(layer.target) == b"holdall"
    (source,) = [source for target, source in layers._table() if target == layer.target]
    assert source == layer.source
    layers.detach(layer.target)
    with open(layer.device, "ab") as file:
        file.write(b"x")
    with pytest.raises(OSError, match="end of the file"):
        erofs_mount.open_mount(layer.source, layer.device)


def test_a_layer_is_read_only_and_runs_nothing(layer: LayerMount) -> None:
    fd = erofs_mount.open_mount(layer.source, layer.device)
    flags = os.fstatvfs(fd).f_flag
    assert flags & mount.MS_RDONLY
    assert flags & os.ST_NOSUID
    assert flags & os.ST_NODEV
    assert flags & os.ST_NOEXEC
    os.close(fd)
