"""Which way of mounting an overlay is chosen, on kernels that differ in what they refuse and when."""

from __future__ import annotations

import errno
import os

import pytest

from holdall.linux import mount, overlay


class Kernel:
    """The mount API of one kernel, as far as `overlay` calls it. Descriptors are real ones."""

    def __init__(self, refused: dict[str, int], at_end: int = 0) -> None:
        self.refused, self.at_end = refused, at_end
        self.options: list[tuple[str, str | None]] = []
        self.mounted = 0

    def fsopen(self, fstype: str) -> int:
        assert fstype == "overlay"
        return os.open("/dev/null", os.O_RDONLY)

    def fsconfig(self, fd: int, key: str, value: str | None = None) -> None:
        os.fstat(fd)
        if self.refused.get(key):
            raise OSError(self.refused[key], os.strerror(self.refused[key]))
        self.options.append((key, value))

    def fsmount(self, fd: int) -> int:
        if self.at_end:
            raise OSError(self.at_end, os.strerror(self.at_end))
        self.mounted += 1
        return os.dup(fd)


NEWEST = {"holdall": errno.EINVAL}


def install(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    for name in ("fsopen", "fsconfig", "fsmount"):
        monkeypatch.setattr(mount, name, getattr(kernel, name))


def test_newest_kernels_mount_by_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(NEWEST)
    install(monkeypatch, kernel)
    root = overlay.overlay(("/a", "/b"), "/upper", "/work")
    assert root is not None
    os.close(root)
    assert kernel.options[:3] == [("source", "overlay"), ("lowerdir+", "/a"), ("lowerdir+", "/b")]


@pytest.mark.parametrize(
    "kernel",
    [
        pytest.param(Kernel({}, at_end=errno.EINVAL), id="6.1 takes every option and fails at the end"),
        pytest.param(Kernel({"lowerdir+": errno.EINVAL, "holdall": errno.EINVAL}), id="6.6 refuses the option"),
        pytest.param(Kernel({"volatile": errno.EINVAL}), id="6.1 with more options than fit a page"),
    ],
)
def test_older_kernels_are_told_from_mistakes(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    install(monkeypatch, kernel)
    before = sorted(os.listdir("/proc/self/fd"))
    assert overlay.overlay(("/a", "/b"), "/upper", "/work", volatile=True) is None
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert not kernel.mounted


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ELOOP, errno.ENOTDIR])
def test_mistakes_on_newest_kernels_are_reported(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    install(monkeypatch, Kernel(NEWEST, at_end=number))
    with pytest.raises(OSError) as caught:
        overlay.overlay(("/a", "/b"), "/upper", "/work")
    assert caught.value.errno == number
