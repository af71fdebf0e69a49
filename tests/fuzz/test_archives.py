"""Damaged archives: whatever happens to the bytes, an error of ours or an intact image, and nothing left behind."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import pytest

from holdall.errors import HoldallError
from holdall.paths import Paths
from holdall.store import archive
from holdall.store.content import ContentStore
from holdall.store.database import open_database
from holdall.store.images import ImageStore
from holdall.store.snapshots.overlay import OverlaySnapshots
from holdall.testing.images import random_image

SOAK = os.environ.get("HOLDALL_SOAK") == "1"
ROUNDS = 20_000 if SOAK else 150


def damage(source: random.Random, data: bytes) -> bytes:
    """A few bytes changed, a piece cut out, doubled or moved, or the end cut off."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 3)):
        at, length = source.randrange(len(changed)), source.choice((1, 4, 100, 512, 1024))
        match source.randrange(5):
            case 0:
                changed[at] ^= 1 << source.randrange(8)
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = changed[at : at + length]
            case 3:
                block = at // 512 * 512
                changed[block:block] = changed[source.randrange(len(changed)) // 512 * 512 :][:512]
            case _:
                changed[at : at + length] = source.randbytes(length)
        changed = changed or bytearray(b"x")
    return bytes(changed)


@pytest.mark.soak
@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
@pytest.mark.root
def test_damaged_archives_are_refused_or_harmless(tmp_path: Path, form: str) -> None:
    image = random_image(1, layers=1, files=2, size=300)
    out = io.BytesIO()
    archive.save([(image, ("docker.io/library/x:1",))], out, format=form)
    paths = Paths(str(tmp_path / "store"), str(tmp_path / "run"))
    database = open_database(paths)
    images = ImageStore(database, ContentStore(paths), OverlaySnapshots(paths))
    refused = 0
    for seed in range(ROUNDS):
        data = damage(random.Random(seed), out.getvalue())
        try:
            with archive.load(io.BytesIO(data), paths) as loaded:
                for found, _ in loaded.images:
                    images.write(found, None)
        except HoldallError:
            refused += 1
        for record in images.list():
            images.remove(record.id)
        left = [name for name in os.listdir(paths.ingest) if not name.endswith(".part")]
        assert left == [], seed
        assert list(images.snapshots.diff_ids()) == [], seed
    database.close()
    assert refused > ROUNDS // 4
