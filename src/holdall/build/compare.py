"""The first difference between two images that should be one: which layer, which file, and what about it."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing, contextmanager

from holdall.layer.compression import open_layer
from holdall.layer.entry import Kind
from holdall.layer.tar import TarReader
from holdall.oci import timestamp
from holdall.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdall.image.image import Image, Layer
    from holdall.layer.entry import Entry

CHUNK = 1 << 20
NS = 1_000_000_000
MAX_SHOWN = 200


@record
class Difference:
    """`where` is a layer (with the instruction that made it) or "the configuration"; `path` is "" for a whole layer.

    `what` is "mode", "owner", "content", "time", … or "only in the first" and "only in the second".
    """

    where: str
    path: str
    what: str
    first: str = ""
    second: str = ""

    def __str__(self) -> str:
        path = f'"{self.path}": ' if self.path else ""
        values = f": {self.first} against {self.second}" if self.first or self.second else ""
        return f"{self.where}: {path}{self.what}{values}"


def difference(first: Image, second: Image) -> Difference | None:
    """The first difference, None when the two are one image. Raises what reading layers raises."""
    pairs = list(zip(first.layers, second.layers, strict=False))
    for number, (one, other) in enumerate(pairs):
        if one.diff_id != other.diff_id:
            return _of_layers(f"layer {number + 1}{_made_by(first, number)}", one, other)
    if len(first.layers) != len(second.layers):
        return Difference("the image", "", "number of layers", str(len(first.layers)), str(len(second.layers)))
    if first.id != second.id:
        return _of_configurations(first.config.raw, second.config.raw)
    for number, (one, other) in enumerate(pairs):
        if one.descriptor.digest != other.descriptor.digest:
            where = f"layer {number + 1}{_made_by(first, number)}"
            digests = str(one.descriptor.digest), str(other.descriptor.digest)
            return Difference(where, "", "compressed bytes", *digests)
    if first.digest != second.digest:
        return Difference("the manifest", "", "digest", str(first.digest), str(second.digest))
    return None


def _made_by(image: Image, number: int) -> str:
    steps = [step for step in image.config.history if not step.empty_layer]
    return f" ({steps[number].created_by[:MAX_SHOWN]})" if number < len(steps) else ""


def _of_layers(where: str, one: Layer, other: Layer) -> Difference:
    mine, theirs = _contents(one), _contents(other)
    for name in [*mine, *[name for name in theirs if name not in mine]]:
        path = "/" + name.decode(errors="backslashreplace")
        if name not in theirs or name not in mine:
            return Difference(where, path, "only in the first" if name in mine else "only in the second")
        found = _of_entries(*mine[name], *theirs[name])
        if found is not None:
            what, left, right = found
            if what == "content":
                left += f" at byte {_offset(one, other, name)}"
            return Difference(where, path, what, left, right)
    if list(mine) != list(theirs):
        return Difference(where, "", "order of the files")
    return Difference(where, "", "form of the tar", str(one.diff_id), str(other.diff_id))


def _contents(layer: Layer) -> dict[bytes, tuple[Entry, str]]:
    """Each name's entry and the digest of its content."""
    found: dict[bytes, tuple[Entry, str]] = {}
    with _opened(layer) as reader:
        for entry in reader:
            hasher = hashlib.sha256()
            if entry.kind is Kind.FILE:
                while data := reader.read(CHUNK):
                    hasher.update(data)
            found[entry.name] = (entry, hasher.hexdigest())
    return found


def _of_entries(one: Entry, digest: str, other: Entry, its: str) -> tuple[str, str, str] | None:
    facts = (
        ("kind", one.kind.name.lower(), other.kind.name.lower()),
        ("mode", f"{one.mode:o}", f"{other.mode:o}"),
        ("owner", f"{one.uid}:{one.gid}", f"{other.uid}:{other.gid}"),
        ("link", _text(one.link), _text(other.link)),
        ("size", f"{one.size} bytes", f"{other.size} bytes"),
        ("content", digest[:12], its[:12]),
        ("device", f"{one.major}:{one.minor}", f"{other.major}:{other.minor}"),
        ("extended attributes", _text(repr(sorted(one.xattrs.items()))), _text(repr(sorted(other.xattrs.items())))),
        ("time", _time(one.mtime_ns), _time(other.mtime_ns)),
    )
    return next(((what, left, right) for what, left, right in facts if left != right), None)


def _offset(one: Layer, other: Layer, name: bytes) -> int:
    """Where the contents of a file begin to differ."""
    with _opened(one) as mine, _opened(other) as theirs:
        for reader in (mine, theirs):
            next(entry for entry in reader if entry.name == name)
        at = 0
        while True:
            left, right = mine.read(CHUNK), theirs.read(CHUNK)
            if left != right or not left:
                return at + next((n for n, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), 0)
            at += len(left)


@contextmanager
def _opened(layer: Layer) -> Iterator[TarReader]:
    with closing(layer.open()) as blob:
        yield TarReader(open_layer(blob))


def _of_configurations(one: bytes, other: bytes) -> Difference:
    left, right = json.loads(one), json.loads(other)
    for key in sorted(left.keys() | right.keys()):
        if left.get(key) != right.get(key):
            return Difference("the configuration", "", key, _shown(left.get(key)), _shown(right.get(key)))
    return Difference("the configuration", "", "form of the JSON")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def _text(value: bytes | str) -> str:
    text = value if isinstance(value, str) else value.decode(errors="backslashreplace")
    return text[:MAX_SHOWN] or "none"


def _time(nanoseconds: int) -> str:
    return timestamp.render(nanoseconds)
