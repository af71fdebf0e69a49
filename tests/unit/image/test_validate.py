from __future__ import annotations

import pytest

from holdall.errors import InvalidManifest, Unsupported
from holdall.image import mutate
from holdall.image.image import Image
from holdall.image.validate import check_image, check_manifest, history_fits
from holdall.oci.config import ImageConfig
from holdall.oci.digest import Digest
from holdall.oci.history import History
from holdall.oci.platform import Platform
from holdall.record import replace
from holdall.testing.images import layer_of, random_image, tar_of

AMD = Platform("linux", "amd64")
LAYER = layer_of(tar_of({"a": b"x"}))


def image(diff_ids: int, layers: int, history: tuple[History, ...] = ()) -> Image:
    config = ImageConfig.build(AMD, [LAYER.diff_id] * diff_ids, history=history)
    return mutate.new_image(config, [LAYER] * layers)


def test_good_images_pass() -> None:
    check_image(random_image(1))
    check_image(random_image(1, compression="none"))
    check_image(random_image(1, compression="zstd", docker=True))
    check_image(image(0, 0))
    check_image(image(1, 1, (History(empty_layer=True), History(), History(empty_layer=True))))


@pytest.mark.parametrize("bad", [image(1, 2), image(2, 1), image(0, 1)])
def test_counts_must_agree(bad: Image) -> None:
    with pytest.raises(InvalidManifest):
        check_image(bad)


def test_a_history_that_does_not_fit_is_told_but_not_refused() -> None:
    odd = image(1, 1, (History(), History()))
    check_image(odd)
    assert not history_fits(odd.config)
    assert history_fits(image(1, 1, (History(empty_layer=True), History())).config)
    made = mutate.append_layer(odd, LAYER, created_by="x")
    assert history_fits(made.config)
    assert made.config.history == (History(), History(created_by="x"))


def test_an_uncompressed_layer_is_its_own_diff_id() -> None:
    plain = layer_of(tar_of({"a": b"x"}), compression="none")
    config = ImageConfig.build(AMD, [Digest.of(b"other")])
    with pytest.raises(InvalidManifest, match="not compressed"):
        check_image(mutate.new_image(config, [plain]))


def test_encrypted_layers_get_a_hint() -> None:
    kind = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"
    locked = replace(LAYER, descriptor=replace(LAYER.descriptor, media_type=kind))
    with pytest.raises(Unsupported) as caught:
        check_manifest(mutate.new_image(ImageConfig.build(AMD, [LAYER.diff_id]), [locked]).manifest)
    assert caught.value.hint is not None
