"""Repositories that somebody made to do harm: nothing is written outside of the checkout, nothing runs, all ends."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from holdall.errors import HoldallError, InvalidInput, LimitExceeded
from holdall.testing.git_served import Served, checked_out, git, made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdall.build.gitsource import Repositories

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

ROUNDS = 400 if os.environ.get("HOLDALL_SOAK") else 12


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "served").mkdir()
    served = Served(tmp_path / "served")
    served.commit({"f": "x"})
    yield served
    served.end()


@pytest.fixture
def repositories(tmp_path: Path) -> Repositories:
    return made(tmp_path)


def stored(served: Served, kind: str, data: bytes) -> str:
    """Put an object of any form into the repository; its ID."""
    words = ["git", "-C", str(served.work), "hash-object", "-w", "-t", kind, "--literally", "--stdin"]
    return subprocess.run(words, input=data, capture_output=True, check=True).stdout.decode().strip()


def tree(served: Served, *entries: tuple[str, bytes, str]) -> str:
    """A tree of (mode, name, ID), as it is given."""
    raw = b"".join([mode.encode() + b" " + name + b"\0" + bytes.fromhex(one) for mode, name, one in entries])
    return stored(served, "tree", raw)


def publish(served: Served, root: str) -> str:
    """Make the tree the head of the branch "evil"; the address."""
    raw = f"tree {root}\nauthor A <a@b> 1700000000 +0000\ncommitter A <a@b> 1700000000 +0000\n\nx\n"
    git(served.work, "update-ref", "refs/heads/evil", stored(served, "commit", raw.encode()))
    return f"{served.url}#evil"


def outside(folder: Path) -> set[str]:
    """What there is beside the checkout."""
    return {str(path) for path in folder.rglob("*") if not path.is_relative_to(folder / "out")} - {
        str(path) for path in (folder / "store").rglob("*")
    }


NAMES = (
    b"..", b".", b".git", b"../../up", b"/etc/x", b"a/../../up", b".GIT/config", b"", b"x\ny", b"\xff\xfe", b"-x",
    b"a" * 300,
)  # fmt: skip


def test_names_that_lead_out(served: Served, repositories: Repositories, tmp_path: Path) -> None:
    blob = stored(served, "blob", b"evil")
    inner = tree(served, ("100644", b"up", blob))
    kinds = (
        ("100644", blob), ("40000", inner), ("120000", stored(served, "blob", b"..")), ("160000", "1" * 40),
    )  # fmt: skip
    before = outside(tmp_path)
    for name in NAMES:
        for mode, one in kinds:
            url = publish(served, tree(served, (mode, name, one)))
            try:
                checked_out(repositories, url, tmp_path / "out")
            except HoldallError as err:
                str(err).encode()
            assert {path for path in outside(tmp_path) - before if "/served/" not in path} == set(), (mode, name)
            shutil.rmtree(tmp_path / "out")


def test_a_submodule_behind_a_link(served: Served, repositories: Repositories, tmp_path: Path) -> None:
    """One tree with a link and a folder of the same name: the submodule is to go where the link leads."""
    victim = tmp_path / "victim"
    victim.mkdir()
    commit = git(served.work, "rev-parse", "HEAD")
    link = stored(served, "blob", os.fsencode(victim))
    modules = stored(served, "blob", f'[submodule "x"]\n\tpath = a/b\n\turl = {served.url}\n'.encode())
    inner = tree(served, ("160000", b"b", commit))
    for entries in (
        (("120000", b"a", link), ("40000", b"a", inner)),
        (("40000", b"a", inner), ("120000", b"a", link)),
    ):
        url = publish(served, tree(served, ("100644", b".gitmodules", modules), *entries))
        try:
            checked_out(repositories, url, tmp_path / "out")
        except HoldallError as err:
            str(err).encode()
        assert list(victim.iterdir()) == []
        shutil.rmtree(tmp_path / "out")


ADDRESSES = (
    "ext::touch /tmp/holdall-evil", "file:///etc", "/etc", "-u./x", "--upload-pack=touch", "ssh://-oProxyCommand=x/y",
    "git@-oProxyCommand=x:y", "fd::7", "http://", "../../../../../x", "https://h\u001b[2J/x.git", "transport::http://x",
    "ssh://h/-x\nurl = y", "",
)  # fmt: skip


def test_addresses_of_submodules(
    served: Served, repositories: Repositories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    for address in ADDRESSES:
        quoted = address.replace("\\", "\\\\").replace("\n", "\\n")
        modules = stored(served, "blob", f'[submodule "x"]\n\tpath = sub\n\turl = "{quoted}"\n'.encode())
        url = publish(served, tree(served, ("100644", b".gitmodules", modules), ("160000", b"sub", "1" * 40)))
        with pytest.raises(HoldallError) as caught:
            checked_out(repositories, url, tmp_path / "out")
        assert "\x1b" not in str(caught.value)
        assert not os.path.exists("/tmp/holdall-evil")
        shutil.rmtree(tmp_path / "out")


def test_a_submodule_of_itself_ends(served: Served, repositories: Repositories, tmp_path: Path) -> None:
    modules = '[submodule "x"]\n\tpath = sub\n\turl = ./\n'
    commit = served.commit({".gitmodules": modules})
    for _ in range(18):
        git(served.work, "update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
        git(served.work, "commit", "-q", "-m", "x")
        commit = git(served.work, "rev-parse", "HEAD")
    with pytest.raises(LimitExceeded, match="16 within each other"):
        checked_out(repositories, served.url, tmp_path / "out")


@pytest.mark.parametrize("modules", [b"[", b"[submodule]\n", b"\xff" * 100, b"[include]\n\tpath = /etc/passwd\n", b""])
def test_what_gitmodules_says(served: Served, repositories: Repositories, tmp_path: Path, modules: bytes) -> None:
    text = stored(served, "blob", modules)
    url = publish(served, tree(served, ("100644", b".gitmodules", text), ("160000", b"sub", "1" * 40)))
    with pytest.raises(InvalidInput, match="has no address"):
        checked_out(repositories, url, tmp_path / "out")


def test_one_large_file_many_times(
    served: Served, repositories: Repositories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from holdall.layer.limits import Limits

    blob = stored(served, "blob", bytes(1 << 20))
    url = publish(served, tree(served, *[("100644", b"%03d" % number, blob) for number in range(200)]))
    monkeypatch.setattr("holdall.build.gitsource.DEFAULT", Limits(expansion_free=1 << 20, expansion_ratio=100))
    with pytest.raises(LimitExceeded, match="far more than was fetched"):
        checked_out(repositories, url, tmp_path / "out")


class Liar:
    """A server that speaks git's protocol until some byte, and then something else."""

    def __init__(self, served: Served, cut: int, dice: random.Random) -> None:
        self._served = served.port
        self._cut = cut
        self._dice = dice
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"git://127.0.0.1:{self._socket.getsockname()[1]}/project"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", self._served)) as server:
                asked = threading.Thread(target=self._pass, args=(client, server), daemon=True)
                asked.start()
                sent = 0
                try:
                    while data := server.recv(1 << 16):
                        keep = max(0, self._cut - sent)
                        sent += len(data)
                        client.sendall(data[:keep] + self._dice.randbytes(len(data[keep:])))
                        if sent > self._cut:
                            break
                    client.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    @staticmethod
    def _pass(client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(1 << 16):
                server.sendall(data)
        except OSError:
            pass

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def test_servers_that_send_anything(served: Served, tmp_path: Path) -> None:
    dice = random.Random(8)
    served.commit({f"file{number}": dice.randbytes(300).hex() for number in range(30)})
    for number in range(ROUNDS):
        folder = tmp_path / f"round{number}"
        folder.mkdir()
        liar = Liar(served, dice.randint(0, 9000), dice)
        try:
            found = checked_out(made(folder), liar.url + "#main", folder / "out")
        except HoldallError as err:
            str(err).encode()
        else:
            assert len(found) == 31
        finally:
            liar.close()
        locks = [name for name in os.listdir(folder / "store/ingest") if not name.endswith(".lock")]
        assert locks == []
        shutil.rmtree(folder)
