"""Masked folders: before Linux 6.15 a mount that is attached nowhere cannot be copied."""

from __future__ import annotations

import errno
import os

import pytest

from holdall.linux import mount
from holdall.runtime import places, plan
from holdall.runtime.rootfs import Builder


class OldKernel:
    """Tracks which of its mounts are attached; copies only those."""

    def __init__(self) -> None:
        self.attached: set[int] = set()
        self.covered = 0
        self.made = 0

    def new_filesystem(self, fstype: str, attributes: int = 0) -> int:
        assert (fstype, attributes) == ("tmpfs", mount.ATTR_RDONLY)
        self.made += 1
        return os.open("/", os.O_PATH)

    def open_tree(self, path: str, *, dirfd: int) -> int:
        assert path == ""
        if dirfd not in self.attached:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return os.dup(dirfd)

    def move_mount(self, fd: int, place: int) -> None:
        os.fstat(fd)
        self.attached.add(fd)
        self.covered += 1


def test_every_folder_is_covered_by_one_empty_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = OldKernel()
    for name in ("new_filesystem", "open_tree", "move_mount"):
        monkeypatch.setattr(mount, name, getattr(kernel, name))
    monkeypatch.setattr(places, "find", lambda root, path: os.open("/", os.O_PATH))
    builder = Builder(tuple(plan.Mask(f"/proc/{name}") for name in ("acpi", "asound", "scsi")))
    before = len(os.listdir("/proc/self/fd"))
    builder.perform()
    assert (kernel.covered, kernel.made) == (3, 1)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    os.close(builder._empty)
