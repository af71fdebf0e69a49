"""The form in which a build cache travels: the same in both directions, and strict with what comes from outside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from holdall.build import cache_artifact
from holdall.build.cache_artifact import ARTIFACT, CONFIG, INLINE, Cache, CachedMount, CachedStep
from holdall.errors import HoldallError, InvalidManifest, LimitExceeded, Unsupported
from holdall.image.mutate import new_image
from holdall.oci import mediatype
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.manifest import Manifest
from holdall.testing.images import random_image

if TYPE_CHECKING:
    from typing import Any


def layer(number: int, kind: str = mediatype.OCI_LAYER_GZIP) -> Descriptor:
    return Descriptor(kind, Digest.of(b"blob %d" % number), 100 + number)


def step(number: int) -> CachedStep:
    return CachedStep(f"{number:064x}", layer(number), Digest.of(b"tar %d" % number), 512, f"RUN {number}")


MOUNT = CachedMount("a" * 32, "pip", layer(50, mediatype.OCI_LAYER_ZSTD), Digest.of(b"tar"), 1024)
CACHE = Cache((step(1), step(2)), (MOUNT,))


def test_it_is_read_as_it_was_written() -> None:
    manifest, config = cache_artifact.write(CACHE)
    assert manifest.artifact_type == ARTIFACT
    assert manifest.config.media_type == CONFIG
    assert Digest.of(config) == manifest.config.digest
    assert cache_artifact.is_cache(manifest)
    assert cache_artifact.read(Manifest.parse(manifest.raw), config) == CACHE


def test_equal_caches_give_equal_bytes_in_whatever_order() -> None:
    turned = Cache((step(2), step(1)), (MOUNT,))
    assert cache_artifact.write(turned) == cache_artifact.write(CACHE)


def test_steps_of_one_layer_share_its_blob() -> None:
    again = CachedStep("f" * 64, layer(1), step(1).diff_id, 512, "RUN other")
    manifest, _ = cache_artifact.write(Cache((step(1), again)))
    assert len(manifest.layers) == 1


def test_more_layers_than_a_manifest_may_have_are_refused() -> None:
    with pytest.raises(LimitExceeded):
        cache_artifact.write(Cache(tuple([step(number) for number in range(1001)])))


def changed(**values: Any) -> bytes:
    _, config = cache_artifact.write(CACHE)
    tree = json.loads(config)
    for path, value in values.items():
        target, keys = tree, path.split("__")
        for key in keys[:-1]:
            target = target[int(key[1:]) if key[0] == "n" and key[1:].isdigit() else key]
        target[keys[-1]] = value
    return json.dumps(tree).encode()


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (b"", InvalidManifest),
        (b"[]", InvalidManifest),
        (b"{}", Unsupported),
        (changed(version=2), Unsupported),
        (changed(steps={}), InvalidManifest),
        (changed(steps__n0__key="short"), InvalidManifest),
        (changed(steps__n0__key="A" * 64), InvalidManifest),
        (changed(steps__n0__layer=str(Digest.of(b"not in the manifest"))), InvalidManifest),
        (changed(steps__n0__layer="sha256:1"), InvalidManifest),
        (changed(steps__n0__diffId=7), InvalidManifest),
        (changed(steps__n0__size=-1), InvalidManifest),
        (changed(steps__n0__size=1 << 60), InvalidManifest),
        (changed(mounts__n0__name="../../etc"), InvalidManifest),
        (changed(mounts__n0__name="a" * 31 + "/"), InvalidManifest),
        (changed(mounts=[{}] * 201), LimitExceeded),
        (changed(steps=[{}] * 10_001), LimitExceeded),
        (changed(x="y" * (5 << 20)), LimitExceeded),
    ],
)
def test_what_is_malformed_is_refused(config: bytes, error: type[HoldallError]) -> None:
    manifest, _ = cache_artifact.write(CACHE)
    with pytest.raises((error, InvalidManifest)):
        cache_artifact.read(manifest, config)


@pytest.mark.parametrize("kind", ["application/octet-stream", mediatype.OCI_FOREIGN_LAYER_GZIP, mediatype.OCI_CONFIG])
def test_blobs_that_are_no_layers_are_refused(kind: str) -> None:
    _, config = cache_artifact.write(CACHE)
    manifest = Manifest.build(Descriptor(CONFIG, Digest.of(config), len(config)), [layer(1, kind)])
    with pytest.raises(InvalidManifest):
        cache_artifact.read(manifest, config)


def test_what_is_printed_later_has_no_control_characters_and_an_end() -> None:
    manifest, _ = cache_artifact.write(CACHE)
    found = cache_artifact.read(manifest, changed(steps__n0__what="a\x1b[31m\n" + "b" * 9999))
    assert found.steps[0].what.startswith("a�[31m�b")
    assert len(found.steps[0].what) == 500


def test_a_cache_inline_in_an_image() -> None:
    image = random_image(1, layers=2)
    known = [CachedStep("c" * 64, one.descriptor, one.diff_id, 1, "") for one in image.layers[1:]]
    text = cache_artifact.inline(known, [one.diff_id for one in image.layers])
    noted = new_image(image.config, image.layers, annotations={INLINE: text})
    (found,) = cache_artifact.of_image(noted).steps
    assert (found.key, found.diff_id, found.layer.digest) == (
        "c" * 64, image.layers[1].diff_id, image.layers[1].descriptor.digest,
    )  # fmt: skip
    assert cache_artifact.of_image(image) == Cache()
    assert cache_artifact.inline(known, [image.layers[0].diff_id]) == ""


@pytest.mark.parametrize("text", ["{", '{"version":1,"keys":[]}', '{"version":1,"keys":{"%s":["x"]}}', "[1]"])
def test_an_inline_cache_that_is_malformed_is_refused(text: str) -> None:
    image = random_image(1, layers=1)
    text = text % image.layers[0].diff_id if "%s" in text else text
    with pytest.raises(InvalidManifest):
        cache_artifact.of_image(new_image(image.config, image.layers, annotations={INLINE: text}))


def test_an_inline_cache_of_another_version_is_passed_over() -> None:
    image = random_image(1, layers=1)
    noted = new_image(image.config, image.layers, annotations={INLINE: '{"version":9}'})
    assert cache_artifact.of_image(noted) == Cache()
