"""Secrets found and blotted out, wherever the pieces of a stream end."""

from __future__ import annotations

import base64
import io
import random

import pytest

from holdall.build.leaks import Searched
from holdall.build.needles import Blotter, Needles
from holdall.build.secrets import Secret, Vault
from holdall.errors import DockerfileError, InvalidOption
from holdall.layer.entry import Entry, Kind
from holdall.layer.writer import TarWriter

VALUE = b"s3cr3t-t0ken-value"


def needles(tmp_path, **values: bytes) -> Needles:
    secrets = {}
    for name, value in values.items():
        (tmp_path / name).write_bytes(value)
        secrets[name] = Secret(file=str(tmp_path / name))
    return Needles(Vault(secrets))


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 17, 18, 19, 64, 1000])
def test_output_is_blotted_across_pieces(tmp_path, size: int) -> None:
    text = b"one " + VALUE + b" two " + VALUE + VALUE + b" s3cr3t-t0ken " + base64.b64encode(b"xx" + VALUE) + b" end"
    blotter = Blotter(needles(tmp_path, token=VALUE + b"\n"))
    shown = b"".join([blotter.feed(piece) for piece in pieces(text, size)]) + blotter.end()
    assert shown.startswith(b"one *** two ****** s3cr3t-t0ken ")
    assert base64.b64encode(b"xx" + VALUE)[4:-4] not in shown
    assert shown.endswith(b" end")


def test_only_what_may_be_the_beginning_of_a_secret_is_held_back(tmp_path) -> None:
    blotter = Blotter(needles(tmp_path, token=VALUE))
    assert blotter.feed(b"a prompt> ") == b"a prompt> "
    assert blotter.feed(b"see s3c") == b"see "
    assert blotter.feed(b"ure") == b"s3cure"
    assert blotter.feed(b" s3cr3t") == b" "
    assert blotter.end() == b"s3cr3t"


def test_lines_of_a_secret_are_blotted_each(tmp_path) -> None:
    blotter = Blotter(needles(tmp_path, key=b"first-line\nno\n  second-line\n"))
    assert blotter.feed(b"[second-line] no first-line\n") == b"[***] no ***\n"


def test_short_secrets_are_looked_for_nowhere(tmp_path) -> None:
    found = needles(tmp_path, pin=b"1234\n")
    assert not found
    assert Blotter(found).feed(b"12345") == b"12345"


def tar(content: bytes, name: bytes = b"a/file") -> bytes:
    out = io.BytesIO()
    writer = TarWriter(out)
    writer.add(Entry(b"before", Kind.FILE, 0o644, size=3), b"abc")
    writer.add(Entry(name, Kind.FILE, 0o644, size=len(content)), content)
    writer.add(Entry(b"z", Kind.FILE, 0o644, size=3), b"abc")
    writer.close()
    return out.getvalue()


@pytest.mark.parametrize("before", [0, 1, 511, 600, (1 << 20) - 1024 - 512 - 5, 3 << 20])
@pytest.mark.parametrize("size", [512, 4096, 1 << 20])
def test_a_leak_is_found_and_its_file_named(tmp_path, before: int, size: int) -> None:
    searched = Searched(io.BytesIO(), needles(tmp_path, token=VALUE))
    with pytest.raises(DockerfileError, match='the secret "token" is in "/a/file" of the layer'):
        for piece in pieces(tar(b"\1" * before + VALUE + b"\1" * 2000), size):
            searched.write(piece)
        searched.finish()


def test_a_leak_in_a_file_with_a_long_name_and_in_the_name_itself(tmp_path) -> None:
    long = b"f/" * 100 + b"x"
    for content, name in ((VALUE, long), (b"", long + b"/" + VALUE)):
        searched = Searched(io.BytesIO(), needles(tmp_path, token=VALUE))
        with pytest.raises(DockerfileError, match="/f/f/f/"):
            searched.write(tar(content, name))
            searched.finish()


@pytest.mark.parametrize("before", range(4))
def test_a_leak_in_base64_is_found(tmp_path, before: int) -> None:
    searched = Searched(io.BytesIO(), needles(tmp_path, token=VALUE + b"\n"))
    with pytest.raises(DockerfileError):
        searched.write(tar(base64.b64encode(b"x" * before + VALUE + b"yyy")))
        searched.finish()


def test_what_has_no_secret_passes_unchanged(tmp_path) -> None:
    data = tar(random.Random(1).randbytes(3 << 20))
    out = io.BytesIO()
    searched = Searched(out, needles(tmp_path, token=VALUE))
    for piece in pieces(data, 70_000):
        searched.write(piece)
    searched.finish()
    assert out.getvalue() == data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id=a,src=/f", ("a", Secret(file="/f"))),
        ("id=a,source=/f,type=file", ("a", Secret(file="/f"))),
        ("id=a,env=B", ("a", Secret(env="B"))),
        ("type=env,id=a", ("a", Secret(env="a"))),
        ("type=env,id=a,src=B", ("a", Secret(env="B"))),
        ("id=HERE", ("HERE", Secret(env="HERE"))),
        ("id=HERE,type=file", ("HERE", Secret(file="HERE"))),
        ("id=f", ("f", Secret(file="f"))),
        ('id=a,"src=/f,g"', ("a", Secret(file="/f,g"))),
    ],
)
def test_secret_options(text: str, expected: tuple[str, Secret]) -> None:
    assert Secret.parse(text, {"HERE": "x"}) == expected


@pytest.mark.parametrize(
    "text", ["", "id", "src=/f", "id=a,type=odd", "id=a,what=b", "id=a,src=f,env=B", "id=a,type=file,env=B"]
)
def test_secret_options_that_say_nothing(text: str) -> None:
    with pytest.raises(InvalidOption):
        Secret.parse(text, {})


def test_a_secret_that_is_not_there_or_too_large(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(InvalidOption, match="NOT_SET"):
        Vault({"a": Secret(env="NOT_SET")})
    with pytest.raises(InvalidOption, match="no such file"):
        Vault({"a": Secret(file=str(tmp_path / "none"))})
    (tmp_path / "big").write_bytes(b"x" * (500 * 1024 + 1))
    with pytest.raises(InvalidOption, match="more than"):
        Vault({"a": Secret(file=str(tmp_path / "big"))})
    monkeypatch.setenv("A_SECRET", "value-of-it")
    assert "value" not in repr(Vault({"a": Secret(env="A_SECRET")}))
