"""`holdall builder history`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State
    from holdall.store.build_records import BuildRecord, StepRecord

HELP = "List the builds there were, the latest first; or the steps of one of them."
BUILDS = "table {{.ID}}\t{{.Status}}\t{{.Created}}\t{{.Duration}}\t{{.Steps}}\t{{.Dockerfile}}\t{{.Target}}\t{{.Image}}"
STEPS = "table {{.Step}}\t{{.Status}}\t{{.Duration}}\t{{.Size}}\t{{.Key}}\t{{.Log}}\t{{.Line}}"
WIDTH = 80


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.flag("--quiet", "-q", help="only IDs")
    parser.flag("--no-trunc", help="whole keys and lines")
    parser.value("--format", help='a template, "json" (with all that is known of a step), or "table TEMPLATE"')
    parser.word("build", help="the beginning of a build's ID, or latest", nargs="?")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.cli.table import show

    history = state.engine.builds.history
    if options.build is None:
        builds = history.list()
        if options.quiet:
            for build in builds:
                state.print(build.id)
            return 0
        show(state, [_build(one) for one in builds], default=BUILDS, heads={}, pattern=options.format)
        return 0
    record = history.get(options.build)
    if options.format == "json":
        for step in record.steps:
            state.print(_json(step))
        return 0
    rows = [_step(record, step, full=options.no_trunc) for step in record.steps]
    show(state, rows, default=STEPS, heads={}, pattern=options.format)
    return 0


def _build(build: BuildRecord) -> dict[str, Any]:
    from holdall.engine.times import ago

    cached = sum(step.status == "cached" for step in build.steps)
    return {
        "ID": build.id,
        "Status": build.status,
        "Created": ago(build.started) + " ago",
        "Duration": _duration(build.started, build.ended),
        "Steps": f"{len(build.steps)} ({cached} cached)" if cached else str(len(build.steps)),
        "Dockerfile": build.dockerfile,
        "Context": build.context,
        "Target": build.target,
        "Tags": ",".join(build.tags),
        "Image": ",".join(image.removeprefix("sha256:")[:12] for image in build.images),
        "Error": build.error,
    }


def _step(build: BuildRecord, step: StepRecord, *, full: bool) -> dict[str, Any]:
    import os

    from holdall.engine.times import size

    line = f"[{step.stage} {step.number}/{step.total}] {step.line}" if step.number else step.line
    path = build.log_of(step)
    return {
        "Step": str(step.id),
        "Status": step.status,
        "Duration": _duration(step.started, step.ended) if step.started else "",
        "Size": size(step.size) if step.size else "",
        "Key": step.key if full else step.key[:12],
        "Log": size(os.stat(path).st_size) if os.path.exists(path) else "",
        "Line": line if full or len(line) <= WIDTH else line[: WIDTH - 1] + "…",
    }


def _json(step: StepRecord) -> str:
    import json

    return json.dumps(step.__dict__, separators=(",", ":"))


def _duration(started: int, ended: int) -> str:
    return f"{(ended - started) / 1e9:.1f} s" if ended else ""
