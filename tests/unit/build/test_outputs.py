"""--output, --annotation, --cache-to and --cache-from read as buildx reads them."""

from __future__ import annotations

import pytest

from holdall.build import annotating, cache_options, fields, outputs
from holdall.build.annotating import Annotation
from holdall.build.cache_options import FROM, TO
from holdall.build.compression import Compression
from holdall.build.outputs import Output
from holdall.errors import InvalidInput, InvalidOption
from holdall.oci.platform import Platform


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a=1,b=2", ["a=1", "b=2"]),
        ('"a=1,2",b', ["a=1,2", "b"]),
        ('"say ""so""",c', ['say "so"', "c"]),
        ("", [""]),
        ("a,", ["a", ""]),
    ],
)
def test_comma_separated_values(text: str, parts: list[str]) -> None:
    assert fields.split(text) == parts


@pytest.mark.parametrize("text", ['"a', '"a"b,c'])
def test_quotes_must_be_closed(text: str) -> None:
    with pytest.raises(InvalidOption):
        fields.split(text)


def test_attributes_are_written_so_that_they_are_read_again() -> None:
    pairs = [("type", "image"), ("name", 'a,b"c')]
    assert fields.attributes(fields.joined(pairs), "--output") == dict(pairs)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("out", Output("local", "out")),
        ("-", Output("tar", "-")),
        ("type=local,dest=x", Output("local", "x")),
        ("type=tar", Output("tar", "-")),
        ("type=tar,dest=f.tar,platform-split=true", Output("tar", "f.tar", split=True)),
        ("type=docker", Output("docker")),
        ("type=docker,dest=-", Output("docker", "-")),
        ("type=oci", Output("oci", "-")),
        ("type=oci,dest=d,tar=false", Output("oci", "d", folder=True)),
        ("type=cacheonly", Output("cacheonly", store=False)),
        ("type=image,name=a,push=true", Output("image", names=("a",), push=True)),
        ('type=image,"name=a,b"', Output("image", names=("a", "b"))),
        ("type=registry,ref=", None),
        ("type=registry,name=a", Output("image", names=("a",), push=True)),
        ("type=image,name=a,push-by-digest=true", Output("image", names=("a",), push=True, by_digest=True)),
        ("type=image,store=false,registry.insecure=1", Output("image", store=False, insecure=True)),
        ("type=image,compression=zstd", Output("image", compression=Compression("zstd"))),
        (
            "type=image,compression=gzip,compression-level=9,force-compression=true",
            Output("image", compression=Compression("gzip", 9, True)),
        ),
        ("type=image,force-compression=true", Output("image", compression=Compression("gzip", None, True))),
        ("type=image,oci-mediatypes=false", Output("image", oci=False)),
        (
            "type=oci,dest=f,annotation.a.b=c,annotation-index[linux/arm64].k=v",
            Output(
                "oci",
                "f",
                annotations=(
                    Annotation("manifest", None, "a.b", "c"),
                    Annotation("index", Platform("linux", "arm64"), "k", "v"),
                ),
            ),
        ),
    ],
)
def test_outputs(text: str, wanted: Output | None) -> None:
    if wanted is None:
        with pytest.raises(InvalidOption):
            outputs.parse(text)
    else:
        assert outputs.parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("dest=x,name=y", "type="),
        ("type=what", "what"),
        ("type=local", "dest="),
        ("type=local,dest=-", "standard output"),
        ("type=docker,tar=false,dest=x", "tar=false"),
        ("type=oci,tar=false", "tar=false"),
        ("type=image,compression=estargz", "estargz"),
        ("type=image,compression=lz4", "lz4"),
        ("type=image,compression=gzip,compression-level=10", "10"),
        ("type=image,compression=zstd,oci-mediatypes=false", "zstd"),
        ("type=image,annotation.a=b,oci-mediatypes=false", "annotations"),
        ("type=image,rewrite-timestamp=true", "rewrite-timestamp"),
        ("type=image,dest=x", "dest"),
        ("type=image,push=maybe", "maybe"),
        ("type=image,push-by-digest=true", "name="),
        ("type=image,annotation-what.a=b", "what"),
    ],
)
def test_outputs_that_are_refused_by_name(text: str, word: str) -> None:
    with pytest.raises(InvalidOption) as err:
        outputs.parse(text)
    assert word in f"{err.value.message} {err.value.hint}"


def test_push_and_load() -> None:
    assert outputs.chosen([], push=True) == (Output("image", push=True),)
    assert outputs.chosen(["type=image,name=a"], push=True) == (Output("image", names=("a",), push=True),)
    assert outputs.chosen(["folder"], push=True) == (Output("local", "folder"), Output("image", push=True))
    assert outputs.chosen([], load=True) == (Output("docker"),)
    assert outputs.chosen(["type=image"], load=True) == (Output("image"),)
    assert outputs.chosen(["a", "type=oci,dest=b"], load=True)[2] == Output("docker")


