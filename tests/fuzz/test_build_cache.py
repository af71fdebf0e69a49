"""Caches from elsewhere with anything in them: a cache or a HoldallError, and what zstd:chunked makes of any tar."""

from __future__ import annotations

import io
import json
import os
import random
from typing import TYPE_CHECKING, Any

from holdall.build import cache_artifact
from holdall.build.cache_artifact import INLINE, Cache, CachedMount, CachedStep
from holdall.errors import HoldallError
from holdall.image.mutate import new_image
from holdall.layer.chunked import ChunkedWriter
from holdall.layer.compression import open_layer
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.manifest import Manifest
from holdall.testing.images import random_image, tar_of

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 30_000 if os.environ.get("HOLDALL_SOAK") else 500
LEAVES = (
    None,
    True,
    0,
    -1,
    1 << 70,
    1.5,
    "",
    "a" * 64,
    "a" * 32,
    "sha256:" + "a" * 64,
    "sha512:x",
    "\x07é",
    [],
    {},
    "../x",
)


def blob(number: int) -> Descriptor:
    return Descriptor(mediatype.OCI_LAYER_GZIP, Digest.of(b"%d" % number), number)


CACHE = Cache(
    tuple([CachedStep(f"{n:064x}", blob(n), Digest.of(b"tar"), 512, "RUN") for n in range(3)]),
    (CachedMount("b" * 32, "pip", blob(9), Digest.of(b"mount"), 5),),
)


def survive(read: Callable[[], object]) -> None:
    message = "read"
    try:
        read()
    except HoldallError as err:
        message = err.message
    assert message.isprintable(), ascii(message)
    assert len(message) < 2_000


def changed(dice: random.Random, tree: Any) -> Any:
    if isinstance(tree, dict) and tree and dice.random() < 0.9:
        key = dice.choice([*tree])
        if dice.random() < 0.1:
            return {name: value for name, value in tree.items() if name != key}
        return {**tree, key: changed(dice, tree[key])}
    if isinstance(tree, list) and tree and dice.random() < 0.9:
        at = dice.randrange(len(tree))
        return [*tree[:at], changed(dice, tree[at]), *tree[at + dice.randint(0, 1) :]]
    return dice.choice(LEAVES)


def test_configurations_and_manifests() -> None:
    dice = random.Random(1)
    manifest, config = cache_artifact.write(CACHE)
    for _ in range(ROUNDS):
        wrong = json.dumps(changed(dice, json.loads(config))).encode()
        survive(lambda wrong=wrong: cache_artifact.read(manifest, wrong))
        raw = json.dumps(changed(dice, json.loads(manifest.raw))).encode()
        survive(lambda raw=raw: cache_artifact.read(Manifest.parse(raw), config))
        noise = bytearray(config)
        noise[dice.randrange(len(noise))] = dice.randrange(256)
        survive(lambda noise=noise: cache_artifact.read(manifest, bytes(noise)))
    survive(lambda: cache_artifact.read(manifest, b"[" * 100_000))
    survive(lambda: cache_artifact.read(manifest, b" " * (5 << 20)))


def test_annotations_of_images() -> None:
    dice = random.Random(2)
    image = random_image(1, layers=2)
    layer = image.layers[0]
    text = cache_artifact.inline([CachedStep("a" * 64, layer.descriptor, layer.diff_id, 1, "")], [layer.diff_id])
    for _ in range(ROUNDS):
        wrong = json.dumps(changed(dice, json.loads(text)))
        made = new_image(image.config, image.layers, annotations={INLINE: wrong})
        survive(lambda made=made: cache_artifact.of_image(made))


def test_chunked_layers_of_damaged_tars() -> None:
    dice = random.Random(3)
    whole = tar_of({"a": None, "a/b": b"x" * 3_000, "c" * 150: os.urandom(2_000), "d": b""}, {"l": "a/b"})
    for _ in range(ROUNDS // 5):
        tar = bytearray(whole)
        for _ in range(dice.randint(0, 3)):
            tar[dice.randrange(len(tar))] = dice.randrange(256)
        tar = tar[: dice.choice([len(tar), len(tar), dice.randrange(len(tar))])]
        out = io.BytesIO()
        writer = ChunkedWriter(out, 3)
        try:
            step = dice.choice([1 << 20, 511, 4096])
            for at in range(0, len(tar), step):
                writer.write(bytes(tar[at : at + step]))
            writer.close()
        except HoldallError:
            continue
        out.seek(0)
        assert open_layer(out, mediatype.OCI_LAYER_ZSTD).read() == tar
