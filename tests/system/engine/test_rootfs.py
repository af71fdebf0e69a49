"""Layers seen from outside: detached, and by the way for kernels before 6.7."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from holdall.linux import stack

pytestmark = pytest.mark.root


@pytest.fixture
def layers(tmp_path: Path) -> tuple[str, str, str, str]:
    for name in ("below", "above", "upper", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "below/a").write_text("below")
    (tmp_path / "below/b").write_text("below")
    (tmp_path / "above/a").write_text("above")
    return str(tmp_path / "above"), str(tmp_path / "below"), str(tmp_path / "upper"), str(tmp_path / "work")


def read(root: int, name: str) -> str:
    fd = os.open(name, os.O_RDONLY, dir_fd=root)
    with open(fd) as file:
        return file.read()


@pytest.mark.parametrize("look", [stack.view, stack.mounted_aside], ids=lambda f: f.__name__)
def test_layers_are_one_and_nothing_is_mounted(look, layers, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    above, below, upper, work = layers
    before = Path("/proc/self/mountinfo").read_text()
    folder = os.getcwd()
    root = look((above, below), upper, work)
    try:
        assert (read(root, "a"), read(root, "b")) == ("above", "below")
        with open(os.open("new", os.O_WRONLY | os.O_CREAT, dir_fd=root), "w") as file:
            file.write("written")
        assert (tmp_path / "upper/new").read_text() == "written"
        assert Path("/proc/self/mountinfo").read_text() == before
        assert os.getcwd() == folder
    finally:
        os.close(root)


def test_the_old_way_works_in_a_thread(layers) -> None:  # type: ignore[no-untyped-def]
    above, below, upper, work = layers
    found: list[str] = []

    def look() -> None:
        root = stack.mounted_aside((above, below), upper, work)
        found.append(read(root, "b"))
        os.close(root)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == ["below"]
    assert os.path.exists(above)


def test_a_single_layer_needs_no_overlay(layers) -> None:  # type: ignore[no-untyped-def]
    root = stack.view((layers[1],))
    assert read(root, "a") == "below"
    os.close(root)
