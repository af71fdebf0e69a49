from __future__ import annotations

from holdall.build.progress import Step, event
from holdall.build.tails import LINES, Tails

STEP, OTHER = Step(1, "a", 1, 1, "RUN x"), Step(2, "b", 1, 1, "RUN y")


def test_the_last_lines_are_kept_with_the_one_that_has_no_end() -> None:
    tails = Tails()
    for number in range(30):
        tails(event(STEP, "output", f"line {number}\n".encode()))
    tails(event(STEP, "output", b"no "))
    tails(event(STEP, "output", b"end"))
    assert tails.of(STEP) == (*[f"line {number}" for number in range(30 - LINES + 1, 30)], "no end")


def test_steps_do_not_mix_and_are_forgotten_when_they_end() -> None:
    tails = Tails()
    tails(event(STEP, "output", b"mine\n"))
    tails(event(OTHER, "output", b"\xff10%\r20%\r\n"))
    assert tails.of(STEP) == ("mine",)
    assert tails.of(OTHER) == ("20%",)
    tails(event(STEP, "done"))
    assert tails.of(STEP) == ()
