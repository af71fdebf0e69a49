from __future__ import annotations

import pytest

from holdall.errors import InvalidMediaType, NotFound, Unsupported
from holdall.image import mutate
from holdall.image.validate import check_image
from holdall.oci import mediatype
from holdall.oci.container_config import ContainerConfig
from holdall.oci.history import History
from holdall.oci.platform import Platform
from holdall.record import replace
from holdall.testing.images import blobs_of, image_of_files, layer_of, random_image, tar_of

EXTRA = layer_of(tar_of({"new": b"data"}))


@pytest.mark.parametrize("docker", [False, True])
def test_append_layer(docker: bool) -> None:
    base = random_image(1, layers=2, docker=docker)
    config = replace(base.config.config, cmd=("new",))
    made = mutate.append_layer(base, EXTRA, config=config, created="2023-11-14T22:13:20Z", created_by="me", author="a")
    check_image(made)
    assert made.manifest.layers == (*base.manifest.layers, EXTRA.descriptor)
    assert made.config.diff_ids == (*base.config.diff_ids, EXTRA.diff_id)
    assert made.config.history[:-1] == base.config.history
    assert made.config.history[-1] == History("2023-11-14T22:13:20Z", "me", "a")
    assert made.config.config.cmd == ("new",)
    assert made.manifest.media_type == base.manifest.media_type
    assert mediatype.is_docker(made.manifest.config.media_type) == docker
    assert set(blobs_of(made)) >= {EXTRA.descriptor.digest, *(one.digest for one in base.manifest.layers)}
    assert base.manifest.layers == random_image(1, layers=2, docker=docker).manifest.layers


def test_set_config_adds_an_empty_step() -> None:
    base = random_image(1)
    made = mutate.set_config(base, ContainerConfig(user="x"), created_by="USER x")
    check_image(made)
    assert made.config.history[-1] == History(created_by="USER x", empty_layer=True)
    assert made.config.diff_ids == base.config.diff_ids
    assert made.config.config == ContainerConfig(user="x")
    assert made.id != base.id


def test_an_image_without_history_gets_one_that_fits() -> None:
    plain = mutate.from_layers(Platform("linux", "amd64"), [EXTRA, EXTRA])
    assert plain.config.history == ()
    check_image(mutate.append_layer(plain, EXTRA, created_by="x"))
    check_image(mutate.set_config(plain, ContainerConfig()))


def test_equal_steps_give_equal_digests() -> None:
    made = [mutate.append_layer(random_image(3), EXTRA, created_by="x").digest for _ in range(2)]
    assert made[0] == made[1]


def test_media_types_can_be_changed_both_ways() -> None:
    base = random_image(1)
    docker = mutate.with_media_types(base, docker=True)
    check_image(docker)
    assert docker.manifest.media_type == mediatype.DOCKER_MANIFEST
    assert {one.media_type for one in docker.manifest.layers} == {mediatype.DOCKER_LAYER_GZIP}
    assert docker.config.raw == base.config.raw
    assert mutate.with_media_types(docker, docker=False).digest == base.digest
    assert mutate.with_media_types(base, docker=False) is base


def test_layers_by_number() -> None:
    image = random_image(1, layers=2)
    assert image.layer(1) == image.layers[1]
    assert image.layer(0).open().read()[:2] == b"\x1f\x8b"
    for number in (-1, 2):
        with pytest.raises(NotFound, match="has 2"):
            image.layer(number)
    assert image.size == sum(len(data) for data in blobs_of(image).values())
    assert image.id == image.config.digest
    assert image.descriptor.platform == image.config.platform


def test_unknown_layer_types_cannot_be_translated() -> None:
    image = image_of_files([{"a": b""}])
    strange = mutate.new_image(
        image.config, [replace(image.layer(0), descriptor=replace(image.layer(0).descriptor, media_type="x/y"))]
    )
    with pytest.raises(InvalidMediaType):
        mutate.with_media_types(strange, docker=True)
    with pytest.raises(Unsupported, match="not a file system layer"):
        check_image(strange)
