"""The same Dockerfile by buildah: file trees are equal, for what it has too."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.testing.command import CommandStore, busybox_available, busybox_tar

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.root,
    pytest.mark.peers,
    pytest.mark.skipif(
        not busybox_available() or shutil.which("buildah") is None, reason="needs root, busybox-static and buildah"
    ),
]

DOCKERFILE = """FROM scratch
ADD base.tar /
ADD rootfs.tar.xz /
ADD any /opt/one/
ADD any plain.txt /opt/two/
COPY tree /opt/tree
COPY tree/*.txt tree/sub /opt/wild/
COPY --chown=3:4 tree/sub plain.txt /opt/owned/
COPY --chmod=741 plain.txt /opt/mode
COPY plain.txt /lib/through-a-link
COPY plain.txt /etc/
"""


def rootfs() -> bytes:
    """Links to folders, set-ID bits, owners, a hard link, names that are odd."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:

        def put(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, link: str = "", owner: int = 0) -> None:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname, info.uid, info.gid = kind, mode, link, owner, owner
            data = name.encode() if kind == tarfile.REGTYPE else b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

        put("./usr/lib", tarfile.DIRTYPE, 0o711)
        put("lib", tarfile.SYMTYPE, 0o777, "usr/lib")
        put("lib/inside", owner=7)
        put("usr/bin/su", mode=0o4755)
        put("usr/bin/also", tarfile.LNKTYPE, 0o4755, "usr/bin/su")
        put("etc", tarfile.DIRTYPE, 0o750, owner=5)
        put("tmp", tarfile.DIRTYPE, 0o1777)
        put("odd name\u00e9", mode=0o600)
        put("abs", tarfile.SYMTYPE, 0o777, "/usr/lib")
    return out.getvalue()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    found = tmp_path / "context"
    (found / "tree/sub/deep").mkdir(parents=True)
    for name in ("plain.txt", "tree/a.txt", "tree/b.txt", "tree/c.bin", "tree/sub/x", "tree/sub/deep/y"):
        (found / name).write_text(name)
    (found / "tree/sub").chmod(0o711)
    (found / "tree/link").symlink_to("sub/x")
    (found / "tree/c.bin").chmod(0o700)
    (found / "base.tar").write_bytes(Path(busybox_tar(str(tmp_path / "bb.tar"))).read_bytes())
    data = rootfs()
    (found / "rootfs.tar.xz").write_bytes(subprocess.run(["xz", "-c"], input=data, stdout=-1, check=True).stdout)
    (found / "any").write_bytes(subprocess.run(["gzip", "-nc"], input=data, stdout=-1, check=True).stdout)
    (found / "Dockerfile").write_text(DOCKERFILE)
    return found


@pytest.fixture
def store() -> Iterator[CommandStore]:
    folder = tempfile.mkdtemp(prefix="holdall-source-peers-")
    store = CommandStore(folder)
    try:
        yield store
        store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ours(store: CommandStore, context: Path, tmp_path: Path) -> dict[str, tuple[object, ...]]:
    image = store.run("build", "-q", str(context))
    store.run("create", "--name", "probe", image, "x")
    store.run("export", "-o", str(tmp_path / "ours.tar"), "probe")
    folder = tmp_path / "ours"
    folder.mkdir()
    subprocess.run(["tar", "-C", str(folder), "-xpf", str(tmp_path / "ours.tar"), "--numeric-owner"], check=True)
    return tree(folder)


def theirs(context: Path, tmp_path: Path) -> dict[str, tuple[object, ...]]:
    command = ["buildah", "--root", f"{tmp_path}/root", "--runroot", f"{tmp_path}/run", "--storage-driver", "vfs"]
    image = subprocess.run(
        [*command, "build", "-q", "--isolation", "chroot", str(context)], stdout=-1, check=True, text=True
    ).stdout.strip()
    container = subprocess.run([*command, "from", image], stdout=-1, check=True, text=True).stdout.strip()
    try:
        place = subprocess.run([*command, "mount", container], stdout=-1, check=True, text=True).stdout.strip()
        return tree(Path(place))
    finally:
        subprocess.run([*command, "umount", container], stdout=-3, check=True)
        subprocess.run([*command, "rm", container], stdout=-3, check=True)


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Kind, mode, owner, links and content of every path; not the root's, nor what commands put there."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content = ""
            if stat.S_ISREG(status.st_mode):
                content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            links = status.st_nlink if stat.S_ISREG(status.st_mode) else 0
            found[os.path.relpath(path, root)] = (
                oct(status.st_mode), status.st_uid, status.st_gid, links, content,
            )  # fmt: skip
    return {
        name: facts for name, facts in found.items() if name.split("/")[0] not in ("dev", "proc", "sys", "run")
        and name not in ("etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", ".dockerenv")
    }  # fmt: skip


def test_the_files_are_those_of_buildah(store: CommandStore, context: Path, tmp_path: Path) -> None:
    mine, other = ours(store, context, tmp_path), theirs(context, tmp_path)
    differing = {
        name: (mine.get(name), other.get(name))
        for name in mine.keys() | other.keys()
        if mine.get(name) != other.get(name)
    }
    assert not differing, "\n".join(f"{name}: {one}" for name, one in sorted(differing.items()))
