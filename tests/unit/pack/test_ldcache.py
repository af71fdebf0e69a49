from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from holdall.errors import InvalidInput
from holdall.pack.ldcache import CachedLibrary, build_cache, parse_cache, read_cache

LIBRARIES = {"libz.so.1": "/opt/a/libz.so.1", "liba.so": "/opt/liba.so", "libx.so.10": "/o/x10", "libx.so.9": "/o/x9"}


def test_what_is_built_parses_back() -> None:
    made = parse_cache(build_cache(LIBRARIES, 62))
    assert {one.name: one.path for one in made} == LIBRARIES
    assert [one.name for one in made] == ["libz.so.1", "libx.so.10", "libx.so.9", "liba.so"]


def test_the_old_format_in_front_is_skipped() -> None:
    old = b"ld.so-1.7.0\0" + struct.pack("<I", 1) + bytes(12)
    padded = old + bytes(-len(old) % 8)
    assert len(parse_cache(padded + build_cache(LIBRARIES, 62))) == 4


def test_ldconfig_reads_it(tmp_path: Path) -> None:
    ldconfig = shutil.which("ldconfig", path="/sbin:/usr/sbin")
    if ldconfig is None:
        pytest.skip("no ldconfig")
    (tmp_path / "cache").write_bytes(build_cache(LIBRARIES, 62))
    shown = subprocess.run(
        [ldconfig, "-p", "-C", tmp_path / "cache"], capture_output=True, text=True, check=True
    ).stdout
    assert "4 libs found" in shown
    assert "libx.so.10 (libc6,x86-64) => /o/x10" in shown


def test_the_hosts_cache_knows_libc() -> None:
    assert any(path.endswith("/libc.so.6") for path in read_cache()["libc.so.6"])


def test_entries_for_every_processor_come_first(tmp_path: Path) -> None:
    raw = bytearray(build_cache({"liba.so": "/special", "libb.so": "/plain"}, 62))
    struct.pack_into("<Q", raw, 48 + 24 + 16, 1 << 62)
    names = [one.name for one in parse_cache(bytes(raw)) if one.hwcap]
    assert names == ["liba.so"]
    assert parse_cache(bytes(raw))[1] == CachedLibrary("liba.so", "/special", 1 << 62)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x" * 100,
        build_cache(LIBRARIES, 62)[:40],
        build_cache(LIBRARIES, 62)[:100],
        build_cache(LIBRARIES, 62)[:20] + b"\xff" * 4 + build_cache(LIBRARIES, 62)[24:],
        build_cache(LIBRARIES, 62)[:-1],
        b"ld.so-1.7.0\0" + b"\xff" * 4 + bytes(64),
    ],
)
def test_damage_is_refused(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        parse_cache(raw)
    (tmp_path / "cache").write_bytes(raw)
    assert read_cache(str(tmp_path / "cache")) == {}


def test_no_cache_is_an_empty_one(tmp_path: Path) -> None:
    assert read_cache(str(tmp_path / "none")) == {}
