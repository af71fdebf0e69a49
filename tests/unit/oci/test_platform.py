from __future__ import annotations

import os

import pytest

from holdall.errors import ImageNotFound, InvalidInput
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.mediatype import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from holdall.oci.platform import Platform, candidates, choose, host


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/X86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v2", "linux/amd64/v2"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/v5", "linux/arm/v5"),
        ("linux/i386", "linux/386"),
        ("macos/arm64", "darwin/arm64"),
        ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
        ("linux/riscv64", "linux/riscv64"),
    ],
)
def test_parse_normalises(text: str, shown: str) -> None:
    assert str(Platform.parse(text)) == shown
    assert Platform.parse(shown) == Platform.parse(text)


def test_missing_parts_are_the_hosts() -> None:
    assert Platform.parse("linux").architecture == host().architecture
    assert Platform.parse("s390x") == Platform(host().os, "s390x")
    assert host().os == os.uname().sysname.lower()


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "linux//v8", "a/b/c/d", "nonsense", "linux/am d64", "linux/amd64\n", "é"]
)
def test_malformed_platforms_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid platform"):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("wanted", "runs"),
    [
        ("linux/amd64", ["linux/amd64", "linux/386"]),
        ("linux/amd64/v3", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"]),
        ("linux/arm64", ["linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm64/v8.2", ["linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64", "linux/arm/v8"]),
        ("linux/arm64/v9.1", ["linux/arm64/v9.1", "linux/arm64/v9", "linux/arm64/v8.6", "linux/arm64", "linux/arm/v7"]),
        ("linux/arm/v7", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/s390x", ["linux/s390x"]),
    ],
)
def test_order_of_what_runs(wanted: str, runs: list[str]) -> None:
    distances = [Platform.parse(wanted).distance(Platform.parse(one)) for one in runs]
    assert None not in distances
    assert distances[0] == 0
    assert distances == sorted(distances, key=lambda n: n if n is not None else 0)
    assert len(set(distances)) == len(distances)


@pytest.mark.parametrize(
    ("wanted", "other"),
    [
        ("linux/amd64", "linux/amd64/v2"),
        ("linux/amd64", "linux/arm64"),
        ("linux/arm/v6", "linux/arm/v7"),
        ("linux/386", "linux/amd64"),
        ("linux/arm64", "linux/arm64/v9"),
        ("linux/amd64", "windows/amd64"),
        ("windows(10.0.1)/amd64", "windows(10.0.2)/amd64"),
    ],
)
def test_what_does_not_run(wanted: str, other: str) -> None:
    assert not Platform.parse(wanted).matches(Platform.parse(other))


def member(number: int, platform: str | None, kind: str = OCI_MANIFEST, **more: object) -> Descriptor:
    parsed = None
    if platform is not None:
        os_name, architecture, *variant = platform.split("/")
        parsed = Platform(os_name, architecture, *variant)
    return Descriptor(kind, Digest.of(str(number).encode()), number, platform=parsed, **more)  # type: ignore[arg-type]


def test_choose_prefers_exact_then_close_then_unnamed() -> None:
    members = [
        member(0, None),
        member(1, "linux/386"),
        member(2, "linux/amd64/v2"),
        member(3, "linux/amd64"),
        member(4, "unknown/unknown"),
        member(5, "linux/amd64", DOCKER_MANIFEST),
        member(6, "linux/amd64", "application/vnd.other+json"),
    ]
    found = candidates(members, Platform("linux", "amd64"))
    assert [one.size for one in found] == [3, 5, 1, 0]
    assert choose(members, Platform("linux", "amd64", "v2")).size == 2
    assert choose(members, Platform("linux", "s390x")).size == 0
    assert choose([member(1, "linux/arm64/v8"), member(2, None)], Platform("linux", "arm64")).size == 1


def test_attestations_without_platform_are_no_images() -> None:
    note = member(1, None, annotations={"vnd.docker.reference.type": "attestation-manifest"})
    artifact = member(2, None, artifact_type="a/b")
    nested = member(3, None, OCI_INDEX)
    assert candidates([note, artifact, nested], Platform("linux", "amd64")) == (nested,)


def test_no_match_lists_what_there_is() -> None:
    members = [member(0, "linux/arm64/v8"), member(1, "linux/amd64"), member(2, "unknown/unknown")]
    with pytest.raises(ImageNotFound, match='no image for platform "linux/s390x"') as caught:
        choose(members, Platform("linux", "s390x"))
    assert caught.value.hint is not None
    assert caught.value.hint.endswith(": linux/amd64, linux/arm64")
    with pytest.raises(ImageNotFound) as caught:
        choose([member(n, f"linux/x{n}") for n in range(30)], Platform("linux", "s390x"))
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("and 10 more")
    with pytest.raises(ImageNotFound, match="s390x") as caught:
        choose([], Platform("linux", "s390x"))
    assert caught.value.hint == "the index names no platform"
