"""Header blocks."""

from __future__ import annotations

import pytest

from holdall.errors import InvalidArchive
from holdall.layer import header
from holdall.testing.tars import block, seal


class TestNumber:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            (b"0000644\0", 0o644),
            (b"000644 \0", 0o644),
            (b"   644 \0", 0o644),
            (b"0000644 ", 0o644),
            (b"00000644", 0o644),
            (b"644\0\0\0\0\0", 0o644),
            (b"644\0junk", 0o644),
            (b"\0" * 8, 0),
            (b" " * 8, 0),
            (b"\x80\0\0\0\0\0\x01\0", 256),
            (b"\x80" + b"\0" * 7 + b"\xff\xff\xff\xff", (1 << 32) - 1),
        ],
    )
    def test_forms(self, field: bytes, value: int) -> None:
        assert header.number(field, "size") == value

    def test_negative_where_allowed(self) -> None:
        assert header.number(b"\xff" * 12, "mtime", signed=True) == -1
        assert header.number(b"\xff" * 11 + b"\x00", "mtime", signed=True) == -256

    @pytest.mark.parametrize(
        "field", [b"0000648\0", b"-000644\0", b"+000644\0", b"0_00644\0", b"00 0644\0", b"junk\0\0\0\0"]
    )
    def test_malformed(self, field: bytes) -> None:
        with pytest.raises(InvalidArchive):
            header.number(field, "size")


class TestParse:
    def test_ustar_prefix(self) -> None:
        assert header.parse(block(b"name", prefix=b"some/where")).name == b"some/where/name"

    def test_v7_has_no_prefix(self) -> None:
        assert header.parse(block(b"name", b"\0", magic=b"", prefix=b"junk")).name == b"name"

    def test_gnu_has_no_prefix(self) -> None:
        assert header.parse(block(b"name", magic=b"ustar  \0", prefix=b"00012345670")).name == b"name"

    def test_star_prefix_is_shorter(self) -> None:
        found = header.parse(block(b"name", prefix=b"p".ljust(131, b"\0") + b"00000000001\0", tail=b"12345670tar\0"))
        assert found.name == b"p/name"

    def test_a_name_without_nul(self) -> None:
        assert header.parse(block(b"x" * 100)).name == b"x" * 100

    def test_signed_checksums_of_old_tars(self) -> None:
        raw = block("ä".encode() * 2, magic=b"")
        assert header.parse(seal(raw, sum(raw[:148] + raw[156:]) + 256 - 256 * 4)).name == "ä".encode() * 2

    def test_wrong_checksum(self) -> None:
        with pytest.raises(InvalidArchive, match="checksum"):
            header.parse(block(b"x", checksum=1))

    def test_device_numbers_count_for_devices_only(self) -> None:
        assert header.parse(block(b"x", b"3", major=5, minor=1)).major == 5
        assert header.parse(block(b"x", b"0", major=b"junkjunk")).major == 0


class TestChecksum:
    FULL = {"prefix": b"\xfe" * 155, "link": b"\xfd" * 100, "tail": b"\xff" * 12}

    @pytest.mark.parametrize("signed", [False, True])
    @pytest.mark.parametrize("fields", [{}, {"prefix": b"\xfe" * 155}, FULL])
    def test_of_blocks_light_and_heavy(self, fields: dict[str, bytes], signed: bool) -> None:
        data = block(b"\xff" * 100, **fields)
        head = data[:148] + b" " * 8 + data[156:]
        total = sum(byte - 256 if signed and byte > 127 else byte for byte in head)
        if total < 0:
            return
        stored = b"%06o\0 " % total
        assert header.parse(data[:148] + stored + data[156:]).name.endswith(b"\xff" * 100)
        for wrong in (total + 1, total + 65521, total - 65521, total + 256):
            if wrong >= 0:
                with pytest.raises(InvalidArchive, match="checksum"):
                    header.parse(data[:148] + b"%06o\0 " % wrong + data[156:])

    @pytest.mark.parametrize("form", [b"%06o\0 ", b"%07o\0", b"%06o \0", b"%6o\0 ", b"%o\0\0"])
    def test_in_any_form(self, form: bytes) -> None:
        data = block(b"name")
        total = sum(data[:148] + b" " * 8 + data[156:])
        assert header.parse(data[:148] + (form % total).ljust(8, b"\0")[:8] + data[156:]).name == b"name"
