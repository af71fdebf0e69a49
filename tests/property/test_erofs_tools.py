"""Debian's erofs-utils accept what we write, and extract from it what was put in.

Debian 12's fsck.erofs, 1.5, reads blocks of one page only ("blksize 512 isn't supported on this platform"); later ones
up to 1.8.7 crash over the checksum of any image with smaller blocks than 2048 bytes. With these the same trees are
written with blocks of 4096 bytes, by the same code. Those of Debian unstable (scripts/erofs-tools) get the store's 512.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from holdall.erofs.node import Node
from holdall.testing.erofs import Data, Image, model, nodes, survey
from holdall.testing.erofs_trees import example, trees
from holdall.testing.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "erofs-tools"
pytestmark = [pytest.mark.peers, pytest.mark.root]
ROUNDS = 500 if os.environ.get("HOLDALL_SOAK") else 15
SECONDS = (1 << 31) * 10**9
"""Nanoseconds around 1970 that every file system to extract to can keep."""
quick = settings(
    max_examples=ROUNDS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


def run(*words: str, ok: bool = True) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    assert not ok or done.returncode == 0, (words, done.returncode, done.stdout)
    assert not ok or "<E>" not in done.stdout, (words, done.stdout)
    return f"{done.returncode} {done.stdout}"


@pytest.fixture(scope="module", params=["installed", "unstable"])
def block_bits(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, ...]]:
    """The block sizes that the tools read, which are first in PATH meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "unstable":
            folder = tmp_path_factory.mktemp("tools")
            done = subprocess.run(["sh", SCRIPT, folder], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"Debian unstable cannot be had: {done.stderr[-200:]}")
            patch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
        yield sizes(wanted=request.param == "unstable")
        if request.param == "unstable":
            shutil.rmtree(folder)


def sizes(*, wanted: bool) -> tuple[int, ...]:
    """9 (if it must be) and 12, or 12 alone, by what the tools say to an image of ours."""
    if not shutil.which("fsck.erofs") or not shutil.which("dump.erofs"):
        pytest.skip("erofs-utils are not installed")
    with Image(*example(50)) as image:
        answer = run("fsck.erofs", f"--device={image.device}", image.path, ok=False)
    if answer.startswith("0 ") or wanted:
        assert answer.startswith("0 "), answer
        return (9, 12)
    assert "blksize 512 isn't supported on this platform" in answer or answer.startswith("-11 "), answer
    return (12,)


def extracted(image: Image, folder: str) -> dict[bytes, tuple[object, ...]]:
    run("fsck.erofs", f"--device={image.device}", f"--extract={folder}", "--preserve", "--overwrite", image.path)
    return survey(os.fsencode(folder))


def comparable(facts: dict[bytes, tuple[object, ...]], root: Node) -> dict[bytes, tuple[object, ...]]:
    """Without what version 1.5 does not extract: set-ID bits (it sets owners last), attributes, hard links, holes."""
    sparse = {path for path, node in nodes(root) if isinstance(node.extents, tuple)}
    found = {}
    for path, (mode, uid, gid, mtime, size, rdev, _, content, _) in facts.items():
        assert isinstance(mode, int)
        assert isinstance(mtime, int)
        mtime = max(-SECONDS, min(mtime, SECONDS))
        kept = (size, content) if path not in sparse else ()
        bits = stat.S_IFMT(mode) if stat.S_ISLNK(mode) else mode & ~0o6000
        found[path] = (bits, uid, gid, mtime if path else 0, rdev, *kept)
    return found


@quick
@given(trees(), st.data())
def test_generated_trees_are_accepted_and_extracted(
    tmp_path_factory: pytest.TempPathFactory,
    block_bits: tuple[int, ...],
    tree: tuple[Node, Data],
    choice: st.DataObject,
) -> None:
    root, data = tree
    wanted = comparable(model(root, data), root)
    folder = tmp_path_factory.mktemp("out")
    with Image(root, data, block_bits=choice.draw(st.sampled_from(block_bits))) as image:
        run("fsck.erofs", f"--device={image.device}", image.path)
        run("dump.erofs", f"--device={image.device}", "-s", "-S", image.path)
        assert not differences(wanted, comparable(extracted(image, str(folder)), root))
    shutil.rmtree(folder)


def test_a_large_tree_is_accepted(tmp_path: Path, block_bits: tuple[int, ...]) -> None:
    for bits in block_bits:
        root, data = example(3000)
        wanted = comparable(model(root, data), root)
        with Image(root, data, block_bits=bits) as image:
            run("fsck.erofs", f"--device={image.device}", image.path)
            told = run("dump.erofs", f"--device={image.device}", "-s", image.path)
            assert "0xE0F5E1E2" in told
            assert "sb_csum" in told
            assert "chunked_file" in told
            assert not differences(wanted, comparable(extracted(image, str(tmp_path / str(bits))), root))


def test_a_wrong_checksum_is_noticed(block_bits: tuple[int, ...]) -> None:
    """So the acceptance above says something."""
    for bits in block_bits:
        with Image(*example(10), block_bits=bits) as image:
            os.pwrite(image.fd, b"\1", 1024 + 64)
            answer = run("fsck.erofs", f"--device={image.device}", image.path, ok=False)
            assert "checksum" in answer, answer
