"""What a build is given from outside: whatever the bytes, a result or an error of ours, soon, and nothing left."""

from __future__ import annotations

import io
import os
import random
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall.build import archives, contexts, giturl, modes
from holdall.build.archives import Target
from holdall.build.secrets import MAX_SECRET, Secret, Vault
from holdall.dockerfile import mount
from holdall.engine import ssh_forward
from holdall.errors import HoldallError
from holdall.layer.tar import TarReader
from holdall.layer.writer import TarWriter
from holdall.linux import fsop
from holdall.paths import Paths
from holdall.store import build_records
from holdall.store.cache_seen import opened

if TYPE_CHECKING:
    from collections.abc import Callable

SOAK = bool(os.environ.get("HOLDALL_SOAK"))
ROUNDS = 30_000 if SOAK else 1_000
SLOW = 2.0
MOUNTS = (
    "type=|bind|cache|tmpfs|secret|ssh|target=|dst=|source=|src=|from=|id=|uid=|gid=|mode=|size=|sharing=|locked|env=|"
    'required|ro|rw=false|,|"|""|=|/a|../|0|1|-1|0777|99999999999999999999|1g|$a|é|\x00|\n|\udcff| '
).split("|")
SECRETS = (
    'id=a,src=/dev/null|id=|src=|source=|env=|type=|file|env|,|"|=|a|/dev/zero|/dev/full|/proc/self/mem|/etc|\n|\x00|é|'
    "\udcff|\ud800|"
).split("|")
GIT = (
    "https://|http://|ssh://|git://|git@|github.com/|h|a/b|.git|#|:|?|&|=|branch|tag|ref|commit|subdir|checksum|mtime|"
    "submodules|keep-git-dir|true|0|%2e%2e|..|/|-|@|[|]|[::1]|\n|\x00|é|\udcff|" + "a" * 40
).split("|")
CONTEXTS = (
    "docker-image://|oci-layout://|http://|https://|a|/|.|..|-|/dev/null|/etc/passwd|:|@|#|.git|\n|\x00|é|\udcff".split(
        "|"
    )
)
MODES = "u|g|o|a|+|-|=|r|w|x|X|s|t|,|0|7|8|777|01777|99999999|é|\x00| ".split("|")


def soup(dice: random.Random, pieces: list[str], most: int) -> str:
    return "".join(dice.choices(pieces, k=dice.randint(0, most)))


def survive(read: Callable[[str], object], text: str) -> bool:
    """Whether it was read; no other error than ours."""
    started = time.perf_counter()
    try:
        read(text)
    except HoldallError:
        return False
    finally:
        assert time.perf_counter() - started < SLOW, text
    return True


def read_secret(text: str) -> None:
    name, secret = Secret.parse(text, {"a": "x"})
    vault = Vault({name: secret})
    assert len(vault.get(name) or b"") <= MAX_SECRET


@pytest.mark.parametrize(
    ("read", "pieces"),
    [
        (lambda text: mount.parse(text, lambda value: value.replace("$a", "x")), MOUNTS),
        (mount.source_stage, MOUNTS),
        (read_secret, SECRETS),
        (giturl.parse, GIT),
        (lambda text: giturl.parse(text, bare=True), GIT),
        (lambda text: giturl.beside("https://h/a/b.git", text), GIT),
        (lambda text: contexts.named("x", text), CONTEXTS),
        (modes.parse, MODES),
    ],
    ids=["mount", "from", "secret", "git", "bare", "beside", "context", "mode"],
)
def test_words(read: Callable[[str], object], pieces: list[str]) -> None:
    dice = random.Random(11)
    assert sum(survive(read, soup(dice, pieces, 8)) for _ in range(ROUNDS))


def test_sockets_and_keys(tmp_path: Path) -> None:
    dice = random.Random(12)
    (tmp_path / "key").write_text("no key")
    pieces = [str(tmp_path / "key"), str(tmp_path), "", "/dev/null", "/dev/zero", "x\x00y", "\udcff", "a" * 5000]
    for _ in range(min(ROUNDS, 300)):
        given = {"a": tuple(dice.choices(pieces, k=dice.randint(0, 3)))}
        survive(lambda _text, given=given: ssh_forward.check(given), "")


