"""Renderers of a build's progress, fed with events."""

from __future__ import annotations

import json

import pytest

from holdall.build.progress import BASE, CHECK, STAGE, BuildEvent, Notice, Step, event
from holdall.cli import build_frame
from holdall.cli.build_json import RawJson
from holdall.cli.build_model import Model
from holdall.cli.build_plain import Plain
from holdall.errors import InvalidOption
from holdall.record import replace

PULL = Step(1, "", 0, 0, "FROM debian", "linux/amd64", BASE)
STAGES = Step(2, "made", 0, 3, "FROM debian AS made", "linux/amd64", STAGE)
COPY = Step(3, "made", 1, 3, "COPY a b", "linux/amd64")
RUN = Step(4, "made", 2, 3, "RUN make " + "all " * 40, "linux/amd64")
LOOK = build_frame.style(colours=False, unicode=True)


def at(time: float, step: Step, action: str, **more: object) -> BuildEvent:
    return replace(event(step, action, **more), time=time)  # type: ignore[arg-type]


EVENTS = (
    at(10.0, PULL, "started"),
    at(10.5, PULL, "progress", subject="abc downloading", size=10_000, total=40_000),
    at(10.6, PULL, "progress", subject="abc downloading", size=20_000, total=40_000),
    at(11.0, PULL, "done"),
    at(11.0, STAGES, "planned"),
    at(11.0, COPY, "cached", size=2048),
    at(11.0, RUN, "started"),
    at(12.0, RUN, "output", data=b"one\n10%\r"),
    at(13.0, RUN, "output", data="50%\rwide 漢字\nhalf".encode()),
)


def fed(events: tuple[BuildEvent, ...] = EVENTS) -> Model:
    model = Model()
    plain = Plain(model, lambda _: None)
    for one in events:
        plain(one)
    return model


def test_plain_lines_tell_of_each_step_once() -> None:
    lines: list[str] = []
    plain = Plain(Model(), lines.append)
    for one in (*EVENTS, at(14.0, RUN, "failed")):
        plain(one)
    assert lines[:5] == [
        "#1 FROM debian", "#1 abc downloading", "#1 done in 1.0 s", "#3 CACHED [made 1/3] COPY a b", lines[4],
    ]  # fmt: skip
    assert lines[4].startswith("#4 [made 2/3] RUN make all all")
    assert lines[4].endswith("…")
    assert lines[5:] == ["#4 | one", "#4 | wide 漢字", "#4 | half", "#4 failed after 3.0 s"]


def test_output_cannot_steer_the_terminal() -> None:
    lines: list[str] = []
    plain = Plain(Model(), lines.append)
    plain(at(1.0, RUN, "started"))
    plain(at(1.0, RUN, "output", data=b"\x1b[2Jgone\x07 \xff\n"))
    assert lines[-1] == "#4 | \\x1b[2Jgone\\x07 \ufffd"


def test_json_has_one_object_for_each_event_and_text_whole_across_pieces() -> None:
    lines: list[str] = []
    raw = RawJson(Model(), lines.append)
    raw(at(1.0, RUN, "output", data="é".encode()[:1]))
    raw(at(1.0, RUN, "output", data="é".encode()[1:] + b"\n"))
    notice = Notice("JSONArgsRecommended", "use JSON", 7, "https://example.org")
    raw(at(1.0, Step(9, "", 0, 0, "checks", "", CHECK), "warning", notice=notice))
    raw(EVENTS[1])
    texts = [json.loads(line) for line in lines]
    assert "".join(one.get("text", "") for one in texts) == "é\n"
    assert texts[0]["step"] == {
        "id": 4, "kind": "step", "line": RUN.line, "stage": "made", "platform": "linux/amd64", "number": 2, "total": 3,
    }  # fmt: skip
    assert texts[2]["warning"] == {
        "rule": "JSONArgsRecommended", "message": "use JSON", "line": 7, "url": "https://example.org",
    }  # fmt: skip
    assert (texts[3]["subject"], texts[3]["size"], texts[3]["total"]) == ("abc downloading", 10_000, 40_000)


def test_the_region_shows_running_steps_their_last_lines_and_the_sum() -> None:
    model = fed()
    lines = build_frame.region(model, LOOK, 14.0, 60, 20)
    assert lines[0].startswith("● [made 2/3] RUN make all")
    assert lines[0].endswith("3.0 s")
    assert lines[1:4] == ["  │ one", "  │ wide 漢字", "  │ half"]
    assert lines[4] == "building 4.0 s: 1 of 3 steps, 1 cached, 1 running"
    assert build_frame.ended(model.rows[3], LOOK, 60).endswith("CACHED")


def test_transfers_show_their_bytes() -> None:
    lines = build_frame.region(fed(EVENTS[:3]), LOOK, 11.0, 60, 20)
    assert lines[0].startswith("● FROM debian")
    assert lines[1] == "  │ abc downloading  20kB of 40kB"


@pytest.mark.parametrize("width", [1, 2, 5, 10, 20, 39, 40, 79, 200])
@pytest.mark.parametrize("height", [1, 2, 3, 5, 24])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_is_wider_and_no_frame_higher_than_the_terminal(width: int, height: int, unicode: bool) -> None:
    model = fed()
    more = [Step(number, f"stage{number}", 1, 1, "RUN 漢字漢字 work " * 5) for number in range(10, 22)]
    plain = Plain(model, lambda _: None)
    for one in more:
        plain(at(12.0, one, "started"))
        plain(at(12.0, one, "output", data="漢字 output\n".encode() * 30))
    look = build_frame.style(colours=False, unicode=unicode)
    lines = build_frame.region(model, look, 20.0, width, height)
    lines += [build_frame.ended(row, look, width) for row in model.rows.values() if row.ended is not None]
    assert all(sum(map(build_frame.columns, line)) <= width for line in lines), lines
    assert len(build_frame.region(model, look, 20.0, width, height)) <= height


def test_a_build_in_sum() -> None:
    model = fed((*EVENTS, at(15.0, RUN, "done", size=5)))
    assert model.summary(15.5) == "built in 5.5 s: 2 steps, 1 from the cache"


def test_the_form_is_chosen_by_option_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from holdall.cli.builds import mode

    monkeypatch.delenv("BUILDKIT_PROGRESS", raising=False)
    assert mode(None) == "auto"
    monkeypatch.setenv("BUILDKIT_PROGRESS", "plain")
    assert mode(None) == "plain"
    assert mode("tty") == "tty"
    with pytest.raises(InvalidOption, match="--progress"):
        mode("fancy")
