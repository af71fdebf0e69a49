from __future__ import annotations

import io
from collections.abc import Sequence

import pytest

from holdall.build.compare import difference
from holdall.image.image import Image, Layer
from holdall.image.memory import MemoryBlobs
from holdall.image.mutate import new_image
from holdall.layer.entry import Entry, Kind
from holdall.layer.writer import TarWriter
from holdall.oci import mediatype
from holdall.oci.config import ImageConfig
from holdall.oci.container_config import ContainerConfig
from holdall.oci.history import History
from holdall.oci.platform import Platform
from holdall.record import replace

FILE = Entry(b"etc/file", mode=0o644, size=5, mtime_ns=1_000_000_000)


def image(*layers: Sequence[tuple[Entry, bytes]], env: tuple[str, ...] = ()) -> Image:
    blobs = MemoryBlobs()
    made = []
    for entries in layers:
        out = io.BytesIO()
        tar = TarWriter(out)
        for entry, data in entries:
            tar.add(entry, data)
        tar.close()
        descriptor = blobs.add(mediatype.OCI_LAYER, out.getvalue())
        made.append(Layer(descriptor, descriptor.digest, blobs))
    history = [History(created_by=f"RUN step {number}") for number in range(len(made))]
    config = ImageConfig.build(
        Platform("linux", "amd64"), [one.diff_id for one in made], ContainerConfig(env=env), history=history
    )
    return new_image(config, made)


def test_equal_images_have_no_difference() -> None:
    assert difference(image([(FILE, b"12345")]), image([(FILE, b"12345")])) is None


@pytest.mark.parametrize(
    ("entry", "data", "what", "values"),
    [
        (replace(FILE, mode=0o755), b"12345", "mode", ("644", "755")),
        (replace(FILE, uid=5), b"12345", "owner", ("0:0", "5:0")),
        (replace(FILE, mtime_ns=0), b"12345", "time", ("1970-01-01T00:00:01Z", "1970-01-01T00:00:00Z")),
        (replace(FILE, size=6), b"123456", "size", ("5 bytes", "6 bytes")),
        (replace(FILE, kind=Kind.SYMLINK, size=0, link=b"x"), b"", "kind", ("file", "symlink")),
        (replace(FILE, xattrs={b"user.a": b"1"}), b"12345", "extended attributes", ("[]", "[(b'user.a', b'1')]")),
    ],
)
def test_the_first_thing_that_differs_is_named(entry: Entry, data: bytes, what: str, values: tuple[str, str]) -> None:
    same = (Entry(b"a", Kind.DIRECTORY, 0o755), b"")
    found = difference(image([], [same, (FILE, b"12345")]), image([], [same, (entry, data)]))
    assert found is not None
    assert (found.where, found.path, found.what) == ("layer 2 (RUN step 1)", "/etc/file", what)
    assert (found.first, found.second) == values


def test_contents_tell_where_they_part() -> None:
    found = difference(image([(FILE, b"12345")]), image([(FILE, b"12x45")]))
    assert found is not None
    assert found.what == "content"
    assert found.first.endswith("at byte 2")
    assert str(found).startswith('layer 1 (RUN step 0): "/etc/file": content: ')


def test_a_file_of_one_only_is_named_with_its_side() -> None:
    more = [(FILE, b"12345"), (Entry(b"extra", size=0), b"")]
    assert str(difference(image(more), image(more[:1]))) == 'layer 1 (RUN step 0): "/extra": only in the first'
    assert str(difference(image(more[:1]), image(more))) == 'layer 1 (RUN step 0): "/extra": only in the second'


def test_settings_and_the_number_of_layers_are_compared_too() -> None:
    found = difference(image(env=("A=1",)), image(env=("A=2",)))
    assert found is not None
    assert found.where == "the configuration"
    assert found.what == "config"
    found = difference(image([]), image([], []))
    assert found is not None
    assert found.what == "number of layers"
