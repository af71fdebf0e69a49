"""Scopes, arguments, mounts, devices, ports."""

from __future__ import annotations

import pytest

from holdall.dockerfile import arguments, device, mount, ports, stages, values
from holdall.dockerfile.instructions import Instruction
from holdall.dockerfile.scope import Scope, Settings
from holdall.errors import DockerfileError
from holdall.oci.platform import Platform

KNOWN = arguments.predefined(Platform("linux", "amd64"), Platform("linux", "arm", "v7"), "prod")


def walk(text: str, given: dict[str, str] | None = None) -> tuple[list[Instruction], Scope]:
    found = stages.read(text)
    given = given or {}
    settings = Settings(arguments.global_arguments(found, KNOWN, given), given, found.escape, found.source)
    scope = Scope.of_image(["PATH=/bin"])
    out = []
    for instruction in found.stages[-1].instructions:
        expansion, scope = scope.step(instruction, settings)
        out.append(expansion.instruction)
    return out, scope


def test_predefined() -> None:
    assert KNOWN["TARGETPLATFORM"] == "linux/arm/v7"
    assert (KNOWN["BUILDARCH"], KNOWN["TARGETVARIANT"], KNOWN["TARGETSTAGE"]) == ("amd64", "v7", "prod")
    platform = Platform("linux", "amd64")
    assert arguments.predefined(platform, platform, overrides={"TARGETOS": "x"})["TARGETOS"] == "x"


@pytest.mark.parametrize(
    ("text", "given", "wanted"),
    [
        ("ARG a=1\nFROM x\nLABEL l=$a", {}, ""),
        ("ARG a=1\nFROM x\nARG a\nLABEL l=$a", {}, "1"),
        ("ARG a=1\nFROM x\nARG a=2\nLABEL l=$a", {}, "2"),
        ("ARG a=1\nFROM x\nARG a=2\nLABEL l=$a", {"a": "3"}, "3"),
        ("FROM x\nLABEL l=$a", {"a": "3"}, ""),
        ("FROM x\nARG a\nENV a=env\nLABEL l=$a", {"a": "3"}, "env"),
        ("FROM x\nARG a=1 b=$a$a\nLABEL l=$b", {}, "11"),
        ("FROM x\nENV a=1\nENV a=2 b=$a\nLABEL l=$b", {}, "1"),
        ("FROM x\nARG TARGETARCH\nLABEL l=$TARGETARCH", {}, "arm"),
        ("FROM x\nLABEL l=$TARGETARCH", {}, ""),
        ("ARG a=1\nARG b=${a}2\nFROM x\nARG b\nLABEL l=$b", {}, "12"),
        ("ARG a=1\nARG b=${a}2\nFROM x\nARG b\nLABEL l=$b", {"a": "9"}, "92"),
        ("# escape=`\nFROM x\nENV a=1\nLABEL l=`$a\\$a", {}, "$a\\1"),
    ],
)
def test_scoping(text: str, given: dict[str, str], wanted: str) -> None:
    *_, label = walk(text, given)[0]
    assert label.__dict__["pairs"][0].value == wanted


def test_what_arguments_gave_is_told_from_env() -> None:
    _, scope = walk("FROM x\nARG a=1 b\nENV c=$a\nARG d=2\nENV d=3", {})
    assert scope.from_arguments == {"a"}
    assert scope.declared == (("a", "1"), ("b", None), ("d", "2"))
    assert scope.env == {"PATH": "/bin", "a": "1", "c": "1", "d": "3"}


def test_from_lines() -> None:
    found = stages.read("ARG v=1\nFROM --platform=$TARGETPLATFORM a:$v\nFROM $none\nFROM --platform=$none b\n")
    values = arguments.global_arguments(found, KNOWN, {})
    base = arguments.base(found, found.stages[0], values)
    assert (base.image, base.platform, base.platform_used) == ("a:1", "linux/arm/v7", {"TARGETPLATFORM"})
    for stage in found.stages[1:]:
        with pytest.raises(DockerfileError, match="empty"):
            arguments.base(found, stage, values)


