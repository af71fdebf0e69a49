from __future__ import annotations

import pytest

from holdall.errors import InvalidOption
from holdall.pack.options import MAX_EPOCH, PackOptions, checked, epoch_of, ports


@pytest.mark.parametrize(
    "options",
    [
        PackOptions(env=("NOVALUE", "A=1")),
        PackOptions(expose=("80", "53/udp")),
        PackOptions(working_dir="/x", volumes=("/data",)),
        PackOptions(compression="zstd"),
    ],
)
def test_good_options(options: PackOptions) -> None:
    assert checked(options) is options


@pytest.mark.parametrize(
    "options",
    [
        PackOptions(env=("=x",)),
        PackOptions(env=("A=\0",)),
        PackOptions(expose=("0",)),
        PackOptions(expose=("65536",)),
        PackOptions(expose=("80/icmp",)),
        PackOptions(working_dir="x"),
        PackOptions(volumes=("x",)),
        PackOptions(compression="xz"),
    ],
)
def test_bad_options(options: PackOptions) -> None:
    with pytest.raises(InvalidOption):
        checked(options)


def test_ports() -> None:
    assert ports(PackOptions(expose=("80", "53/udp", "80/tcp"))) == ("53/udp", "80/tcp")


def test_epoch() -> None:
    assert epoch_of(PackOptions(), {}) == 0
    assert epoch_of(PackOptions(), {"SOURCE_DATE_EPOCH": "1700000000"}) == 1_700_000_000
    assert epoch_of(PackOptions(epoch=5), {"SOURCE_DATE_EPOCH": "1700000000"}) == 5
    for bad in ("x", "-1", "1.5", str(MAX_EPOCH + 1)):
        with pytest.raises(InvalidOption, match="SOURCE_DATE_EPOCH"):
            epoch_of(PackOptions(), {"SOURCE_DATE_EPOCH": bad})
    with pytest.raises(InvalidOption):
        epoch_of(PackOptions(epoch=-1), {})
