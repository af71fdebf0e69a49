from __future__ import annotations

import pytest

from holdall.errors import InvalidInput, InvalidManifest, LimitExceeded
from holdall.oci.jsonval import MAX_DEPTH, JsonObject, dumps, dumps_words, load_object, loads


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not valid json"),
        (b"{", "not valid json"),
        (b'{"a":1,"a":2}', "appears twice"),
        (b'{"x":{"a":1,"b":2,"a":1}}', "appears twice"),
        (b'{"a":NaN}', "not a json number"),
        (b'{"a":-Infinity}', "not a json number"),
        (b'{"a":1e999}', "out of range"),
        (b'{"a":"\xff"}', "utf-8"),
        (b'\xef\xbb\xbf{"a":1}', "not valid json"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"\\uDc00":1}', "surrogate"),
        (b'{"a":1} x', "not valid json"),
        (b'{"a":' + b"9" * 5000 + b"}", "not valid json"),
        (b"{'a':1}", "not valid json"),
        (b'{"a":"\x01"}', "not valid json"),
    ],
)
def test_bad_json_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidManifest, match=reason) as caught:
        loads(raw, "thing")
    assert caught.value.message.startswith("thing ")
    assert caught.value.message.isprintable()


def test_paired_surrogates_are_a_character() -> None:
    assert loads(b'"\\ud83d\\ude00"', "thing") == "\N{GRINNING FACE}"


def test_the_error_class_is_the_callers() -> None:
    with pytest.raises(InvalidInput) as caught:
        load_object(b"[]", "thing", error=InvalidInput)
    assert type(caught.value) is InvalidInput
    assert "must be an object, not a list" in caught.value.message


def test_size_is_bounded() -> None:
    assert loads(b"[1,2]", "thing", limit=5) == [1, 2]
    with pytest.raises(LimitExceeded, match="6 bytes"):
        loads(b"[1,22]", "thing", limit=5)


def test_depth_is_bounded() -> None:
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "thing")
    wide = b"[" + b",".join([b"[]"] * 100) + b"]"
    assert loads(wide, "thing", depth=2)
    for depth in (MAX_DEPTH + 1, 900, 100_000):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            middle = b"1"
            with pytest.raises(LimitExceeded, match="deeper"):
                loads(opening * depth + middle + closing * depth, "thing")


def test_dumps_is_compact_and_keeps_order() -> None:
    assert dumps({"b": [1, "é"], "a": {}}) == '{"b":[1,"é"],"a":{}}'.encode()


def test_dumps_words_replaces_each_byte_that_is_no_text() -> None:
    words = {"é": b"J\xfcrgen \xff\xfe \xc3\xa9".decode("utf-8", "surrogateescape")}
    assert dumps_words(words) == '{"é":"J\ufffdrgen \ufffd\ufffd é"}'.encode()
    assert dumps_words({"b": "é"}) == dumps({"b": "é"})
    with pytest.raises(UnicodeEncodeError):
        dumps(words)


@pytest.fixture
def obj() -> JsonObject:
    raw = b'{"s":"x","e":"","i":7,"n":-1,"f":1.5,"big":9223372036854775808,"t":true,'
    raw += b'"z":null,"l":["a","b"],"m":[1],"o":{"k":"v"}}'
    return load_object(raw, "thing")


def test_typed_access(obj: JsonObject) -> None:
    assert obj.string("s") == "x"
    assert obj.string("z", "d") == "d"
    assert obj.need_string("s") == "x"
    assert obj.integer("i") == 7
    assert obj.integer("absent", 3) == 3
    assert obj.integer("n", minimum=-1) == -1
    assert obj.boolean("t") is True
    assert obj.boolean("z") is False
    assert obj.strings("l") == ("a", "b")
    assert obj.optional_strings("z") is None
    assert obj.string_map("o") == {"k": "v"}
    assert obj.key_set("o") == ("k",)
    assert "z" not in obj
    assert "s" in obj
    assert obj.need_child("o").need_string("k") == "v"


@pytest.mark.parametrize(
    ("method", "key", "reason"),
    [
        ("string", "i", 'thing "i" must be a string, not a number'),
        ("need_string", "e", 'thing "e" is missing'),
        ("need_string", "z", "is missing"),
        ("integer", "t", "must be an integer, not a boolean"),
        ("integer", "f", "must be an integer"),
        ("integer", "n", "must be between 0"),
        ("integer", "big", "must be between 0"),
        ("need_integer", "absent", "is missing"),
        ("boolean", "i", "must be a boolean"),
        ("items", "o", "must be a list, not an object"),
        ("strings", "m", "must hold strings only"),
        ("child", "l", "must be an object"),
        ("need_child", "absent", "is missing"),
        ("children", "l", r'"l"\[0\] must be an object, not a string'),
        ("digest", "s", "no algorithm"),
    ],
)
def test_wrong_types_are_named_with_their_place(obj: JsonObject, method: str, key: str, reason: str) -> None:
    with pytest.raises(InvalidManifest, match=reason):
        getattr(obj, method)(key)


def test_maps_hold_strings_only() -> None:
    with pytest.raises(InvalidManifest, match="must hold strings only, not null"):
        load_object(b'{"a":{"k":null}}', "thing").string_map("a")


def test_lists_are_bounded(obj: JsonObject) -> None:
    with pytest.raises(LimitExceeded, match="2 members, more than the 1 allowed"):
        obj.strings("l", 1)