def tars(dice: random.Random) -> bytes:
    """A tar with things of every kind, damaged in some places."""
    names = [
        "a",
        "b",
        "a/b",
        "a/b/c",
        "../x",
        "/x",
        ".",
        "",
        "a/../..",
        ".wh.a",
        ".wh..wh..opq",
        "l",
        "l/x",
        "é",
        "n" * 120,
    ]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=dice.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))) as tar:
        for _ in range(dice.randint(1, 8)):
            info = tarfile.TarInfo(dice.choice(names))
            kinds = (
                tarfile.REGTYPE,
                tarfile.DIRTYPE,
                tarfile.SYMTYPE,
                tarfile.LNKTYPE,
                tarfile.FIFOTYPE,
                tarfile.CHRTYPE,
            )
            info.type = dice.choice(kinds)
            info.linkname = dice.choice(["a", "..", "/", "../../..", "l", "a/b", "/etc"])
            info.devminor, info.devmajor = dice.choice(((0, 0), (3, 1)))
            info.mode, info.mtime = dice.choice((0o755, 0o4755, 0)), dice.choice((0, 1e9, 4e9))
            info.size = dice.choice((0, 5, 700)) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    data = bytearray(out.getvalue())
    for _ in range(dice.choice((0, 0, 1, 3))):
        at = dice.randrange(len(data))
        length = dice.choice((1, 8, 512))
        data[at : at + length] = dice.randbytes(dice.choice((0, 1, length)))
    return bytes(data)


def test_an_archive_becomes_a_layer_or_an_error(tmp_path: Path) -> None:
    dice = random.Random(13)
    (tmp_path / "a").mkdir()
    os.utime(tmp_path / "a", (3, 3))
    (tmp_path / "l").symlink_to("a")
    lower = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    refused = 0
    try:
        for _ in range(ROUNDS):
            out = io.BytesIO()
            tar = TarWriter(out)
            try:
                target = Target(
                    dice.choice(("", "a", "a/new")), dice.choice((None, lower)), dice.choice((None, (1, 2))), 9
                )
                archives.write(io.BytesIO(tars(dice)), target, tar)
            except HoldallError:
                refused += 1
                continue
            tar.close()
            for entry in TarReader(io.BytesIO(out.getvalue())):
                parts = entry.name.split(b"/")
                assert b".." not in parts
                assert not entry.name.startswith(b"/")
                assert not parts[-1].startswith(b".wh.")
                assert entry.mtime_ns <= 9_000_000_000
    finally:
        os.close(lower)
    assert ROUNDS // 10 < refused < ROUNDS


@pytest.mark.root
def test_an_archive_as_a_context_stays_in_its_folder(tmp_path: Path) -> None:
    dice = random.Random(14)
    out = tmp_path / "out"
    for _ in range(ROUNDS if SOAK else 300):
        out.mkdir()
        try:
            contexts.lay_out(io.BytesIO(tars(dice)), str(out))
        except HoldallError:
            pass
        assert os.listdir(tmp_path) == ["out"]
        fd = fsop.open_directory(str(tmp_path))
        fsop.remove_tree(fd, "out")
        os.close(fd)


def test_records_of_builds(tmp_path: Path) -> None:
    dice = random.Random(15)
    paths = Paths(str(tmp_path / "root"), str(tmp_path / "run"))
    writer = build_records.RecordWriter(paths, {
        "dockerfile": "D", "context": ".", "target": "", "platforms": ["linux/amd64"], "tags": [],
    })  # fmt: skip
    for number in range(3):
        writer.line(
            {"step": number, "kind": "step", "status": "done", "stack": ["sha256:" + "a" * 64], "line": "RUN x"}
        )
    writer.line({"end": {"ended": 5, "status": "done", "images": ["x"]}})
    writer.close()
    path = Path(writer.folder, build_records.NAME)
    whole = path.read_bytes()
    assert len(list(build_records.listed(paths))) == 1
    leaves = [b"[]", b"{}", b"null", b"-1", b"1e999", b'"x"', b"[" * 50, b"true", b"\xff", b"NaN", b"1" * 5000]
    for _ in range(ROUNDS):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(data))
            data[at : at + dice.choice((0, 1, 3, 20))] = dice.choice((b"", *leaves))
        path.write_bytes(data)
        for found in build_records.listed(paths):
            repr(found)
    path.write_bytes(b"[" * 200_000 + b"\n" + whole)
    assert len(list(build_records.listed(paths))) == 1


def test_what_was_seen_beside_a_cache_mount(tmp_path: Path) -> None:
    dice = random.Random(16)
    path = tmp_path / "x.seen"
    with opened(str(path)) as noted:
        noted.note({f"src/{number}": (f"{number:032}", "sha256:" + "a" * 64) for number in range(5)})
    whole = path.read_bytes()
    for _ in range(ROUNDS):
        data = bytearray(whole)
        at = dice.randrange(len(data))
        data[at : at + dice.choice((0, 1, 3, 20))] = dice.choice((b"", b"[]", b"{}", b"null", b"1", b"\xff", b'"'))
        path.write_bytes(data)
        with opened(str(path)) as noted:
            for value in noted.seen.values():
                assert len(value) == 2
