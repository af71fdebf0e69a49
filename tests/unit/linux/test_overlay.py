"""Which way of mounting an overlay is chosen, by the kernel's version."""

from __future__ import annotations

import errno
import os

import pytest

from holdall.linux import mount, overlay


class Kernel:
    """The mount API of one kernel, as far as `overlay` calls it. Descriptors are real ones."""

    def __init__(self, release: str, at_end: int = 0) -> None:
        self.release, self.at_end = release, at_end
        self.options: list[tuple[str, str | None]] = []

    def uname(self) -> os.uname_result:
        return os.uname_result(("Linux", "host", self.release, "#1", "x86_64"))

    def fsopen(self, fstype: str) -> int:
        assert fstype == "overlay"
        return os.open("/dev/null", os.O_RDONLY)

    def fsconfig(self, fd: int, key: str, value: str | None = None) -> None:
        os.fstat(fd)
        self.options.append((key, value))

    def fsmount(self, fd: int) -> int:
        if self.at_end:
            raise OSError(self.at_end, os.strerror(self.at_end))
        return os.dup(fd)


def install(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    monkeypatch.setattr(os, "uname", kernel.uname)
    for name in ("fsopen", "fsconfig", "fsmount"):
        monkeypatch.setattr(mount, name, getattr(kernel, name))


@pytest.mark.parametrize("release", ["6.7.0", "6.7-rc1", "6.18.44-custom", "7.0.0", "12.1", "unheard-of"])
def test_newer_kernels_mount_by_descriptor(monkeypatch: pytest.MonkeyPatch, release: str) -> None:
    kernel = Kernel(release)
    install(monkeypatch, kernel)
    root = overlay.overlay(("/a", "/b"), "/upper", "/work")
    assert root is not None
    os.close(root)
    assert kernel.options[:3] == [("source", "overlay"), ("lowerdir+", "/a"), ("lowerdir+", "/b")]


@pytest.mark.parametrize("release", ["5.11.0", "5.15.0-91-generic", "6.1.0-56-amd64", "6.6.99"])
def test_older_kernels_are_not_even_asked(monkeypatch: pytest.MonkeyPatch, release: str) -> None:
    kernel = Kernel(release)
    install(monkeypatch, kernel)
    assert overlay.overlay(("/a", "/b"), "/upper", "/work", volatile=True) is None
    assert kernel.options == []


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ELOOP, errno.ENOTDIR])
def test_refusals_are_reported_and_nothing_stays_open(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    install(monkeypatch, Kernel("6.12.0", at_end=number))
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError) as caught:
        overlay.overlay(("/a", "/" + "./" * 200), "", "")
    assert caught.value.errno == number
    assert sorted(os.listdir("/proc/self/fd")) == before
