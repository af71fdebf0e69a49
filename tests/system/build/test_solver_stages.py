"""Stages side by side, one execution of equal steps, failures and cancellations that leave nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time

import pytest

from holdall.testing.building import Workshop
from holdall.testing.command import busybox_available, finish
from holdall.testing.supervised import eventually

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]

# each stage waits until the other one has come: they must run at the same time
MEETING = """
FROM bb AS one
RUN --mount=type=cache,target=/c echo > /c/one-{0}; until [ -e /c/two-{0} ]; do sleep 0.05; done; echo 1 > /out
FROM bb AS two
RUN --mount=type=cache,target=/c echo > /c/two-{0}; until [ -e /c/one-{0} ]; do sleep 0.05; done; echo 2 > /out
FROM bb AS unneeded
RUN exit 9
FROM bb
COPY --from=one /out /1
COPY --from=two /out /2
"""
# a slow step next to one that fails
FAILING = """
FROM bb AS slow
RUN echo slow is up; sleep 600; {0}
FROM bb AS bad
RUN sleep 1; echo about to fail; exit 4; {0}
FROM bb
COPY --from=slow / /
COPY --from=bad / /
"""


def own() -> str:
    """A word no other test has: nothing is in the cache."""
    return str(time.monotonic_ns())


def test_stages_run_side_by_side_and_those_not_needed_never(workshop: Workshop) -> None:
    image = workshop.build(MEETING.format(own()), "--jobs", "2")
    assert workshop.shown(image, "cat", "/1", "/2").split() == ["1", "2"]


def test_a_failure_stops_the_others_and_is_told_with_its_last_lines(workshop: Workshop) -> None:
    begun = time.monotonic()
    said = workshop.fails(FAILING.format(own()))
    assert time.monotonic() - begun < 60
    assert "exit code 4" in said
    assert ">>> RUN sleep 1; echo about to fail" in said
    assert "last lines of its output:\n  | about to fail" in said
    assert "stopped after" in said
    found = re.search(r"hint: all of its output: holdall (builder logs \w+ \d+)", said)
    assert found is not None
    assert workshop.store.run(*found[1].split()) == "about to fail"
    workshop.rests()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_an_ended_build_leaves_no_container(workshop: Workshop, number: int) -> None:
    def halves() -> set[str]:
        return {name for name in os.listdir(workshop.store.paths.ingest) if name.startswith("new-")}

    before = halves()
    build = workshop.begin(FAILING.format(own()).replace("exit 4", "sleep 600"))
    eventually(lambda: len(workshop.store.run("ps", "-q").split()) == 2)
    assert len(halves() - before) == 2
    build.send_signal(number)
    done = finish(build)
    assert done.returncode == (-number if number == signal.SIGKILL else 128 + number)
    # what a killed one leaves is for `system gc`
    assert number == signal.SIGKILL or halves() == before
    workshop.rests()
    assert workshop.build("FROM bb\nRUN true\n")


def test_no_more_commands_at_once_than_jobs(workshop: Workshop) -> None:
    word = own()
    run = (
        "RUN --mount=type=cache,target=/c echo > /c/{0}-{1}; sleep 0.3;"
        " set -- /c/{0}-*; [ $# = 1 ] || exit 3; busybox rm /c/{0}-{1}"
    )
    stages = "".join(f"FROM bb AS s{number}\n{run.format(word, number)}\n" for number in range(3))
    text = stages + "FROM bb\n" + "".join(f"COPY --from=s{number} / /\n" for number in range(3))
    assert workshop.build(text, "--jobs", "1")


COUNTED = """
FROM bb AS base
RUN --mount=type=cache,target=/c,sharing=locked echo x >> /c/{0}; sleep 0.5; echo made > /made
FROM bb AS again
RUN --mount=type=cache,target=/c,sharing=locked echo x >> /c/{0}; sleep 0.5; echo made > /made
FROM bb
COPY --from=base /made /a
COPY --from=again /made /b
RUN --mount=type=cache,target=/c cat /c/{0} > /count
"""


def test_equal_steps_are_executed_once_in_a_build_and_between_builds(workshop: Workshop) -> None:
    text = COUNTED.format(own())
    builds = [workshop.begin(text) for _ in range(3)]
    done = [finish(build) for build in builds]
    assert [one.returncode for one in done] == [0, 0, 0], done
    assert len({one.stdout for one in done}) == 1
    assert workshop.shown(done[0].stdout.strip(), "cat", "/count") == "x"


def test_a_build_that_waits_for_another_goes_on_when_that_is_killed(workshop: Workshop) -> None:
    text = f"FROM bb\nRUN echo up; sleep 3; echo {own()} > /x\n"
    first = workshop.begin(text)
    eventually(lambda: workshop.store.run("ps", "-q") != "")
    second = workshop.begin(text)
    assert second.stderr is not None
    told = b""
    while b"another build is at this step" not in told:
        line = second.stderr.readline()
        assert line, told
        told += line
    first.kill()
    first.communicate()
    assert finish(second).returncode == 0


def test_without_cache_for_some_stages_only(workshop: Workshop) -> None:
    word = own()
    text = (
        f"FROM bb AS one\nRUN echo {word} > /1\nFROM bb AS two\nRUN echo {word} > /2\n"
        "FROM bb\nCOPY --from=one /1 /\nCOPY --from=two /2 /\n"
    )
    workshop.build(text)
    done = workshop.attempt(text, "--no-cache-filter", "two")
    # the stage is made anew, and comes to the same layer: what stands on it is found again
    assert done.stderr.count("CACHED") == 3
    said = workshop.fails(text, "--no-cache-filter", "twoo")
    assert "did you mean two?" in said


def test_triggers_need_stages_too(workshop: Workshop) -> None:
    workshop.build("FROM bb\nONBUILD COPY --from=made /made /from-made\n", "-t", "triggers")
    text = f"FROM bb AS made\nRUN echo {own()} > /made\nFROM triggers\nRUN cat /from-made\n"
    done = workshop.attempt(text)
    assert done.returncode == 0, done.stderr
    assert "[stage-1 1/2] COPY --from=made /made /from-made" in done.stderr


def test_triggers_of_a_stage_are_executed_by_stages_that_begin_with_it(workshop: Workshop) -> None:
    text = f"FROM bb AS made\nRUN echo {own()} > /made\nFROM bb AS triggers\nONBUILD COPY --from=made /made /got\n"
    text += "ONBUILD ENV A=1\nFROM triggers AS next\nRUN cat /got\nFROM next\nRUN busybox mv /got /moved\n"
    image = workshop.build(text)
    assert workshop.shown(image, "sh", "-c", "echo $A /moved /g*").split() == ["1", "/moved", "/g*"]
    config = json.loads(workshop.store.run("image", "inspect", image))[0]["Config"]
    assert not config.get("OnBuild")
    image = workshop.build(text, "--target", "triggers")
    assert len(json.loads(workshop.store.run("image", "inspect", image))[0]["Config"]["OnBuild"]) == 2


def test_steps_whose_files_only_look_new_are_found_by_content(workshop: Workshop) -> None:
    workshop.fresh({"a/file": own(), "b": own()})
    text = "FROM bb\nWORKDIR /there\nCOPY a /there/\nCOPY b .\n"
    first = workshop.build(text)
    old = time.time() - 100
    subprocess.run(["touch", "-d", f"@{old}", f"{workshop.context}/b"], check=True)
    assert workshop.build(text) == first
    workshop.fresh({"a/file": own(), "b": own()})
    assert workshop.build(text) != first
