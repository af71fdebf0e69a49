"""holdall bake from end to end: targets side by side, one on another, from JSON and from compose files."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from holdall.testing.building import Workshop
from holdall.testing.command import busybox_available, finish
from holdall.testing.registry import RegistryServer

if TYPE_CHECKING:
    import subprocess

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]

COMMON = "FROM bb AS common\nRUN echo common > /common\n"


def write(workshop: Workshop, targets: dict[str, Any], **more: Any) -> str:
    return workshop.write(json.dumps({"target": targets, **more}), "bake.json")


def attempt(workshop: Workshop, path: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return finish(workshop.store.begin("bake", "--progress", "plain", "-f", path, *words, more=more))


def bake(workshop: Workshop, path: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    done = attempt(workshop, path, *words, **more)
    assert done.returncode == 0, done.stderr
    return done


def target(workshop: Workshop, text: str, **more: Any) -> dict[str, Any]:
    return {"context": workshop.context, "dockerfile-inline": text, **more}


def test_targets_share_steps_and_stand_on_each_other(workshop: Workshop) -> None:
    workshop.fresh({"own": "of the context"})
    path = write(
        workshop,
        {
            "base": target(workshop, COMMON + "COPY own /own\n"),
            "web": target(
                workshop, "FROM base\nRUN cat /own /common > /web\n", tags=["web:1"], contexts={"base": "target:base"}
            ),
            "api": target(
                workshop,
                COMMON + "COPY --from=files /own /api\n",
                tags=["api:1", "api:2"],
                contexts={"files": "target:base"},
            ),
        },
        group={"default": {"targets": ["web", "api"]}},
    )
    done = bake(workshop, path, "--metadata-file", workshop.folder + "/metadata.json")
    assert workshop.shown("web:1", "busybox", "cat", "/web") == "of the contextcommon"
    assert workshop.shown("api:2", "busybox", "cat", "/api") == "of the context"
    assert "CACHED [" in done.stderr, "the common step is executed once"
    with open(workshop.folder + "/metadata.json") as file:
        metadata = json.load(file)
    assert sorted(metadata) == ["api", "base", "web"]
    assert metadata["api"]["image.name"] == "docker.io/library/api:1,docker.io/library/api:2"
    ids = done.stdout.split()
    assert ids == [metadata[name]["containerimage.config.digest"] for name in ("api", "base", "web")]
    assert workshop.store.run("images", "-q", "--no-trunc", "api:1").strip() == ids[0]

    # again: nothing is made anew, and the images are the same
    again = bake(workshop, path)
    assert again.stdout == done.stdout
    assert "0 from the cache" not in again.stderr
    assert again.stderr.count("CACHED [") == again.stderr.count("] RUN ") + again.stderr.count("] COPY ")


def test_arguments_sets_and_variables_reach_the_builds(workshop: Workshop) -> None:
    text = "FROM bb\nARG WHO\nARG DAY=none\nRUN echo $WHO $DAY > /said\n"
    path = write(
        workshop,
        {
            "one": target(workshop, text, args={"WHO": "${WHO}"}, tags=["said:one"]),
            "two": {"inherits": ["one"], "tags": ["said:two"]},
        },
        variable={"WHO": {"default": "nobody"}},
    )
    bake(workshop, path, "one", "two", "--set", "two.args.DAY=friday", WHO="me")
    assert workshop.shown("said:one", "busybox", "cat", "/said") == "me none"
    assert workshop.shown("said:two", "busybox", "cat", "/said") == "me friday"


def test_a_matrix_is_built_whole(workshop: Workshop) -> None:
    one = target(
        workshop,
        "FROM bb\nARG FLAVOR\nRUN echo $FLAVOR > /flavor\n",
        matrix={"flavor": ["sweet", "sour"]},
        name="food-${flavor}",
        args={"FLAVOR": "${flavor}"},
        tags=["food:${flavor}"],
    )
    path = write(workshop, {"food": one})
    assert len(bake(workshop, path, "food").stdout.split()) == 2
    assert workshop.shown("food:sour", "busybox", "cat", "/flavor") == "sour"


def test_the_first_failure_ends_all_and_is_told_with_its_target(workshop: Workshop) -> None:
    path = write(
        workshop,
        {
            "bad": target(workshop, "FROM bb\nRUN echo wrong >&2; exit 3\n"),
            "slow": target(workshop, "FROM bb\nRUN sleep 300\n", tags=["slow:1"]),
        },
    )
    done = attempt(workshop, path, "bad", "slow")
    assert done.returncode not in (0, None)
    assert "exit code" in done.stderr
    assert "bad" in done.stderr
    assert "slow:1" not in workshop.store.run("images", "--format", "{{.Repository}}:{{.Tag}}")
    workshop.rests()


def test_a_target_of_several_platforms_is_a_base_of_others(workshop: Workshop) -> None:
    path = write(
        workshop,
        {
            "tree": target(
                workshop,
                "FROM scratch\nARG TARGETARCH\nCOPY own /own-$TARGETARCH\n",
                platforms=["linux/amd64", "linux/arm64"],
            ),
            "leaf": target(
                workshop,
                "FROM tree\nCOPY own /leaf\n",
                platforms=["linux/amd64", "linux/arm64"],
                contexts={"tree": "target:tree"},
                output=["type=local,dest=" + workshop.folder + "/leaf"],
            ),
        },
    )
    workshop.fresh({"own": "file"})
    bake(workshop, path, "leaf")
    found = sorted(
        [
            os.path.relpath(f"{root}/{name}", workshop.folder + "/leaf")
            for root, _, names in os.walk(workshop.folder + "/leaf")
            for name in names
        ]
    )
    assert found == ["linux_amd64/leaf", "linux_amd64/own-amd64", "linux_arm64/leaf", "linux_arm64/own-arm64"]


def test_compose_files_are_built_and_pushed(workshop: Workshop) -> None:
    workshop.fresh({"own": "file", "Dockerfile": "FROM bb\nARG MARK\nRUN echo $MARK > /mark\nCOPY own /\n"})
    with RegistryServer() as server:
        text = f"""
services:
  shop:
    image: {server.host}/shop:${{TAG:-latest}}
    build:
      context: {workshop.context}
      args:
        MARK: ${{MARK:?say what}}
  till:
    build:
      context: {workshop.context}
      additional_contexts:
        shop: service:shop
      dockerfile_inline: |
        FROM shop
        RUN cat /mark > /till
      tags: ["{server.host}/till:1"]
  store:
    image: redis
"""
        path = workshop.write(text, "compose.yaml")
        refused = attempt(workshop, path)
        assert refused.returncode != 0
        assert "say what" in refused.stderr
        bake(workshop, path, "--push", MARK="fair", TAG="2")
        for name in ("shop:2", "till:1"):
            workshop.store.run("rmi", f"{server.host}/{name}")
            workshop.store.run("pull", "--tls-verify=false", f"{server.host}/{name}")
        assert workshop.shown(f"{server.host}/till:1", "busybox", "cat", "/till") == "fair"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"target": {"a": {"colour": "red"}}}', "colour"),
        ('{"target": {"a": {"contexts": {"b": "target:a"}}}}', "a"),
        ('{"target": {"a": {"inherits": ["b"]}}}', "b"),
        ('target "a" {}', "HCL"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_built(workshop: Workshop, text: str, said: str) -> None:
    name = "bake.json" if text.startswith("{") else "docker-bake.hcl"
    done = attempt(workshop, workshop.write(text, name), "a")
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
