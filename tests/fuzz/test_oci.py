"""Whatever bytes or text come in, the parsers of oci/ answer with a value or a HoldallError."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdall.errors import HoldallError
from holdall.oci import mediatype, timestamp
from holdall.oci.config import ImageConfig
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.oci.index import Index, detect
from holdall.oci.manifest import Manifest
from holdall.oci.platform import Platform
from holdall.oci.reference import Reference
from holdall.testing.images import random_image, random_index

ROUNDS = 20_000 if os.environ.get("HOLDALL_SOAK") else 600
EXAMPLES = settings(
    max_examples=5_000 if os.environ.get("HOLDALL_SOAK") else 100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

T = TypeVar("T")
IMAGE = random_image(1, layers=3)
SEEDS = [IMAGE.manifest.raw, IMAGE.config.raw, random_index(2).index.raw]
SEEDS.append(random_image(3, docker=True).manifest.raw)
PARSERS: list[Callable[[bytes], object]] = [Manifest.parse, Index.parse, ImageConfig.parse, detect]
TOKENS = [*b"{ } [ ] : , null true -1 1e9 \\ud800".split(), b'"', b"9" * 30, b"\x00", b"\xff"]
KEYS = (
    "schemaVersion mediaType config layers manifests digest size urls annotations platform architecture os variant "
    "rootfs diff_ids type history created empty_layer Env Cmd Entrypoint Labels Volumes Healthcheck Test Interval"
).split()
WORDS = ["linux", "layers", str(Digest.of(b"")), mediatype.OCI_LAYER, mediatype.OCI_CONFIG, mediatype.OCI_MANIFEST]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(WORDS)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner),
    max_leaves=12,
)


def survive(parse: Callable[[T], object], given: T) -> None:
    """Only a HoldallError may come out, and its message must be fit for a terminal."""
    message = "parsed"
    try:
        parse(given)
    except HoldallError as err:
        message = err.message
    assert message.isprintable(), ascii(message)
    assert len(message) < 2_000


def mutated(source: random.Random, raw: bytes) -> bytes:
    data = bytearray(raw)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(data) + 1)
        match source.randrange(5):
            case 0:
                data[at:at] = source.choice(TOKENS)
            case 1:
                del data[at : at + source.randint(1, 12)]
            case 2:
                data[at : at + 1] = bytes([source.randrange(256)])
            case 3:
                other = source.choice(SEEDS)
                begin = source.randrange(len(other))
                data[at : at + 8] = other[begin : begin + source.randint(1, 60)]
            case _:
                del data[at:]
    return bytes(data)


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__qualname__)
def test_mutated_documents(parse: Callable[[bytes], object]) -> None:
    source = random.Random(7)
    for _ in range(ROUNDS):
        survive(parse, mutated(source, source.choice(SEEDS)))


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__qualname__)
@given(raw=st.binary(max_size=200) | TREES.map(lambda tree: json.dumps(tree).encode()))
@EXAMPLES
def test_arbitrary_documents(parse: Callable[[bytes], object], raw: bytes) -> None:
    survive(parse, raw)


def with_changes(raw: bytes, changes: list[tuple[int, object]]) -> bytes:
    """The document with the values at some places replaced: well-formed JSON, wrong shape."""
    tree = json.loads(raw)
    places: list[tuple[dict[str, object] | list[object], object]] = []

    def walk(node: object) -> None:
        if isinstance(node, dict | list):
            for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
                places.append((node, key))
                walk(value)

    walk(tree)
    for number, value in changes:
        node, key = places[number % len(places)]
        node[key] = value  # type: ignore[index, call-overload]
    return json.dumps(tree).encode()


@given(seed=st.sampled_from(SEEDS), changes=st.lists(st.tuples(st.integers(0, 200), TREES), min_size=1, max_size=3))
@EXAMPLES
def test_documents_of_the_wrong_shape(seed: bytes, changes: list[tuple[int, object]]) -> None:
    raw = with_changes(seed, changes)
    for parse in PARSERS:
        survive(parse, raw)


@given(TREES)
@EXAMPLES
def test_descriptors(tree: object) -> None:
    try:
        made = Descriptor.parse(tree)
    except HoldallError:
        return
    assert Descriptor.parse(made.to_json()) == made


TEXTS: list[Callable[[str], object]] = [Reference.parse, Digest.parse, Platform.parse, mediatype.check, timestamp.parse]
REFERENCE_LIKE = st.text(alphabet="abAB01.-_:/@[]é\n\0", max_size=40)


@pytest.mark.parametrize("parse", TEXTS, ids=lambda parse: parse.__qualname__)
@given(text=st.text(max_size=80) | REFERENCE_LIKE)
@EXAMPLES
def test_texts(parse: Callable[[str], object], text: str) -> None:
    survive(parse, text)


@given(
    st.from_regex(
        r"\A([a-z0-9.]{1,8}(:[0-9]{1,4})?/)?[a-z0-9]{1,6}([._-]{1,2}[a-z0-9]{1,3}){0,2}(/[a-z0-9.]{1,5})?"
        r"(:[\w.-]{1,5})?(@sha256:[0-9a-f]{64})?\Z"
    )
)
@EXAMPLES
def test_references_that_parse_are_stable(text: str) -> None:
    try:
        parsed = Reference.parse(text)
    except HoldallError:
        return
    assert Reference.parse(str(parsed)) == parsed
    assert Reference.parse(parsed.familiar()) == parsed


@given(st.text(alphabet="abcdefghijlmnopqrstuvxyz0123456789/_", max_size=30))
@EXAMPLES
def test_platforms_that_parse_are_stable(text: str) -> None:
    try:
        parsed = Platform.parse(text)
    except HoldallError:
        return
    assert Platform.parse(str(parsed)) == parsed
    assert parsed.distance(parsed) is not None
