from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from holdall.registry.server.spool import Place, Reader, Spool


def everything(reader: Reader, place: Place | None = None) -> list[bytes]:
    found: list[bytes] = []
    place = place or reader.start()
    while True:
        lines, place = reader.read(place)
        if not lines:
            return found
        found += [line for line, _ in lines]


def test_what_is_appended_is_read_in_order(tmp_path: Path) -> None:
    reader = Reader(str(tmp_path))
    assert everything(reader) == []
    one, two = Spool(str(tmp_path)), Spool(str(tmp_path))
    for number in range(10):
        (one, two)[number % 2].append(b"%d\n" % number)
    assert everything(reader) == [b"%d\n" % number for number in range(10)]
    lines, _ = reader.read(reader.start())
    assert everything(reader, lines[6][1]) == [b"7\n", b"8\n", b"9\n"]
    one.close()
    two.close()


def test_files_follow_each_other(tmp_path: Path) -> None:
    one, two = (Spool(str(tmp_path), segment=20, limit=10_000) for _ in range(2))
    for number in range(50):
        assert (one, two)[number % 2].append(b"%08d\n" % number) == 0
    reader = Reader(str(tmp_path))
    assert everything(reader) == [b"%08d\n" % number for number in range(50)]
    assert len([name for name in os.listdir(tmp_path) if name.isdigit()]) == 17
    one.close()
    two.close()


def test_when_there_is_too_much_the_oldest_goes_and_is_counted(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), segment=20, limit=60)
    lost = sum(spool.append(b"%08d\n" % number) for number in range(50))
    kept = everything(Reader(str(tmp_path)))
    assert kept == [b"%08d\n" % number for number in range(lost, 50)]
    assert 40 <= lost < 50
    # a reader that was behind goes on with what there is
    assert everything(Reader(str(tmp_path)), Place(1, 9)) == kept
    spool.close()


def test_a_torn_line_harms_no_other(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    spool.append(b"one\n")
    spool.close()
    with open(tmp_path / "000000000001", "ab") as file:
        file.write(b"tor")
    reader = Reader(str(tmp_path))
    assert everything(reader) == [b"one\n"]
    spool = Spool(str(tmp_path))
    spool.append(b"two\n")
    assert everything(reader) == [b"one\n", b"tor\n", b"two\n"]
    spool.close()


def test_a_lost_number_is_found_again(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), segment=5, limit=1000)
    for number in range(3):
        spool.append(b"%04d\n" % number)
    spool.close()
    for text in ("", "garbage", "000000000001"):
        (tmp_path / "lock").write_text(text)
        spool = Spool(str(tmp_path), segment=1000)
        spool.append(b"more\n")
        spool.close()
    assert everything(Reader(str(tmp_path))) == [b"0000\n", b"0001\n", b"0002\n"] + [b"more\n"] * 3


def test_a_full_disk_takes_nothing_or_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(str(tmp_path))
    spool.append(b"one\n")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:2]))
    with pytest.raises(OSError, match="No space"):
        spool.append(b"two\n")
    monkeypatch.undo()
    spool.append(b"three\n")
    assert everything(Reader(str(tmp_path))) == [b"one\n", b"three\n"]
    spool.close()


def _append(folder: str, name: int) -> None:
    spool = Spool(folder, segment=500, limit=1 << 20)
    for number in range(300):
        spool.append(b"%d %d\n" % (name, number))
    os._exit(0)


def test_processes_append_whole_lines_in_their_order(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_append, args=(str(tmp_path), name)) for name in range(3)]
    for child in children:
        child.start()
    reader, place, found = Reader(str(tmp_path)), Place(1, 0), list[bytes]()
    while len(found) < 900:
        lines, place = reader.read(place)
        found += [line for line, _ in lines]
        if not lines and not any(child.is_alive() for child in children):
            found += everything(reader, place)
            break
    for child in children:
        child.join()
    for name in range(3):
        mine = [line for line in found if line.startswith(b"%d " % name)]
        assert mine == [b"%d %d\n" % (name, number) for number in range(300)]


def test_places_of_webhooks_survive_and_what_all_have_goes(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), segment=5, limit=1000)
    for number in range(4):
        spool.append(b"%04d\n" % number)
    reader = Reader(str(tmp_path))
    assert reader.sent("a") is None
    reader.mark("a", Place(3, 5))
    reader.mark("b", Place(2, 0))
    assert Reader(str(tmp_path)).sent("a") == Place(3, 5)
    reader.tidy({"a", "b"})
    assert reader.start() == Place(2, 0)
    reader.tidy({"a"})
    assert reader.start() == Place(3, 0)
    assert reader.sent("b") is None
    reader.tidy(set())
    assert reader.start().number == 5, "the file that is written to stays"
    (tmp_path / "sent-a").write_text("x")
    assert reader.sent("a") is None
    spool.append(b"last\n")
    assert everything(reader) == [b"last\n"]
    spool.close()


def test_syncing_what_grew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    spool, reader = Spool(str(tmp_path)), Reader(str(tmp_path))
    reader.sync()
    spool.append(b"one\n")
    reader.sync()
    reader.sync()
    assert len(synced) == 1
    spool.append(b"two\n")
    reader.sync()
    assert len(synced) == 2
    spool.close()


def test_one_process_sends(tmp_path: Path) -> None:
    one, two = Reader(str(tmp_path)), Reader(str(tmp_path))
    held = one.hold()
    assert held is not None
    assert two.hold() is None
    os.close(held)
    again = two.hold()
    assert again is not None
    os.close(again)


def test_what_is_appended_after_a_power_cut_is_read(tmp_path: Path) -> None:
    """The mark was kept, the end of the log was not; or not even its number."""
    for lost in (False, True):
        folder = tmp_path / str(lost)
        spool, reader = Spool(str(folder)), Reader(str(folder))
        spool.append(b"1\n2\n3\n")
        reader.mark("hook", Place(1, 6))
        spool.close()
        os.truncate(folder / "000000000001", 2)
        if lost:
            reader.mark("hook", Place(7, 6))
        place = reader.sent("hook")
        assert place == Place(1, 0 if lost else 2)
        spool = Spool(str(folder))
        spool.append(b"4\n")
        spool.close()
        assert [line for line, _ in reader.read(place)[0]][-1] == b"4\n"
