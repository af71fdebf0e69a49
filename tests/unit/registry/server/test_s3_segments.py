from __future__ import annotations

from holdall.registry.server.s3_segments import Segment, chain, full_size, is_short, metadata, name_of, note_in

MIB = 1 << 20


def test_segments_behind_a_gap_do_not_count() -> None:
    one, two, four = Segment(0, 10, "a"), Segment(10, 5, "b"), Segment(20, 5, "d")
    assert chain([four, two, one]) == ([one, two], [four])
    assert chain([two]) == ([], [two])
    overlapping = Segment(12, 9, "c")
    assert chain([one, two, overlapping, four]) == ([one, two], [overlapping, four])
    assert chain([]) == ([], [])


def test_names_are_in_the_order_of_the_bytes() -> None:
    offsets = [0, 9, 10, 1 << 20, 1 << 40]
    assert sorted(map(name_of, offsets)) == list(map(name_of, offsets))


def test_the_largest_blob_fits_the_parts_a_store_takes_even_of_the_shortest_segments() -> None:
    offset, count = 0, 0
    while offset < 1 << 40:
        size = full_size(offset) // 2
        assert not is_short(Segment(offset, size, ""))
        assert is_short(Segment(offset, size - 1, ""))
        assert 5 * MIB <= size <= 5 << 30
        offset, count = offset + size, count + 1
    assert count < 10_000


def test_a_note_is_for_the_segments_it_was_written_for() -> None:
    before = [Segment(0, 10, "a"), Segment(10, 10, "b")]
    kept = metadata(before, b"\x00note")
    assert note_in(kept, before) == b"\x00note"
    assert note_in(kept, before[:1]) == b""
    assert note_in(kept, [before[0], Segment(10, 10, "c")]) == b""
    assert note_in({}, before) == b""
    assert note_in({**kept, "holdall-note": "%"}, before) == b""
    assert metadata(before, b"") == metadata(before, bytes(5000)) == {}
