from __future__ import annotations

import pytest

from holdall.events import Event
from holdall.oci.descriptor import Descriptor
from holdall.oci.digest import Digest
from holdall.registry import progress
from holdall.registry.progress import INTERVAL, Progress

BLOB = Descriptor("application/x", Digest.of(b"blob"), 1_000)


def test_many_steps_make_few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    events: list[Event] = []
    work = Progress(events.append, BLOB)
    for count in range(1_000):
        now[0] += INTERVAL / 100
        work.at("downloading", count)
    assert 9 <= len(events) <= 11
    assert {(one.subject, one.action, one.total, one.done) for one in events} == {
        (BLOB.digest.short, "downloading", 1_000, False)
    }


def test_what_must_be_told_is_told() -> None:
    events: list[Event] = []
    work = Progress(events.append, BLOB)
    work.at("downloading", 10)
    work.say("retrying", "lost", 10)
    work.done("downloaded")
    assert events[-2:] == [
        Event(BLOB.digest.short, "retrying", 10, 1_000, message="lost"),
        Event(BLOB.digest.short, "downloaded", 1_000, 1_000, done=True),
    ]