def test_proxies_and_unused() -> None:
    found = stages.read("ARG a\nFROM x\nARG b\n")
    given = {"a": "1", "b": "2", "c": "3", "https_proxy": "p", "BUILDKIT_X": "", "TARGETOS": "linux"}
    assert arguments.proxy_environment(given) == {"HTTPS_PROXY": "p", "https_proxy": "p"}
    assert arguments.unused(found, found.stages, given) == ("c",)


def test_values_not_expanded() -> None:
    made, _ = walk('FROM x\nENV a=1\nRUN echo $a\nCMD $a\nENTRYPOINT ["$a"]\nCOPY --exclude=$a $a /$a')
    assert [made[1].__dict__["command"].arguments, made[2].__dict__["command"].arguments] == [("echo $a",), ("$a",)]
    assert made[3].__dict__["command"].arguments == ("$a",)
    assert (made[4].__dict__["sources"], made[4].__dict__["excludes"]) == (("1",), ("$a",))


def test_errors_show_the_line() -> None:
    with pytest.raises(DockerfileError, match="Dockerfile:2: cannot expand") as caught:
        walk("FROM x\nUSER ${a")
    assert ">>> USER" in caught.value.excerpt


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=bing,target=/x", "did you mean|unsupported"),
        ("targt=/x", "unexpected key"),
        ("target", "key=value"),
        ("type=bind,mode=0700", "not allowed"),
        ("type=tmpfs,uid=1", "not allowed"),
        ("type=bind,sharing=shared", "not allowed"),
        ("type=cache,sharing=some", "sharing"),
        ("type=secret", "id or a target"),
        ("type=secret,from=x,id=y", "from"),
        ("type=secret,source=x,id=y", "not both"),
        ("size=1m,type=tmpfs", "unexpected key"),
        ("type=tmpfs,size=x", "invalid value"),
        ("type=cache,mode=9", "octal"),
        ("type=cache,uid=-1", "not a number"),
        ("type=bind,ro=2", "invalid value"),
        ('type=bind,"x', "stray quote"),
    ],
)
def test_bad_mounts(text: str, message: str) -> None:
    with pytest.raises(DockerfileError, match=message):
        mount.parse(text, str)


def test_mount_defaults() -> None:
    assert mount.parse("target=/x", str).readonly
    assert not mount.parse("type=cache,target=/x", str).readonly
    assert not mount.parse("target=/x,readwrite", str).readonly
    assert mount.parse("target=/x,rw=false", str).readonly
    assert mount.parse("type=secret,target=/x,env=", str).env == ""
    assert mount.parse("type=tmpfs,target=/x,size=1.5g", str).size == 3 << 29


@pytest.mark.parametrize(
    ("text", "name", "required"),
    [
        ("v.com/c=d", "v.com/c=d", False),
        ("v.com/c", "v.com/c", False),
        ("v.com/c=d,required", "v.com/c=d", True),
        ("name=v.com/c=d,required=1", "v.com/c=d", True),
    ],
)
def test_devices(text: str, name: str, required: bool) -> None:
    assert device.parse(text) == device.Device(name, required)


@pytest.mark.parametrize("text", ["a=b,name=c", "a,b", "a,b=c", "a,required=x"])
def test_bad_devices(text: str) -> None:
    with pytest.raises(DockerfileError):
        device.parse(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("80", ("80/tcp",)),
        ("53/UDP", ("53/udp",)),
        ("1-3/sctp", ("1/sctp", "2/sctp", "3/sctp")),
        ("127.0.0.1:8080:80", ("80/tcp",)),
        ("[::1]:8080:80", ("80/tcp",)),
        ("8000-8009:80", ("80/tcp",)),
    ],
)
def test_ports(text: str, names: tuple[str, ...]) -> None:
    assert ports.parse(text).names() == names


@pytest.mark.parametrize("text", ["", "/tcp", "x", "80/icmp", "3-1", "70000", "1-2:3-9", "300.1.1.1:1:2", "-1", "80-"])
def test_bad_ports(text: str) -> None:
    with pytest.raises(DockerfileError):
        ports.parse(text)


def test_csv_quotes() -> None:
    assert values.fields('a,"b,""c""",d') == ["a", 'b,"c"', "d"]