@pytest.mark.parametrize("texts", [["-", "type=oci"], ["a", "type=oci,dest=./a"], ["type=docker,dest=-", "type=tar"]])
def test_two_outputs_to_one_place_are_refused(texts: list[str]) -> None:
    with pytest.raises(InvalidOption):
        outputs.chosen(texts)


def test_annotations() -> None:
    found = annotating.parse(["a=b", "index:c=d=e", "manifest[linux/arm64],manifest-descriptor:k:x=v"])
    arm = Platform("linux", "arm64")
    assert found == (
        Annotation("manifest", None, "a", "b"),
        Annotation("index", None, "c", "d=e"),
        Annotation("manifest", arm, "k:x", "v"),
        Annotation("manifest-descriptor", None, "k:x", "v"),
    )
    assert annotating.of(found, "manifest", arm) == {"a": "b", "k:x": "v"}
    assert annotating.of(found, "manifest", Platform("linux", "amd64")) == {"a": "b"}


@pytest.mark.parametrize("text", ["a", "what:a=b", "index[]:a=b", "index[linux/arm64:a=b", "=v", "index:=v"])
def test_annotations_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput):
        annotating.parse([text])


def test_annotations_must_have_a_place() -> None:
    one = Platform("linux", "amd64")
    with pytest.raises(InvalidOption, match="index"):
        annotating.check(annotating.parse(["index:a=b"]), [one])
    with pytest.raises(InvalidOption, match="arm64"):
        annotating.check(annotating.parse(["manifest[linux/arm64]:a=b"]), [one])
    annotating.check(annotating.parse(["index:a=b"]), [one, Platform("linux", "arm64")])


def test_caches_in_registries_and_folders() -> None:
    (one,) = cache_options.parse("type=registry,ref=reg.test/a:c,mode=max,mounts=false,ignore-error=true", TO)
    assert (one.ref, one.mode, one.mounts, one.lenient) == ("reg.test/a:c", "max", False, True)
    assert [one.ref for one in cache_options.parse("a,b:1", FROM)] == ["docker.io/library/a:latest",
                                                                       "docker.io/library/b:1"]  # fmt: skip
    (one,) = cache_options.parse("type=local,dest=/x,tag=main,compression=zstd", TO)
    assert (one.path, one.tag, one.compression.kind) == ("/x", "main", "zstd")
    (one,) = cache_options.parse("type=local,src=/x", FROM)
    assert (one.path, one.tag) == ("/x", "latest")
    assert cache_options.parse("type=inline", TO)[0].type == "inline"


def test_a_cache_in_s3() -> None:
    text = (
        "type=s3,bucket=b,region=r,name=x;y,prefix=p/,endpoint_url=http://h,access_key_id=k,secret_access_key=s,"
        "use_path_style=true,upload_parallelism=2,touch_refresh=1h"
    )
    (one,) = cache_options.parse(text, TO)
    assert one.bucket is not None
    assert (one.bucket.names, one.bucket.prefix, one.bucket.refresh) == (("x", "y"), "p/", 3600.0)
    assert (one.bucket.path_style, one.bucket.parallel, one.bucket.secret) == (True, 2, "s")
    assert "secret_access_key=s" not in one.text
    (two,) = cache_options.parse("type=s3", FROM, {"AWS_BUCKET": "b", "AWS_REGION": "r"})
    assert two.bucket is not None
    assert (two.bucket.bucket, two.bucket.region, two.bucket.names) == ("b", "r", ("holdall",))


@pytest.mark.parametrize(
    ("text", "option", "word"),
    [
        ("type=gha", TO, "gha"),
        ("type=azblob,name=x", TO, "azblob"),
        ("type=inline", FROM, "inline"),
        ("type=local", TO, "dest="),
        ("type=local,dest=x", FROM, "src="),
        ("type=registry", TO, "ref="),
        ("type=registry,ref=a@sha256:" + "0" * 64, TO, "digest"),
        ("type=registry,ref=a,mode=all", TO, "all"),
        ("type=registry,ref=a,mode=max", FROM, "mode"),
        ("type=registry,ref=a,image-manifest=false", TO, "image-manifest"),
        ("type=registry,ref=a,compression=zstd:chunked", TO, "zstd:chunked"),
        ("type=s3,bucket=b", TO, "region"),
        ("type=local,dest=x,tag=a/b", TO, "a/b"),
        ("dest=x", TO, '""'),
    ],
)
def test_caches_that_are_refused_by_name(text: str, option: str, word: str) -> None:
    with pytest.raises(InvalidOption) as err:
        cache_options.parse(text, option, {})
    assert word in f"{err.value.message} {err.value.hint}"
