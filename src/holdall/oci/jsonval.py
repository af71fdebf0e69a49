"""Strict JSON at the border: duplicate keys, NaN, lone surrogates, depth and size are refused; access is typed.

Counterpart of Go's struct tags: a null counts as absent for optional fields, unknown fields are tolerated. All
functions raise the `error` class they are given (InvalidManifest unless said) or LimitExceeded.
"""

from __future__ import annotations

import json
import re

from holdall.errors import HoldallError, InvalidDigest, InvalidManifest, LimitExceeded
from holdall.oci.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SIZE = 4 << 20
MAX_DEPTH = 32
MAX_ITEMS = 100_000
MAX_INTEGER = (1 << 63) - 1

_SURROGATE = rb"\\u[dD][89a-fA-F]"
_TYPES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


def loads(
    raw: bytes,
    what: str,
    *,
    limit: int = MAX_SIZE,
    depth: int = MAX_DEPTH,
    error: type[HoldallError] = InvalidManifest,
) -> object:
    """Decode UTF-8 JSON of at most `limit` bytes and `depth` levels; `what` names the document in messages."""
    if len(raw) > limit:
        raise LimitExceeded(f"{what} has {len(raw)} bytes, more than the {limit} allowed")
    try:
        value: object = json.loads(
            str(raw, "utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
        )
    except RecursionError as err:
        raise LimitExceeded(f"{what} is nested deeper than {depth} levels") from err
    except ValueError as err:
        raise error(f"{what} is not valid json: {_reason(err)}") from err
    if raw.count(b"{") + raw.count(b"[") > depth:
        _check_depth(value, depth, what)
    if b"\\u" in raw and re.search(_SURROGATE, raw):
        try:
            dumps(value)
        except UnicodeEncodeError as err:
            raise error(f"{what} is not valid json: lone surrogate in a string") from err
    return value


def _reason(err: ValueError) -> str:
    if isinstance(err, UnicodeDecodeError):
        return f"byte {err.start} is not utf-8"
    text = str(err)
    return (text[:1].lower() + text[1:])[:200]


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {_short(key)} appears twice in one object")
            seen.add(key)
    return made


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a json number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"number {_short(text)} is out of range")
    return value


def _check_depth(value: object, depth: int, what: str) -> None:
    level: list[object] = [value]
    for _ in range(depth):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
        level = [item for item in below if isinstance(item, (dict, list))]
        if not level:
            return
    raise LimitExceeded(f"{what} is nested deeper than {depth} levels")


def dumps(value: object) -> bytes:
    """Encode canonically: UTF-8, no white space, keys in the order given (callers use the Go structs' order)."""
    return _text(value).encode()


