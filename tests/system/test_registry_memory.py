"""A blob's size must not show in the client's memory, neither down nor up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdall.testing.docker_registry import DockerRegistry

pytestmark = pytest.mark.peers

SMALL, LARGE = 4 << 20, 300 << 20
ALLOWED_GROWTH = 24 << 20

CLIENT = """
import asyncio, os, resource, sys
from holdall.image.image import Layer
from holdall.image.mutate import from_layers
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.platform import host
from holdall.oci.reference import Reference
from holdall.paths import Paths
from holdall.registry.options import Options
from holdall.registry.pull import pull
from holdall.registry.push import push
from holdall.store.content import ContentStore

way, reference, size, root = sys.argv[1], Reference.parse(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
options = Options(environ={"HOME": root})


class Zeros:
    def __init__(self, size):
        self.left = size
    def read(self, count):
        count = min(count, self.left)
        self.left -= count
        return bytes(count)
    def close(self):
        pass


class Source:
    def open(self, descriptor):
        return Zeros(descriptor.size)


def image():
    hasher, zeros = Digest("sha256", "").hasher(), Zeros(size)
    while data := zeros.read(1 << 20):
        hasher.update(data)
    digest = Digest.from_hasher(hasher)
    return from_layers(host(), [Layer(Descriptor(mediatype.OCI_LAYER, digest, size), digest, Source())])


if way == "push":
    asyncio.run(push(image(), reference, options=options))
else:
    paths = Paths(root, root)
    os.makedirs(paths.blobs)
    os.makedirs(paths.ingest)
    asyncio.run(pull(reference, ContentStore(paths), options=options))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak(way: str, reference: str, size: int, folder: Path) -> int:
    """Most bytes of memory a client process had while it moved an image of one layer of `size` bytes."""
    folder.mkdir()
    # a fork of this process would start with its peak: let a small shell stand between
    command = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", CLIENT, way, reference, str(size), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env={**os.environ, "PYTHONPATH": "src"})
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.timeout(200)
def test_memory_does_not_grow_with_blobs(registry_v2: DockerRegistry, tmp_path: Path) -> None:
    for way in ("push", "pull"):
        small = peak(way, f"{registry_v2.host}/memory/small:1", SMALL, tmp_path / f"{way}-small")
        large = peak(way, f"{registry_v2.host}/memory/large:1", LARGE, tmp_path / f"{way}-large")
        assert large - small < ALLOWED_GROWTH, (
            f"{way}: {small >> 20} MiB for a small blob, {large >> 20} MiB for a large"
        )
