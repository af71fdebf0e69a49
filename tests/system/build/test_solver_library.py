"""Builds from programs: events to iterate, an end to them, the same with an event loop, and the example of the docs."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdall import AsyncEngine, Engine
from holdall.build.options import BuildOptions
from holdall.errors import Cancelled, StepFailed
from holdall.testing.building import Workshop
from holdall.testing.command import busybox_available

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]

DOCUMENT = Path(__file__).parents[3] / "docs/build.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


@pytest.fixture
def engine(workshop: Workshop) -> Iterator[Engine]:
    with Engine(workshop.store.paths.root, workshop.store.paths.run_root) as made:
        yield made


def options(workshop: Workshop, text: str, **more: object) -> BuildOptions:
    return BuildOptions(Path(workshop.context), text=text.encode(), **more)  # type: ignore[arg-type]


def own() -> str:
    return f"echo {time.monotonic_ns()} > /x"


def test_a_build_is_iterated_and_gives_its_image(workshop: Workshop, engine: Engine) -> None:
    with engine.builds.start(options(workshop, f"FROM bb\nRUN echo out; {own()}\n", tags=("lib:1",))) as running:
        events = list(running)
        image = running.image()
    assert image.tags == ("lib:1",)
    assert b"".join(one.data for one in events if one.action == "output") == b"out\n"
    steps = [one.action for one in events if one.step.kind == "step" and one.action != "output"]
    assert steps == ["started", "done"]
    assert [one.time for one in events] == sorted(one.time for one in events)


def test_the_image_can_be_had_without_reading_events(workshop: Workshop, engine: Engine) -> None:
    # more output than events are kept for a reader who does not come
    text = f"FROM bb\nRUN busybox seq 1 20000; busybox yes | busybox head -c 3000000; {own()}\n"
    assert engine.builds.start(options(workshop, text)).image().id.startswith("sha256:")


def test_a_failed_step_is_an_error_with_what_one_wants_to_know(workshop: Workshop, engine: Engine) -> None:
    running = engine.builds.start(options(workshop, "FROM bb\nRUN echo last; exit 6\n"))
    assert [one.action for one in running if one.step.kind == "step"] == ["started", "output", "failed"]
    with pytest.raises(StepFailed, match="exit code 6") as caught:
        running.image()
    assert caught.value.code == 6
    assert caught.value.output == ("last",)
    assert ">>> RUN echo last" in caught.value.excerpt


def test_a_cancelled_build_ends_at_once_and_leaves_nothing(workshop: Workshop, engine: Engine) -> None:
    running = engine.builds.start(options(workshop, f"FROM bb\nRUN echo up; sleep 600; {own()}\n"))
    for event in running:
        if event.action == "output":
            running.cancel()
    with pytest.raises(Cancelled):
        running.image()
    workshop.rests()
    with engine.builds.start(options(workshop, f"FROM bb\nRUN sleep 600; {own()}\n")):
        pass
    workshop.rests()


def test_questions_to_a_dockerfile(workshop: Workshop, engine: Engine) -> None:
    asked = options(workshop, "FROM bb AS one\nARG A=1\nFROM one\nCMD echo hi\n")
    assert [one.rule.name for one in engine.builds.check(asked).report.warnings] == ["JSONArgsRecommended"]
    assert [one.name for one in engine.builds.targets(asked)] == ["one", ""]
    assert [one.name for one in engine.builds.outline(asked).arguments] == ["A"]


async def test_the_same_with_an_event_loop(workshop: Workshop) -> None:
    paths = workshop.store.paths
    async with AsyncEngine(paths.root, paths.run_root) as engine:
        told = []
        image = await engine.builds.build(options(workshop, f"FROM bb\nRUN echo out; {own()}\n"), told.append)
        assert image.id.startswith("sha256:")
        assert b"out\n" in [one.data for one in told]
        running = engine.builds.start(options(workshop, f"FROM bb\nRUN echo up; sleep 600; {own()}\n"))
        async for event in running:
            if event.action == "output":
                running.cancel()
        with pytest.raises(Cancelled):
            await running.image()
        task = asyncio.create_task(engine.builds.build(options(workshop, f"FROM bb\nRUN sleep 600; {own()}\n")))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    workshop.rests()


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_of_the_documents_work(workshop: Workshop, number: int) -> None:
    workshop.fresh({"Dockerfile": "FROM bb\nRUN echo hello\n"})
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/example.py"
        Path(path).write_text(EXAMPLES[number])
        environment = {
            **os.environ, "HOLDALL_ROOT": workshop.store.paths.root, "HOLDALL_RUN_ROOT": workshop.store.paths.run_root,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, path], cwd=workshop.context, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "hello" in done.stdout
        assert "sha256:" in done.stdout


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2


@pytest.mark.soak
@pytest.mark.skipif(not os.environ.get("HOLDALL_SOAK"), reason="mypy reads the whole package: HOLDALL_SOAK=1")
def test_the_examples_satisfy_strict_type_checking(tmp_path: Path) -> None:
    for number, text in enumerate(EXAMPLES):
        (tmp_path / f"example{number}.py").write_text(text)
    names = [f"example{number}.py" for number in range(len(EXAMPLES))]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), *names],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