def dumps_words(value: object) -> bytes:
    """As `dumps`, of what people wrote: bytes that are no UTF-8, lone surrogates here (PEP 383), become U+FFFD each.

    Go's encoder does the same: a Dockerfile in Latin-1 is built.
    """
    text = _text(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return re.sub("[\ud800-\udfff]", "\ufffd", text).encode()


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def load_object(
    raw: bytes,
    what: str,
    *,
    limit: int = MAX_SIZE,
    depth: int = MAX_DEPTH,
    error: type[HoldallError] = InvalidManifest,
) -> JsonObject:
    """Decode a document whose top level must be an object."""
    return JsonObject.of(loads(raw, what, limit=limit, depth=depth, error=error), what, error=error)


def _short(text: str) -> str:
    shown = ascii(text)[1:-1]
    return f'"{shown}"' if len(shown) <= 80 else f'"{shown[:77]}..."'


class JsonObject:
    """A decoded JSON object with typed access; `where` is its place in the document, for messages.

    Methods named after a type return the default when the key is absent or null; `need_*` raise then.
    """

    __slots__ = ("error", "values", "where")

    def __init__(
        self, values: Mapping[str, object], where: str = "", error: type[HoldallError] = InvalidManifest
    ) -> None:
        self.values = values
        self.where = where
        self.error = error

    @classmethod
    def of(cls, value: object, where: str = "", *, error: type[HoldallError] = InvalidManifest) -> JsonObject:
        """Wrap a decoded value that must be an object; a JsonObject passes through."""
        if isinstance(value, JsonObject):
            return value
        if not isinstance(value, dict):
            raise error(f"{where} must be an object, not {_kind(value)}")
        return cls(value, where, error)

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def path(self, key: str) -> str:
        """Place of `key` in the document, quoted for a message."""
        return f"{self.where} {_short(key)}" if self.where else _short(key)

    def wrong(self, key: str, wanted: str) -> HoldallError:
        """The error for a value that is not `wanted`."""
        return self.error(f"{self.path(key)} must be {wanted}, not {_kind(self.values.get(key))}")

    def missing(self, key: str) -> HoldallError:
        """The error for a required key that is not there."""
        return self.error(f"{self.path(key)} is missing")

    def string(self, key: str, default: str = "") -> str:
        """A string, or the default."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def need_string(self, key: str) -> str:
        """A string that is present and not empty."""
        value = self.string(key)
        if not value:
            raise self.missing(key)
        return value

    def optional_integer(self, key: str, *, minimum: int = 0) -> int | None:
        """An integer of 64 bits not below `minimum`, or None."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(key, "an integer")
        if not minimum <= value <= MAX_INTEGER:
            raise self.error(f"{self.path(key)} must be between {minimum} and {MAX_INTEGER}")
        return value

    def integer(self, key: str, default: int = 0, *, minimum: int = 0) -> int:
        """An integer of 64 bits not below `minimum`, or the default."""
        value = self.optional_integer(key, minimum=minimum)
        return default if value is None else value

    def need_integer(self, key: str, *, minimum: int = 0) -> int:
        """An integer that is present."""
        value = self.optional_integer(key, minimum=minimum)
        if value is None:
            raise self.missing(key)
        return value

    def boolean(self, key: str, default: bool = False) -> bool:
        """A boolean, or the default."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(key, "a boolean")
        return value

    def items(self, key: str, limit: int = MAX_ITEMS) -> list[object] | None:
        """A list of anything with at most `limit` members, or None."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        if len(value) > limit:
            raise LimitExceeded(f"{self.path(key)} has {len(value)} members, more than the {limit} allowed")
        return value

    def optional_strings(self, key: str, limit: int = MAX_ITEMS) -> tuple[str, ...] | None:
        """A list of strings as a tuple, or None."""
        value = self.items(key, limit)
        if value is None:
            return None
        for item in value:
            if not isinstance(item, str):
                raise self.error(f"{self.path(key)} must hold strings only, not {_kind(item)}")
        return tuple(value)  # type: ignore[arg-type]

    def strings(self, key: str, limit: int = MAX_ITEMS) -> tuple[str, ...]:
        """A list of strings as a tuple, empty when absent."""
        return self.optional_strings(key, limit) or ()

    def child(self, key: str) -> JsonObject | None:
        """A nested object, or None."""
        value = self.values.get(key)
        return None if value is None else JsonObject.of(value, self.path(key), error=self.error)

    def need_child(self, key: str) -> JsonObject:
        """A nested object that is present."""
        value = self.child(key)
        if value is None:
            raise self.missing(key)
        return value

    def children(self, key: str, limit: int = MAX_ITEMS) -> tuple[JsonObject, ...]:
        """A list of objects, empty when absent."""
        value = self.items(key, limit) or []
        where = self.path(key)
        return tuple([JsonObject.of(item, f"{where}[{i}]", error=self.error) for i, item in enumerate(value)])

    def string_map(self, key: str) -> dict[str, str] | None:
        """An object whose values are all strings (annotations, labels), or None."""
        inner = self.child(key)
        if inner is None:
            return None
        for value in inner.values.values():
            if not isinstance(value, str):
                raise self.error(f"{inner.where} must hold strings only, not {_kind(value)}")
        return dict(inner.values)  # type: ignore[arg-type]

    def key_set(self, key: str) -> tuple[str, ...]:
        """The sorted keys of an object whose values say nothing (Go's map[string]struct{})."""
        inner = self.child(key)
        return () if inner is None else tuple(sorted(inner.values))

    def digest(self, key: str) -> Digest:
        """A digest that is present."""
        return self.parse_digest(self.need_string(key), key)

    def digests(self, key: str, limit: int) -> tuple[Digest, ...]:
        """A list of digests, empty when absent."""
        return tuple([self.parse_digest(text, key) for text in self.strings(key, limit)])

    def parse_digest(self, text: str, key: str) -> Digest:
        """`Digest.parse` with the place in the message."""
        try:
            return Digest.parse(text)
        except InvalidDigest as err:
            raise self.error(f"{self.path(key)}: {err.message}", hint=err.hint) from err


def _kind(value: object) -> str:
    return "null" if value is None else _TYPES.get(type(value), type(value).__name__)
